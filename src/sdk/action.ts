/**
 * @module Action events: what an agent says that it did (FORMAT §10.7), and what the log made of it.
 */
import {
  actionDigest,
  type JsonObject,
  type JsonValue,
  type Primitives,
  type Receipt,
  type Resource,
  toBase64url,
} from '@trustwarden/proofs'
import type { Registered } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import { type ActionRequest, type Permission, resourceOf } from './permission.ts'
import { drawEventId, type StatementDraft } from './statement.ts'

/** What was done. Action and resource may be left out where the permission says them. */
export interface ActionRecord extends Partial<Omit<ActionRequest, 'context'>> {
  /** On which permission. Without one the event is recorded as a violation. */
  readonly permission?: Permission
  readonly outcome: 'success' | 'failure' | 'partial'
  /** Anything; committed to, and erasable. */
  readonly details?: JsonValue
  /** When it was done, by the agent's claim; now by default. */
  readonly timestamp?: Date
}

/** What the log made of an event: `matched`, or exactly what is wrong (FORMAT §10.7). */
export type ActionVerdict =
  | 'matched'
  | 'absent'
  | 'mismatched'
  | 'denied'
  | 'spent'
  | 'revoked'
  | 'late'
  | 'expired'

/** A recorded event. */
export interface Recorded {
  readonly verdict: ActionVerdict
  readonly index: number
  readonly receipt: Receipt
}

const VERDICTS: readonly ActionVerdict[] = [
  'matched',
  'absent',
  'mismatched',
  'denied',
  'spent',
  'revoked',
  'late',
  'expired',
]

interface Actor {
  readonly id: string
  readonly name: string
  readonly parent: string | null
  readonly owner: string
}

interface Done {
  readonly action: string
  readonly resource: Resource
  readonly actionProperties: JsonObject | undefined
  readonly resourceProperties: JsonObject | undefined
}

/** What was done: what the event says, else what was permitted. */
function doneOf(event: ActionRecord): Done {
  const asked = event.permission?.request
  const action = event.action ?? asked?.action
  const resource = event.resource ?? asked?.resource
  if (action === undefined || resource === undefined)
    throw new TrustWardenError(
      'argument_invalid',
      'record: action and resource are needed where no permission is given',
    )
  return {
    action,
    resource: resourceOf(resource),
    actionProperties: event.actionProperties ?? asked?.actionProperties,
    resourceProperties: event.resourceProperties ?? asked?.resourceProperties,
  }
}

/**
 * Makes the `action` statement of an event. The digest is over what was done, under the salt of the permission: where
 * that is another action than was permitted, the log says `mismatched`.
 *
 * @throws TrustWardenError `argument_invalid`
 */
export function actionDraft(
  primitives: Primitives,
  agent: Actor,
  event: ActionRecord,
): StatementDraft {
  const { permission, outcome, details, timestamp = new Date() } = event
  const done = doneOf(event)
  const eventId = drawEventId()
  const salt = permission?.request.salt
  const digest = inSdkWords('argument_invalid', 'record', () =>
    salt === undefined
      ? undefined
      : actionDigest(primitives, { ...done, salt, instance: agent.id }),
  )
  return {
    type: 'action',
    subject: agent.id,
    jti: eventId,
    payload: {
      event_id: eventId,
      agent_id: agent.name,
      agent_identity: agent.id,
      parent_agent_id: agent.parent,
      action: done.action,
      resource: { type: done.resource.type, id: done.resource.id },
      timestamp: timestampOf(timestamp),
      outcome,
      authorized_by: agent.owner,
      decision: permission?.decisionId ?? null,
      action_digest: digest === undefined ? null : toBase64url(digest),
    },
    disclosed: {
      details,
      salt: salt === undefined ? undefined : toBase64url(salt),
      action_properties: done.actionProperties,
      resource_properties: done.resourceProperties,
    },
  }
}

/** Reads the verdict out of an action's entry. @throws TrustWardenError `answer_malformed` for an unknown one */
export function recordedOf({ outcome, index, receipt }: Registered): Recorded {
  const verdict = VERDICTS.find((word) => word === outcome)
  if (verdict === undefined)
    throw new TrustWardenError('answer_malformed', 'action: a verdict that is not known')
  return { verdict, index, receipt }
}

function timestampOf(timestamp: Date): string {
  if (Number.isNaN(timestamp.getTime()))
    throw new TrustWardenError('argument_invalid', 'timestamp: not a time')
  return timestamp.toISOString()
}
