/**
 * @module The rules of delegation (FORMAT §9.2) as one pure function: prepare asks it on what is committed, register on
 * the state of the entry before, and the answers differ only where the states do.
 *
 * Left out: the certificate request, whose bytes the log does not keep. Prepare opens it, and refuses without a leaf.
 */
import { matchesName, parseNamePattern, patternContains } from '@trustwarden/proofs'
import type { Delegation, Hash } from '@trustwarden/proofs'
import type { ErrorCode } from '../errors.ts'
import type { Agent } from '../ledger/contract.ts'
import { isStrictSubset } from './scope.ts'

/** Depth of an agent below its owner's own, at most (FORMAT §1.4). */
const DEPTH_MAX = 8
/** Furthest ceiling of an owner's own agent after ledger time, in ms. */
const CEILING_MAX_MS = 30 * 86_400_000
/** Shortest and longest ttl, in seconds. */
const TTL_MIN = 60
const TTL_MAX = 86_400
/** Least life that a new certificate must have when it is prepared, in ms. */
export const LIFE_MIN_MS = 60_000
/** Least life that a certificate which was prepared must have left at the entry's own time, in ms. */
export const LIFE_LEFT_MIN_MS = 55_000

/** What the issuance of one record is judged by. */
export interface IssueFacts {
  readonly record: Delegation
  readonly contentDigest: Hash
  /** `iss` and `sub` of the statement. */
  readonly signer: string
  readonly subject: string
  /** The signer, where it is an instance. */
  readonly parent: Agent | undefined
  readonly trustDomain: string
  /** Size of the log, and ledger time in ms, of the entry that comes next. */
  readonly size: number
  readonly timeMs: number
  /** Least life that must be left at `timeMs`, in ms. */
  readonly lifeMinMs: number
  /** Whether an instance of this id was ever issued. */
  readonly isInstanceUsed: boolean
  /** Whether this key belongs to an instance, a person, the service or a CA. */
  readonly isKeyUsed: boolean
  /** The owner who may start agents of the child's name. */
  readonly nameOwner: string | undefined
  /** Whether a revocation governs an agent. */
  readonly governs: (agent: Agent) => boolean
}

/** Code and message of a refusal, or what the certificate is to be. */
export type IssueRuling =
  | { readonly type: 'refuse'; readonly code: ErrorCode; readonly message: string }
  | {
      readonly type: 'issue'
      /** Root → parent. */
      readonly ancestors: Agent['ancestors']
      /** Latest end of the certificate, in ms. */
      readonly notAfterMaxMs: number
      /** Earliest begin of the certificate, in ms. */
      readonly notBeforeMinMs: number
    }

type Refusal = Extract<IssueRuling, { readonly type: 'refuse' }>
type Rule = (facts: IssueFacts) => Refusal | undefined

/** Judges an issuance: the first rule that is broken, in the order below, is the reason of the refusal. */
export function ruleIssue(facts: IssueFacts): IssueRuling {
  for (const rule of [checkChild, facts.parent ? checkDerived : checkRoot, checkLimits]) {
    const refusal = rule(facts)
    if (refusal !== undefined) return refusal
  }
  const { record, parent, timeMs, lifeMinMs } = facts
  const notAfterMaxMs = endOf(facts)
  const ancestors = ancestorsOf(parent)
  if (facts.governs(candidate(facts, ancestors))) {
    return refuse('revoked', 'a revocation governs the agent, its name, its owner or an ancestor')
  }
  if (record.size > facts.size) {
    return refuse('size_ahead', `size is ${record.size}, the log has ${facts.size}`)
  }
  // Last: the least life depends on what prepare attached, which the entry of any other refusal does not keep.
  if (notAfterMaxMs - timeMs < lifeMinMs) {
    const left = `${notAfterMaxMs - timeMs} ms of life would be left, must be ${lifeMinMs}`
    return refuse('life_too_short', left)
  }
  return { type: 'issue', ancestors, notAfterMaxMs, notBeforeMinMs: parent?.notBeforeMs ?? 0 }
}

const checkChild: Rule = (facts) => {
  const { record, subject, trustDomain } = facts
  const { instance } = record.child
  const isOurs =
    record.trustDomain === trustDomain &&
    instance.trustDomain === trustDomain &&
    instance.id === subject
  if (!isOurs) {
    return refuse('spiffe_id_invalid', `child.instance must be sub, under spiffe://${trustDomain}/`)
  }
  if (facts.isInstanceUsed) return refuse('instance_used', 'child.instance was used before')
  if (facts.isKeyUsed) return refuse('key_used', 'child.key was used before')
  return undefined
}

const checkRoot: Rule = ({ record, signer, nameOwner, timeMs }) => {
  const isRoot = record.parent === null && record.authorization === null && record.depth === 0
  if (!isRoot || record.owner !== signer) {
    const rule = "an owner's record must have depth 0, no parent, no authorization, itself as owner"
    return refuse('delegation_invalid', rule)
  }
  if (nameOwner !== signer) {
    return refuse('name_not_permitted', "the child's name is not under the owner's patterns")
  }
  if (record.ceiling * 1000 > timeMs + CEILING_MAX_MS) {
    return refuse('ceiling_exceeded', 'ceiling is more than 30 days after ledger time')
  }
  return undefined
}

const checkDerived: Rule = (facts) => {
  const { record, parent, signer, nameOwner, timeMs } = facts
  if (parent === undefined) return refuse('delegation_invalid', 'the signer is no instance')
  const isChild =
    record.parent !== null &&
    record.parent.instance.id === signer &&
    record.parent.kid === parent.kid &&
    isSame(record.parent.record, parent.record) &&
    record.owner === parent.owner &&
    record.authorization !== null &&
    isSame(record.authorization, parent.root) &&
    record.depth === parent.depth + 1
  if (!isChild) {
    const rule = "parent, owner, authorization and depth must follow from the signer's own record"
    return refuse('delegation_invalid', rule)
  }
  if (timeMs > parent.notAfterMs || timeMs < parent.notBeforeMs) {
    return refuse('certificate_expired', "the parent's certificate is not valid at ledger time")
  }
  if (record.depth > parent.maxDepth || record.maxDepth > parent.maxDepth) {
    const rule = `depth ${record.depth}, max_depth ${record.maxDepth}; the parent's is`
    return refuse('depth_exceeded', `${rule} ${parent.maxDepth}`)
  }
  const { nameSegments } = record.child.instance
  const granted = parent.mayCreate.map(parseNamePattern)
  const isGranted = granted.some((pattern) => matchesName(pattern, nameSegments))
  if (!isGranted || nameOwner !== parent.owner) {
    const rule = "the child's name is not under the parent's may_create and the owner's patterns"
    return refuse('name_not_permitted', rule)
  }
  if (!patternContains(granted, record.mayCreate)) {
    return refuse('name_not_permitted', "may_create is not contained in the parent's")
  }
  if (!isStrictSubset(record.scope.texts, parent.scope)) {
    return refuse('scope_not_contained', "scope is not a strict subset of the parent's")
  }
  if (record.ceiling > parent.ceiling) {
    return refuse('ceiling_exceeded', "ceiling is beyond the parent's")
  }
  return undefined
}

const checkLimits: Rule = ({ record }) => {
  if (record.maxDepth > DEPTH_MAX) {
    return refuse('depth_exceeded', `max_depth is ${record.maxDepth}, at most ${DEPTH_MAX}`)
  }
  if (record.ttl < TTL_MIN || record.ttl > TTL_MAX) {
    const rule = `ttl is ${record.ttl} s, must be ${TTL_MIN} to ${TTL_MAX}`
    return refuse('life_too_short', rule)
  }
  return undefined
}

function endOf({ record, parent, timeMs }: IssueFacts): number {
  const parentEnd = parent?.notAfterMs ?? Number.MAX_SAFE_INTEGER
  return Math.min(timeMs + record.ttl * 1000, record.ceiling * 1000, parentEnd)
}

function ancestorsOf(parent: Agent | undefined): Agent['ancestors'] {
  if (parent === undefined) return []
  return [...parent.ancestors, { instance: parent.instance, size: parent.recordSize }]
}

/** The child as it would be: what a revocation is asked about before there is a certificate. */
function candidate(facts: IssueFacts, ancestors: Agent['ancestors']): Agent {
  const { record, parent, contentDigest } = facts
  const { instance, kid } = record.child
  return {
    instance: instance.id,
    name: instance.name,
    owner: record.owner,
    spki: new Uint8Array(0),
    kid,
    depth: record.depth,
    maxDepth: record.maxDepth,
    scope: record.scope.texts,
    mayCreate: record.mayCreate.map(({ text }) => text),
    record: contentDigest,
    recordSize: record.size,
    root: parent?.root ?? contentDigest,
    ceiling: record.ceiling,
    notBeforeMs: 0,
    notAfterMs: 0,
    issuedAt: facts.size,
    ancestors,
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
