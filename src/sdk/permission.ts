/**
 * @module Asking for an action. The answer counts as far as the log's entry proves it: the effect is read out of the
 * receipt, and an allow counts only with a permit that verifies.
 */
import {
  ACTION_SALT_BYTES,
  actionDigest,
  decodeDecisionPrepared,
  decodeNames,
  type Effect,
  equalBytes,
  type Hash,
  jsonObject,
  type JsonObject,
  jsonString,
  type Receipt,
  type Resource,
  toBase64url,
  verifyPermit,
} from '@trustwarden/proofs'
import type { Registered, TrustWarden } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import { drawBytes, type StatementDraft } from './statement.ts'

/** An action that an agent wants to take. */
export interface ActionRequest {
  /** `verb:path`, such as `read:transactions`. */
  readonly action: string
  /** What it acts on; a text is the id of a resource of type `resource`. */
  readonly resource: string | Resource
  /** What the policy is told about the action and the resource; committed to, and erasable. */
  readonly actionProperties?: JsonObject
  readonly resourceProperties?: JsonObject
  /** What else the policy is told; no part of the action. */
  readonly context?: JsonObject
}

/** What was decided. `allowed` is true only where log, receipt and permit agree. */
export interface Permission {
  readonly allowed: boolean
  readonly effect: Effect
  /** Reason codes; empty for an allow. */
  readonly reasons: readonly string[]
  readonly decisionId: string
  /** For the resource that enforces; of an allow only. */
  readonly permit: string | undefined
  readonly receipt: Receipt
  /** Index of the decision. */
  readonly index: number
  /** When the permit ends; of an allow only. */
  readonly expiresAt: Date | undefined
  /** What was asked, so that it can be reported. */
  readonly request: PreparedRequest
}

/** A request with the salt and digest that bind it. */
export interface PreparedRequest {
  readonly action: string
  readonly resource: Resource
  readonly actionProperties: JsonObject | undefined
  readonly resourceProperties: JsonObject | undefined
  readonly salt: Uint8Array
  readonly digest: Hash
}

/** Reads a resource as a caller writes it. */
export function resourceOf(resource: string | Resource): Resource {
  return typeof resource === 'string' ? { type: 'resource', id: resource } : resource
}

/** Binds a request to its agent. @throws TrustWardenError `argument_invalid` */
export function prepareRequest(
  client: TrustWarden,
  instance: string,
  request: ActionRequest,
): PreparedRequest {
  return inSdkWords('argument_invalid', 'action', () => {
    const { action, actionProperties, resourceProperties } = request
    const resource = resourceOf(request.resource)
    const salt = drawBytes(ACTION_SALT_BYTES)
    const bound = { salt, action, resource, actionProperties, resourceProperties }
    return { ...bound, digest: actionDigest(client.primitives, { ...bound, instance }) }
  })
}

/** The `decision` statement of a request (FORMAT §10.1). */
export function decisionDraft(
  instance: string,
  prepared: PreparedRequest,
  context: JsonObject | undefined,
): StatementDraft {
  const { action, resource, salt, digest } = prepared
  return {
    type: 'decision',
    subject: instance,
    payload: {
      subject: { type: 'agent', id: instance },
      action: { name: action },
      resource: { type: resource.type, id: resource.id },
      action_digest: toBase64url(digest),
    },
    disclosed: {
      salt: toBase64url(salt),
      action_properties: prepared.actionProperties,
      resource_properties: prepared.resourceProperties,
      context,
    },
  }
}

/**
 * Reads a decision out of its entry.
 *
 * @throws TrustWardenError `answer_malformed` if the answer says another thing than the log; `permit_invalid`.
 */
export function openDecision(
  client: TrustWarden,
  registered: Registered,
  request: PreparedRequest,
  agent: { readonly instance: string; readonly kid: string },
): Permission {
  const { entry, answer, index, receipt } = registered
  return inSdkWords('answer_malformed', 'decision', () => {
    const { decisionId } = decodeDecisionPrepared(entry.prepared)
    const reasons = decodeNames(entry.outcome.get(1), 'reasons')
    const expiry = entry.outcome.get(2)
    const effect = registered.outcome
    if (effect !== 'allow' && effect !== 'deny' && effect !== 'require_approval')
      throw new TrustWardenError('answer_malformed', 'decision: an effect that is not known')
    const allowed = effect === 'allow'
    if (answer['decision'] !== allowed)
      throw new TrustWardenError('answer_malformed', 'decision: the log says another effect')
    const base = { allowed, effect, reasons, decisionId, receipt, index, request } as const
    if (!allowed) return { ...base, permit: undefined, expiresAt: undefined }
    const permit = inSdkWords('permit_invalid', 'permit', () => {
      const text = jsonString(jsonObject(answer['context'], 'context')['permit'], 'permit')
      checkPermit(client, text, { ...request, ...agent, decisionId, index })
      return text
    })
    return { ...base, permit, expiresAt: new Date(typeof expiry === 'number' ? expiry : 0) }
  })
}

function checkPermit(
  client: TrustWarden,
  text: string,
  expected: PreparedRequest & {
    readonly instance: string
    readonly kid: string
    readonly decisionId: string
    readonly index: number
  },
): void {
  const permit = verifyPermit(client.primitives, text, {
    permitSpki: client.genesis.keys.permit,
    origin: client.origin,
    audience: expected.resource.id,
    nowS: Math.floor(Date.now() / 1000),
  })
  const agrees =
    permit.decisionId === expected.decisionId &&
    permit.index === expected.index &&
    permit.instance === expected.instance &&
    permit.instanceKid === expected.kid &&
    permit.action === expected.action &&
    equalBytes(permit.salt, expected.salt) &&
    equalBytes(permit.actionDigest, expected.digest)
  if (!agrees)
    throw new TrustWardenError('permit_invalid', 'permit: for another decision or action')
}
