/**
 * @module The fold of principals: what genesis says of the log, and the people whose keys were enrolled.
 *
 *     key    0x00                        value  JSON of `LogFacts`
 *     key    0x01                        value  index u64 of the first entry that the service has not signed
 *     key    0x02                        value  the rotations of the log key (rotations.ts)
 *     key    principal, UTF-8            value  JSON {role, spki (b64u), index, patterns?}
 *
 * Agents are principals too; their keys lie with identity, which hands its reader in.
 */
import {
  fromBase64url,
  keyId,
  matchesName,
  parseGenesis,
  parseMemberEnroll,
  parseNamePattern,
  parseOperatorEnroll,
  parseOwnerEnroll,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import type { NamePattern } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { memoized } from '../memo.ts'
import type {
  Agent,
  AgentReader,
  Fold,
  FoldWriter,
  Principal,
  PrincipalReader,
  RegisteredEntry,
  State,
} from './contract.ts'
import { FOLDS } from './contract.ts'
import { u64Bytes } from './layout.ts'
import { keepRotation } from './rotations.ts'

/** What genesis fixes for the life of the log and rules rest on. Digests are b64u. */
export interface LogFacts {
  readonly origin: string
  readonly trustDomain: string
  /** Signatures that a proposal needs. */
  readonly threshold: number
  /** `service:<kid>`. */
  readonly service: string
  /** `operator:<kid>` of each operator that genesis names. */
  readonly operators: readonly string[]
  readonly owners: readonly { readonly owner: string; readonly patterns: readonly string[] }[]
  /** Digest of the first policy. */
  readonly policy: string
  /** How many entries genesis and what it names are: operators, owners and the policy follow it, one entry each. */
  readonly firstBatchSize: number
}

/** Somebody who was enrolled. */
export interface Person {
  readonly role: 'operator' | 'owner' | 'reader'
  /** b64u of the SubjectPublicKeyInfo. */
  readonly spki: string
  /** Index of the entry that enrolled them. */
  readonly index: number
  /** Owners: the name patterns under which they may start agents. */
  readonly patterns?: readonly string[]
}

/** Whose name it is: the owner whose most particular pattern matches, and that pattern. */
export interface NameDecision {
  readonly owner: string
  readonly pattern: string
}

const FACTS_KEY = Uint8Array.of(0)
const FIRST_OTHER_KEY = Uint8Array.of(1)
const OWNER_PREFIX = 'owner:'
const ANY_BELOW = '**'

/** What genesis says, or undefined before it. */
export function logFacts(state: State): LogFacts | undefined {
  const value = state.get(FOLDS.principals, FACTS_KEY)
  return value && parseFacts(value)
}

const parseFacts = memoized((value: Uint8Array) => JSON.parse(utf8Decode(value)) as LogFacts)
const parsePerson = memoized((value: Uint8Array) => JSON.parse(utf8Decode(value)) as Person)

/** Whether the log holds an entry that the service has not signed: what genesis names is then for operators alone. */
export function isServiceOver(state: State): boolean {
  return state.get(FOLDS.principals, FIRST_OTHER_KEY) !== undefined
}

/** The enrolment of an operator, owner or reader, or undefined. */
export function findPerson(state: State, principal: string): Person | undefined {
  // The fold's other keys hold something else.
  if (!/^(operator|owner|reader):/.test(principal)) return undefined
  const value = state.get(FOLDS.principals, utf8Encode(principal))
  return value && parsePerson(value)
}

/**
 * Orders two patterns that match one name: above 0 if `a` is the more particular. The longer is (`**` alone has length
 * 0); of one length, the one that names a segment where the other first has `*`; then the one without a tail.
 */
export function comparePatterns(a: NamePattern, b: NamePattern): number {
  const byLength = lengthOf(a) - lengthOf(b)
  if (byLength !== 0) return byLength
  for (const [at, segment] of a.segments.entries()) {
    const other = b.segments[at]
    if (segment !== other && (segment === '*' || other === '*')) return other === '*' ? 1 : -1
  }
  return Number(b.tail) - Number(a.tail)
}

/**
 * Decides whose a name is, by its segments (without the trust domain): the most particular of all owners' patterns
 * that match; of two equal ones the one that was enrolled first.
 */
export function decideName(state: State, segments: readonly string[]): NameDecision | undefined {
  let best:
    | { readonly by: NameDecision; readonly pattern: NamePattern; readonly index: number }
    | undefined
  for (const [key, value] of state.scan(FOLDS.principals)) {
    const owner = utf8Decode(key)
    if (!owner.startsWith(OWNER_PREFIX)) continue
    const { patterns = [], index } = parsePerson(value)
    for (const text of patterns) {
      const pattern = parseNamePattern(text)
      if (!matchesName(pattern, segments)) continue
      const order = best === undefined ? 1 : comparePatterns(pattern, best.pattern)
      if (order > 0 || (order === 0 && best !== undefined && index < best.index)) {
        best = { by: { owner, pattern: text }, pattern, index }
      }
    }
  }
  return best?.by
}

/** What `createPrincipalReader` needs of others. */
export interface PrincipalReaderOptions {
  readonly agents: AgentReader
  /** The service's own statement key: before genesis is registered, nothing else says whose it is. */
  readonly serviceSpki: Uint8Array
}

/** Makes the reader that finds every signer's key: the service's, people's and agents'. */
export function createPrincipalReader(options: PrincipalReaderOptions): PrincipalReader {
  const serviceKid = keyId(nativePrimitives, options.serviceSpki)
  const service: Principal = {
    principal: `service:${serviceKid}`,
    role: 'service',
    spki: options.serviceSpki,
    kid: serviceKid,
  }
  return {
    find(state: State, principal: string): Principal | undefined {
      if (principal.startsWith('spiffe:')) {
        const agent = options.agents.find(state, principal)
        return agent && agentPrincipal(agent)
      }
      if (principal.startsWith('service:')) {
        const facts = logFacts(state)
        const isOwn = facts === undefined || facts.service === principal
        return isOwn && service.principal === principal ? service : undefined
      }
      const person = findPerson(state, principal)
      return person && personPrincipal(person)
    },
  }
}

const agentPrincipal = memoized(
  ({ instance, spki, kid, owner }: Agent): Principal => ({
    principal: instance,
    role: 'agent',
    spki,
    kid,
    owner,
  }),
)

const personPrincipal = memoized((person: Person): Principal => {
  const spki = new Uint8Array(fromBase64url(person.spki))
  const kid = keyId(nativePrimitives, spki)
  return { principal: `${person.role}:${kid}`, role: person.role, spki, kid }
})

/** Keeps genesis and every effective enrolment. */
export const principalsFold: Fold = {
  spec: FOLDS.principals,
  apply(registered: RegisteredEntry, writer: FoldWriter): void {
    const { entry, statement } = registered
    if (entry.kind === 'genesis') {
      writer.put(FOLDS.principals, FACTS_KEY, utf8Encode(JSON.stringify(factsOf(registered))))
      return
    }
    if (statement.issuer.role !== 'service' && !isServiceOver(writer)) {
      writer.put(FOLDS.principals, FIRST_OTHER_KEY, u64Bytes(entry.index))
    }
    keepRotation(registered, writer)
    const enrolled = enrolmentOf(registered)
    if (enrolled === undefined) return
    const value = utf8Encode(JSON.stringify({ ...enrolled, index: entry.index }))
    writer.put(FOLDS.principals, utf8Encode(statement.header.sub), value)
  },
}

function enrolmentOf({ entry, statement }: RegisteredEntry): Omit<Person, 'index'> | undefined {
  if (entry.outcome.get(0) !== 'effective') return undefined
  switch (entry.kind) {
    case 'operator.enroll':
      return {
        role: 'operator',
        spki: toBase64url(parseOperatorEnroll(nativePrimitives, statement).key),
      }
    case 'owner.enroll': {
      const { key, patterns } = parseOwnerEnroll(nativePrimitives, statement)
      return { role: 'owner', spki: toBase64url(key), patterns: patterns.map(({ text }) => text) }
    }
    case 'member.enroll':
      return {
        role: 'reader',
        spki: toBase64url(parseMemberEnroll(nativePrimitives, statement).key),
      }
    default:
      return undefined
  }
}

function factsOf({ statement }: RegisteredEntry): LogFacts {
  const genesis = parseGenesis(nativePrimitives, statement)
  const kidOf = (spki: Uint8Array): string => keyId(nativePrimitives, spki)
  const owners = genesis.owners.map(({ key, patterns }) => ({
    owner: `owner:${kidOf(key)}`,
    patterns: patterns.map(({ text }) => text),
  }))
  return {
    origin: genesis.origin,
    trustDomain: genesis.trustDomain,
    threshold: genesis.threshold,
    service: statement.header.iss,
    operators: genesis.operators.map((key) => `operator:${kidOf(key)}`),
    owners,
    policy: toBase64url(genesis.policy),
    firstBatchSize: 2 + genesis.operators.length + owners.length,
  }
}

/**
 * Segments of a pattern, not counting a last `**`: `**` alone reads as one `*` with a tail, and is shorter than that.
 */
function lengthOf(pattern: NamePattern): number {
  return pattern.text === ANY_BELOW ? 0 : pattern.segments.length
}
