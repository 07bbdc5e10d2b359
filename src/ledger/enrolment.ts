/**
 * @module The handlers of `operator.enroll`, `owner.enroll` and `member.enroll`: proposals that make a key somebody's.
 */
import {
  matchesName,
  parseMemberEnroll,
  parseNamePattern,
  parseOperatorEnroll,
  parseOwnerEnroll,
  ProofError,
} from '@trustwarden/proofs'
import type { NamePattern, Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Registration, State, StatementHandler, Submission } from './contract.ts'
import type { LogFacts, NameDecision } from './principals.ts'
import { comparePatterns, findPerson } from './principals.ts'
import { ruleProposal } from './proposals.ts'
import { checkWindow } from './window.ts'

/** What identity tells of keys and names that are in use. */
export interface EnrolmentOptions {
  /** The principal that holds a key, or undefined. */
  readonly keyHolder: (state: State, kid: string) => string | undefined
  /** Whose a used name is, by its segments, or undefined. */
  readonly nameUse: (state: State, segments: readonly string[]) => NameDecision | undefined
  /** Whose the used names at this path and below are, each owner and pattern once. */
  readonly nameUses: (state: State, segments: readonly string[]) => readonly NameDecision[]
}

/** What an enrolment asks for. */
interface Enrolment {
  readonly principal: string
  readonly kid: string
  readonly patterns: readonly string[]
  /** Whether genesis names this key, with these patterns. */
  readonly isNamed: (facts: LogFacts) => boolean
  readonly subjects: readonly string[]
}

const PERSON = /^(?:operator|owner|reader):/

type Refusal = Extract<Registration, { readonly type: 'refuse' }>
type Reader = (statement: Statement) => Enrolment

/** Makes the three handlers. */
export function createEnrolmentHandlers(options: EnrolmentOptions): readonly StatementHandler[] {
  return [
    handler('operator.enroll', [], options, readOperator),
    handler('owner.enroll', ['details'], options, readOwner),
    handler('member.enroll', ['details'], options, readMember),
  ]
}

function handler(
  type: string,
  disclosable: readonly string[],
  options: EnrolmentOptions,
  read: Reader,
): StatementHandler {
  return {
    type,
    lane: 'normal',
    disclosable,
    prepare: ({ statement }, view) => {
      const enrolment = readEnrolment(read, statement)
      if ('code' in enrolment) {
        return Promise.reject(new ServiceError(enrolment.code, enrolment.message))
      }
      return Promise.resolve(new Map([[0, view.size]]))
    },
    register: (state, submission) => register(type, options, read, state, submission),
  }
}

function register(
  type: string,
  options: EnrolmentOptions,
  read: Reader,
  state: State,
  { statement, prepared }: Submission,
): Registration {
  const enrolment = readEnrolment(read, statement)
  if ('code' in enrolment) return enrolment
  const outside = checkWindow(state, statement)
  if (outside !== undefined) return outside
  const ruling = ruleProposal(state, statement, enrolment.isNamed)
  if (ruling.type === 'refuse') return ruling
  const refusal = checkFree(options, state, enrolment)
  if (refusal !== undefined) return refusal
  return {
    type: 'entry',
    kind: type,
    prepared: new Map([[0, prepared.get(0) ?? state.size]]),
    outcome: ruling.outcome,
    subjects: enrolment.subjects,
  }
}

function checkFree(
  options: EnrolmentOptions,
  state: State,
  { principal, kid, patterns }: Enrolment,
): Refusal | undefined {
  if (findPerson(state, principal) !== undefined) {
    return refuse('principal_exists', 'the key is enrolled in this role already')
  }
  // Whom genesis names holds the key before being enrolled.
  const holder = options.keyHolder(state, kid)
  if (holder !== undefined && holder !== principal) {
    return PERSON.test(holder)
      ? refuse('principal_exists', 'the key is enrolled in another role, and a key has one')
      : refuse('key_used', 'the key belongs to an agent, to the service or to a CA')
  }
  const taken = patterns.find((text) => takesName(options, state, parseNamePattern(text)))
  if (taken !== undefined) {
    return refuse('pattern_taken', `pattern ${taken} would take a used name from another owner`)
  }
  return undefined
}

/**
 * Whether a pattern of a new owner would decide a name that is in use. Exact for a name and for a path with a last
 * `**`; a pattern with `*` in it is refused if it may, judged by all names below what stands before its first `*`.
 */
function takesName(options: EnrolmentOptions, state: State, pattern: NamePattern): boolean {
  const wildcard = pattern.segments.indexOf('*')
  const before = wildcard < 0 ? pattern.segments : pattern.segments.slice(0, wildcard)
  if (wildcard < 0 && !pattern.tail) {
    const use = options.nameUse(state, before)
    return use !== undefined && comparePatterns(pattern, parseNamePattern(use.pattern)) > 0
  }
  return options.nameUses(state, before).some((use) => {
    const other = parseNamePattern(use.pattern)
    const isApart = other.segments.every((one) => one !== '*') && !other.tail
    if (isApart && !matchesName(pattern, other.segments)) return false
    return comparePatterns(pattern, other) > 0
  })
}

function readOperator(statement: Statement): Enrolment {
  const { kid } = parseOperatorEnroll(nativePrimitives, statement)
  const principal = `operator:${kid}`
  const isNamed = ({ operators }: LogFacts): boolean => operators.includes(principal)
  return { principal, kid, patterns: [], isNamed, subjects: ['log'] }
}

function readOwner(statement: Statement): Enrolment {
  const { kid, patterns: read } = parseOwnerEnroll(nativePrimitives, statement)
  const patterns = read.map(({ text }) => text)
  const principal = `owner:${kid}`
  const isNamed = ({ owners }: LogFacts): boolean =>
    owners.some(({ owner, patterns: named }) => {
      return owner === principal && JSON.stringify(named) === JSON.stringify(patterns)
    })
  return { principal, kid, patterns, isNamed, subjects: [principal, 'log'] }
}

function readMember(statement: Statement): Enrolment {
  const { kid } = parseMemberEnroll(nativePrimitives, statement)
  return { principal: `reader:${kid}`, kid, patterns: [], isNamed: () => false, subjects: ['log'] }
}

function readEnrolment(read: Reader, statement: Statement): Enrolment | Refusal {
  const { role } = statement.issuer
  if (role !== 'operator' && role !== 'service') {
    return refuse('signer_forbidden', 'only operators enrol')
  }
  try {
    return read(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
