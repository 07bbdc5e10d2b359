/**
 * @module Action events: what an instance says that it did, and on which decision.
 */
import { accepted, choice, digest, id128, nullable, parsed, text } from './claims.ts'
import {
  checkActionDigest,
  disclosedObject,
  disclosedSalt,
  readResource,
  type Resource,
} from './decision.ts'
import { readCommitments } from './disclosure.ts'
import { check } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { checkSubject, openDisclosures, payloadReader } from './payload.ts'
import { parseOwner } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'
import { parseAction as parseActionGrant } from './scope.ts'
import { parseInstanceId } from './spiffe-id.ts'
import type { Statement } from './statement.ts'

/** An action event, read. All of it is its signer's claim. */
export interface ActionEvent {
  readonly eventId: string
  /** The agent's name. */
  readonly agentId: string
  /** Instance id: who signs. */
  readonly agentIdentity: string
  /** Instance id. */
  readonly parentAgentId: string | null
  readonly action: string
  readonly resource: Resource
  /** When it began: RFC 3339, UTC, at most milliseconds. */
  readonly timestamp: string
  /** The same, in milliseconds since the Unix epoch. */
  readonly timestampMs: number
  readonly outcome: 'success' | 'failure' | 'partial'
  /** `owner:<kid>` */
  readonly authorizedBy: string
  /** The decision acted on, and the digest of the action; `null` both or neither. */
  readonly decision: { readonly id: string; readonly actionDigest: Hash } | null
  /** Digests of what is disclosed. */
  readonly commitments: readonly string[]
}

/** An action event with what was disclosed beside it, the action digest recomputed. */
export interface OpenedActionEvent extends ActionEvent {
  /** `undefined` where not disclosed. */
  readonly details: JsonValue | undefined
  /** 16 bytes; `undefined` where there is no decision and none was disclosed. */
  readonly salt: Uint8Array | undefined
  /** Empty where not disclosed, as the next. */
  readonly actionProperties: JsonObject
  readonly resourceProperties: JsonObject
}

const TIMESTAMP = /^\d{4}-\d{2}-(\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?Z$/

const readEvent = payloadReader('action', ['agent'], {
  event_id: text(1, 64),
  agent_id: text(1, 2048),
  agent_identity: parsed(parseInstanceId),
  parent_agent_id: nullable(parsed(parseInstanceId)),
  action: accepted(parseActionGrant),
  resource: readResource,
  timestamp: parsed(parseTimestamp),
  outcome: choice('success', 'failure', 'partial'),
  authorized_by: accepted(parseOwner),
  decision: nullable(id128),
  action_digest: nullable(digest),
})

/**
 * Reads an action event, without what is disclosed beside it.
 *
 * @throws {ProofError} `claim_invalid` if the event's fields and the header do not agree; `claim_missing` if a digest
 *   stands there and nothing is disclosed; `scope_invalid` for the action; else as `payloadReader`.
 * @see FORMAT §10.7
 */
export function parseActionEvent(statement: Statement): ActionEvent {
  const { header, payload } = statement
  const read = readEvent(statement)
  const { agent_identity: identity, decision, action_digest: actionDigest } = read
  check(read.event_id === header.jti, 'claim_invalid', 'event_id: not the jti')
  check(identity.id === header.iss, 'claim_invalid', 'agent_identity: not the instance that signs')
  check(read.agent_id === identity.name, 'claim_invalid', 'agent_id: not the name of the instance')
  checkSubject(statement, identity.id, 'the instance that signs')
  const commitments = readCommitments(payload)
  const together = (decision === null) === (actionDigest === null)
  check(together, 'claim_invalid', 'action_digest: null exactly when decision is')
  const salted = actionDigest === null || commitments.length > 0
  check(salted, 'claim_missing', '_sd: the salt of action_digest must be disclosed')
  return {
    eventId: read.event_id,
    agentId: read.agent_id,
    agentIdentity: identity.id,
    parentAgentId: read.parent_agent_id?.id ?? null,
    action: read.action,
    resource: read.resource,
    timestamp: read.timestamp.text,
    timestampMs: read.timestamp.ms,
    outcome: read.outcome,
    authorizedBy: read.authorized_by,
    decision: decision === null || actionDigest === null ? null : { id: decision, actionDigest },
    commitments,
  }
}

/**
 * Reads an action event with its disclosures, and recomputes the action digest where there is one.
 *
 * @throws {ProofError} `disclosure_missing` without the salt of a digest; `claim_invalid` for a digest that does not
 *   follow, or for properties that are no objects; else as `parseActionEvent` and `checkDisclosures`.
 * @see FORMAT §10.7
 */
export function openActionEvent(
  p: Primitives,
  statement: Statement,
  disclosures: readonly string[],
): OpenedActionEvent {
  const event = parseActionEvent(statement)
  const values = openDisclosures(p, statement, disclosures)
  const { decision, action, resource } = event
  const properties = {
    actionProperties: disclosedObject(values, 'action_properties'),
    resourceProperties: disclosedObject(values, 'resource_properties'),
  }
  const details = values.get('details')
  if (decision === null) {
    const salt = values.has('salt') ? disclosedSalt(values) : undefined
    return { ...event, ...properties, details, salt }
  }
  const salt = disclosedSalt(values)
  const commitment = { salt, instance: event.agentIdentity, action, resource, ...properties }
  checkActionDigest(p, commitment, decision.actionDigest)
  return { ...event, ...properties, details, salt }
}

function parseTimestamp(timestamp: string): { readonly text: string; readonly ms: number } {
  const [, day] = TIMESTAMP.exec(timestamp) ?? []
  // A day that its month does not have is read as one of the next month, and does not come back.
  const ms = Date.parse(timestamp)
  const exists = day !== undefined && new Date(ms).getUTCDate() === Number(day)
  check(exists, 'claim_invalid', 'timestamp: not RFC 3339 in UTC with at most milliseconds')
  return { text: timestamp, ms }
}
