/**
 * @module Decisions: what an instance asks for, what it commits to, what the policy is shown, and what is recorded
 * about the verdict.
 */
import { equalBytes, fromBase64url, utf8Encode } from './bytes.ts'
import {
  cborArray,
  cborBoolean,
  cborBytes,
  type CborMap,
  cborText,
  cborUint,
  type CborValue,
  encodeCbor,
  requireKeys,
} from './cbor.ts'
import {
  accepted,
  choice,
  digest,
  id128,
  list,
  matching,
  members,
  type Read,
  text,
} from './claims.ts'
import { parseDisclosure, readCommitments } from './disclosure.ts'
import { check, ProofError } from './errors.ts'
import { canonicalJson, jsonObject, type JsonObject, type JsonValue } from './json.ts'
import { HASH_LENGTH } from './merkle.ts'
import { checkSubject, openDisclosures, payloadReader } from './payload.ts'
import type { Hash, Primitives } from './primitives.ts'
import { parseAction } from './scope.ts'
import type { Statement } from './statement.ts'

/** Milliseconds from the policy's run to the entry, at most. @see FORMAT §10.3 */
export const DECISION_AGE_MAX_MS = 60_000

/** Bytes in the salt of an action digest. */
export const ACTION_SALT_BYTES = 16

/** Reasons, or matched rules, of one verdict. @see FORMAT §10.3 */
export const NAMES_MAX = 256

/** Obligations of one verdict. @see FORMAT §10.3 */
export const OBLIGATIONS_MAX = 16

/** What an action is about. */
export interface Resource {
  /** 1 to 512 characters, none of them a control character. */
  readonly type: string
  /** Likewise. */
  readonly id: string
}

/** What an action digest is over. */
export interface ActionCommitment {
  /** 16 random bytes. */
  readonly salt: Uint8Array
  /** Instance id. */
  readonly instance: string
  readonly action: string
  readonly resource: Resource
  readonly actionProperties?: JsonObject | undefined
  readonly resourceProperties?: JsonObject | undefined
}

/** A decision request, read. */
export interface DecisionRequest {
  /** Instance id: who asks, and for whom. */
  readonly instance: string
  readonly action: string
  readonly resource: Resource
  readonly actionDigest: Hash
  /** Digests of what is disclosed. */
  readonly commitments: readonly string[]
}

/** A decision request with what was disclosed beside it, the action digest recomputed. */
export interface OpenedDecisionRequest extends DecisionRequest {
  /** 16 bytes. */
  readonly salt: Uint8Array
  /** The whole disclosure of `salt`: what the input commitment is under. */
  readonly saltDisclosure: string
  /** Empty where not disclosed, as the two that follow. */
  readonly actionProperties: JsonObject
  readonly resourceProperties: JsonObject
  readonly context: JsonObject
}

/** What the host tells the policy. */
export interface PolicyInput {
  readonly agent: {
    /** The agent's name, without the instance. */
    readonly identity: string
    readonly instance: string
    readonly owner: string
    readonly depth: number
  }
  /** Root first, the asking instance last. */
  readonly chain: readonly { readonly instance: string; readonly scope: readonly string[] }[]
  readonly action: string
  readonly actionProperties: JsonObject
  readonly resource: Resource
  readonly resourceProperties: JsonObject
  readonly context: JsonObject
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number
  /** Size of the log that the decision was prepared at. */
  readonly stateSize: number
}

/** What a policy can decide. */
export type Effect = 'allow' | 'deny' | 'require_approval'

/** A policy's verdict. All but the effect are names: `[a-z0-9][a-z0-9._-]{0,127}`. */
export interface Verdict {
  readonly effect: Effect
  readonly reasons: readonly string[]
  readonly matched: readonly string[]
  /** What whoever enforces must know and do. */
  readonly obligations: readonly string[]
}

/** What was found before a decision was registered. */
export interface DecisionPrepared {
  /** Size of the log that the decision was prepared at. */
  readonly size: number
  /** `b64u` of 16 random bytes. */
  readonly decisionId: string
  readonly policy: Hash
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number
  readonly inputCommitment: Hash
  readonly epoch: number
  readonly verdict: Verdict
  /** Whether another run of the policy must give the same verdict: false after a time-out. */
  readonly reproducible: boolean
  /** Index of the entry that activated the policy. */
  readonly policyIndex: number
}

const ACTION_LABEL = 'trustwarden/action/1'
const INPUT_LABEL = 'trustwarden/input/1'
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/
const CONTROL = /\p{Cc}/u

/** Reads `{type, id}`. @see FORMAT §10.1 */
export const readResource: Read<Resource> = members({
  type: readResourceText,
  id: readResourceText,
})

/** Reads names as a policy gives them. @see FORMAT §10.3 */
export const readNames: Read<readonly string[]> = list(
  matching(NAME, '1 to 128 of a-z, 0-9, ".", "_" and "-", first a letter or digit'),
)

const readRequest = payloadReader('decision', ['agent'], {
  subject: members({ type: choice('agent'), id: text(1, 2048) }),
  action: members({ name: accepted(parseAction) }),
  resource: readResource,
  action_digest: digest,
})

/**
 * Reads a decision request, without what is disclosed beside it.
 *
 * @throws {ProofError} `claim_invalid` if `sub`, `subject.id` and `iss` differ; `claim_missing` if nothing is
 *   disclosed; `scope_invalid` for the action; else as `payloadReader`.
 * @see FORMAT §10.1
 */
export function parseDecisionRequest(statement: Statement): DecisionRequest {
  const { subject, action, resource, action_digest } = readRequest(statement)
  const instance = statement.header.iss
  checkSubject(statement, instance, 'the instance that signs')
  check(subject.id === instance, 'claim_invalid', 'subject.id: not the instance that signs')
  const commitments = readCommitments(statement.payload)
  check(commitments.length > 0, 'claim_missing', '_sd: the salt must be disclosed')
  return { instance, action: action.name, resource, actionDigest: action_digest, commitments }
}

/**
 * Reads a decision request with its disclosures, and recomputes the action digest.
 *
 * @throws {ProofError} `disclosure_missing` without the salt; `claim_invalid` for a digest that does not follow, or for
 *   properties or a context that are no objects; else as `parseDecisionRequest` and `checkDisclosures`.
 * @see FORMAT §10.1, §10.2
 */
export function openDecisionRequest(
  p: Primitives,
  statement: Statement,
  disclosures: readonly string[],
): OpenedDecisionRequest {
  const request = parseDecisionRequest(statement)
  const values = openDisclosures(p, statement, disclosures)
  const opened = {
    ...request,
    salt: disclosedSalt(values),
    saltDisclosure: findSaltDisclosure(disclosures),
    actionProperties: disclosedObject(values, 'action_properties'),
    resourceProperties: disclosedObject(values, 'resource_properties'),
    context: disclosedObject(values, 'context'),
  }
  checkActionDigest(p, opened, request.actionDigest)
  return opened
}

/**
 * Digests an action: SHA-256 of the CBOR of [label, salt, instance, action, resource type, resource id, properties].
 *
 * @throws {ProofError} `claim_invalid` for a salt that is not 16 bytes; `malformed` or `too_large` for properties that
 *   are no JSON.
 * @see FORMAT §10.2
 */
export function actionDigest(p: Primitives, commitment: ActionCommitment): Hash {
  const { salt, instance, action, resource, actionProperties, resourceProperties } = commitment
  checkSalt(salt)
  const properties = propertiesText(actionProperties ?? {}, resourceProperties ?? {})
  return p.sha256(
    encodeCbor([ACTION_LABEL, salt, instance, action, resource.type, resource.id, properties]),
  )
}

const NO_PROPERTIES = utf8Encode('{"action":{},"resource":{}}')

function propertiesText(action: JsonObject, resource: JsonObject): Uint8Array {
  const isEmpty = Object.keys(action).length === 0 && Object.keys(resource).length === 0
  return isEmpty ? NO_PROPERTIES : canonicalJson({ action, resource })
}

/**
 * Demands that `expected` is the digest of the action.
 *
 * @throws {ProofError} `claim_invalid` if it is not; else as `actionDigest`.
 */
export function checkActionDigest(
  p: Primitives,
  commitment: ActionCommitment,
  expected: Hash,
): void {
  const follows = equalBytes(actionDigest(p, commitment), expected)
  check(follows, 'claim_invalid', 'action_digest: does not follow from action and properties')
}

/**
 * Commits to the input of a policy: SHA-256 of the CBOR of [label, disclosure of the salt, input]. The salt of the action
 * digest alone stands in the permit; the salt of its disclosure does not, so only who was shown the disclosure can try
 * inputs.
 *
 * @param saltDisclosure - The whole disclosure of `salt`, as text.
 * @param input - `policyInput`.
 * @see FORMAT §10.3
 */
export function inputCommitment(p: Primitives, saltDisclosure: string, input: Uint8Array): Hash {
  return p.sha256(encodeCbor([INPUT_LABEL, utf8Encode(saltDisclosure), input]))
}

/**
 * Finds the disclosure of `salt` among those of a decision.
 *
 * @throws {ProofError} `disclosure_missing`; else as `parseDisclosure`.
 */
export function findSaltDisclosure(disclosures: readonly string[]): string {
  const found = disclosures.find((one) => parseDisclosure(one).name === 'salt')
  if (found === undefined) throw new ProofError('disclosure_missing', 'salt: not disclosed')
  return found
}

/**
 * Builds the document that the policy is shown, as canonical JSON.
 *
 * @throws {ProofError} `malformed` or `too_large` for values that are no JSON.
 * @see FORMAT §10.3
 */
export function policyInput(input: PolicyInput): Uint8Array {
  const { identity, instance, owner, depth } = input.agent
  const { type, id } = input.resource
  // In the order that it is written in.
  return canonicalJson({
    action: input.action,
    action_properties: input.actionProperties,
    agent: { depth, identity, instance, owner, verified_by: 'agent_signature' },
    approvals: [],
    chain: input.chain.map((link) => ({ instance: link.instance, scope: link.scope })),
    context: input.context,
    now_ms: input.nowMs,
    resource: { id, properties: input.resourceProperties, type },
    state_size: input.stateSize,
  })
}

/**
 * Writes what was found before a decision was registered, as an entry holds it; `decodeDecisionPrepared` gives it back.
 *
 * @see FORMAT §10.3
 */
export function encodeDecisionPrepared(prepared: DecisionPrepared): CborMap {
  const { effect, reasons, matched, obligations } = prepared.verdict
  return new Map<number, CborValue>([
    [0, prepared.size],
    [1, prepared.decisionId],
    [2, prepared.policy],
    [3, prepared.nowMs],
    [4, prepared.inputCommitment],
    [5, prepared.epoch],
    [6, [effect, reasons, matched, obligations]],
    [7, prepared.reproducible],
    [8, prepared.policyIndex],
  ])
}

/**
 * Reads what was found before a decision was registered, out of its entry.
 *
 * @throws {ProofError} `claim_invalid` for an id that is not 16 bytes; `malformed` or `not_canonical` for a map of
 *   another form.
 * @see FORMAT §10.3
 */
export function decodeDecisionPrepared(map: CborMap): DecisionPrepared {
  requireKeys(map, [0, 1, 2, 3, 4, 5, 6, 7, 8], [], 'decision prepared')
  return {
    size: cborUint(map.get(0), 'prepared size'),
    decisionId: id128(cborText(map.get(1), 'decision id'), 'decision id'),
    policy: cborBytes(map.get(2), 'policy digest', HASH_LENGTH),
    nowMs: cborUint(map.get(3), 'now_ms'),
    inputCommitment: cborBytes(map.get(4), 'input commitment', HASH_LENGTH),
    epoch: cborUint(map.get(5), 'epoch'),
    verdict: decodeVerdict(map.get(6)),
    reproducible: cborBoolean(map.get(7), 'reproducible'),
    policyIndex: cborUint(map.get(8), 'policy index'),
  }
}

/**
 * Says whether a decision may be registered at `timeMs`: its policy was activated below the size that it was prepared
 * at, and the policy ran at most 60 s before.
 *
 * @see FORMAT §10.3
 */
export function isDecisionFresh(prepared: DecisionPrepared, timeMs: number): boolean {
  const { policyIndex, size, nowMs } = prepared
  return policyIndex < size && nowMs <= timeMs && timeMs <= nowMs + DECISION_AGE_MAX_MS
}

/**
 * Reads a verdict: `[effect, [reason…], [matched…], [obligation…]]`.
 *
 * @throws {ProofError} `malformed`, also for what is no name; else as `decodeNames`.
 * @see FORMAT §10.3
 */
export function decodeVerdict(value: CborValue | undefined): Verdict {
  const parts = cborArray(value, 'verdict')
  check(parts.length === 4, 'malformed', 'verdict: not four elements')
  const [effect, reasons, matched, obligations] = parts
  if (effect !== 'allow' && effect !== 'deny' && effect !== 'require_approval') {
    throw new ProofError('malformed', 'verdict: an effect that is not permitted')
  }
  return {
    effect,
    reasons: decodeNames(reasons, 'reasons'),
    matched: decodeNames(matched, 'matched'),
    obligations: decodeNames(obligations, 'obligations', OBLIGATIONS_MAX),
  }
}

/**
 * Reads an array of names.
 *
 * @param most - How many there may be.
 * @throws {ProofError} `malformed`, also for what is no name; `too_large` for more than `most`; `not_canonical` if they
 *   are not sorted, or one stands there twice.
 * @see FORMAT §10.3
 */
export function decodeNames(
  value: CborValue | undefined,
  field: string,
  most: number = NAMES_MAX,
): readonly string[] {
  const items = cborArray(value, field)
  check(items.length <= most, 'too_large', `${field}: ${items.length} names, at most ${most}`)
  let previous = ''
  return items.map((one) => {
    const name = cborText(one, field)
    check(NAME.test(name), 'malformed', `${field}: not a name of a-z, 0-9, ".", "_" and "-"`)
    check(name > previous, 'not_canonical', `${field}: not sorted, or a name twice`)
    previous = name
    return name
  })
}

/**
 * Takes the salt of the action digest out of what was disclosed.
 *
 * @throws {ProofError} `disclosure_missing`; `claim_invalid` unless it is the base64url of 16 bytes.
 */
export function disclosedSalt(values: ReadonlyMap<string, JsonValue>): Uint8Array {
  const salt = values.get('salt')
  if (salt === undefined) throw new ProofError('disclosure_missing', 'salt: not disclosed')
  return fromBase64url(id128(salt, 'salt'), 'salt')
}

/**
 * Takes an object out of what was disclosed; the empty one if it was not.
 *
 * @throws {ProofError} `claim_invalid` for a value that is no object.
 */
export function disclosedObject(values: ReadonlyMap<string, JsonValue>, name: string): JsonObject {
  const value = values.get(name)
  if (value === undefined) return {}
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  check(isObject, 'claim_invalid', `${name}: not an object`)
  return jsonObject(value, name)
}

function checkSalt(salt: Uint8Array): void {
  check(salt.length === ACTION_SALT_BYTES, 'claim_invalid', 'salt: not 16 bytes')
}

function readResourceText(value: JsonValue, field: string): string {
  const read = text(1, 512)(value, field)
  check(!CONTROL.test(read), 'claim_invalid', `${field}: a control character`)
  return read
}
