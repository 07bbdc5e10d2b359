/**
 * @module What people say to a log: enrolments, policy, revocations, erasures, the clock (FORMAT §6). Each is a
 * statement that its person signs here, and takes effect with its entry.
 *
 * Where genesis asks for several operators, their statements must have byte-identical payloads: the first makes the
 * proposal, the others `joinProposal` it by its index.
 */
import {
  ERASURE_ENTRIES_MAX,
  type ErasureReason,
  type JsonValue,
  parseEntryStatement,
  parseKeyRotate,
  parsePolicyPack,
  parseSpki,
  parseSubject,
  keyId,
  type RevokeReason,
  toBase64url,
} from '@trustwarden/proofs'
import type { CallOptions, Registered, TrustWarden } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { Attachments } from './frame.ts'
import type { PersonKey, PersonRole } from './person.ts'
import { readEntry } from './entry.ts'
import {
  type SignedStatement,
  signPayload,
  signStatement,
  type StatementDraft,
  type StatementSigner,
} from './statement.ts'

/** Why, and what to keep beside it. */
export interface RevokeOptions {
  readonly reason?: RevokeReason
  /** Anything; committed to, and erasable. */
  readonly details?: JsonValue
}

/** A key to be enrolled. */
export interface Enrolment {
  /** The public key as DER SubjectPublicKeyInfo, or who has it. */
  readonly key: Uint8Array | PersonKey
  /** Anything, such as the person's name; committed to, and erasable. */
  readonly details?: JsonValue
}

const PROPOSALS: readonly string[] = [
  'operator.enroll',
  'owner.enroll',
  'member.enroll',
  'policy.activate',
  'key.rotate',
]

async function submit(
  client: TrustWarden,
  signer: StatementSigner,
  draft: StatementDraft,
  options: CallOptions & Attachments = {},
): Promise<Registered> {
  const { origin, envelope } = client
  return client.submit('statements', signStatement(signer, origin, { ...draft, envelope }), options)
}

function spkiOf({ key }: Enrolment): Uint8Array {
  const spki = key instanceof Uint8Array ? key : key.spki
  inSdkWords('argument_invalid', 'key', () => parseSpki(spki))
  return spki
}

function named(client: TrustWarden, role: PersonRole, spki: Uint8Array): string {
  return `${role}:${keyId(client.primitives, spki)}`
}

/**
 * Revokes an instance, a name or an owner: nothing of it is allowed any more from this entry on.
 *
 * @param target - `inst:<instance id>`, `agent:<name>` or `owner:<kid>`.
 * @throws TrustWardenError `signer_forbidden`, `target_unknown`, and as `TrustWarden.submit`.
 * @see FORMAT §6
 */
export async function revoke(
  client: TrustWarden,
  signer: StatementSigner,
  target: string,
  options: RevokeOptions & CallOptions = {},
): Promise<Registered> {
  const { reason = 'unspecified', details, signal } = options
  inSdkWords('argument_invalid', 'target', () => parseSubject(target))
  return submit(
    client,
    signer,
    { type: 'agent.revoke', subject: target, payload: { target, reason }, disclosed: { details } },
    { signal },
  )
}

/**
 * Enrols an owner, who may then start agents of names under these patterns.
 *
 * @returns Its entry: the outcome is `effective`, or `pending` until enough operators signed.
 */
export async function enrollOwner(
  client: TrustWarden,
  operator: PersonKey,
  enrolment: Enrolment & { readonly patterns: readonly string[] },
  options: CallOptions = {},
): Promise<Registered> {
  const spki = spkiOf(enrolment)
  const { patterns, details } = enrolment
  const draft = {
    type: 'owner.enroll',
    subject: named(client, 'owner', spki),
    payload: { key: toBase64url(spki), patterns },
    disclosed: { details },
  }
  return submit(client, operator.as('operator'), draft, options)
}

/** Enrols a reader, who may see everything and change nothing: an auditor, a monitor. */
export async function enrollReader(
  client: TrustWarden,
  operator: PersonKey,
  enrolment: Enrolment,
  options: CallOptions = {},
): Promise<Registered> {
  const spki = spkiOf(enrolment)
  const draft = {
    type: 'member.enroll',
    subject: named(client, 'reader', spki),
    payload: { role: 'reader', key: toBase64url(spki) },
    disclosed: { details: enrolment.details },
  }
  return submit(client, operator.as('operator'), draft, options)
}

/** Enrols a further operator. */
export async function enrollOperator(
  client: TrustWarden,
  operator: PersonKey,
  enrolment: Omit<Enrolment, 'details'>,
  options: CallOptions = {},
): Promise<Registered> {
  const spki = spkiOf(enrolment)
  const draft = {
    type: 'operator.enroll',
    subject: named(client, 'operator', spki),
    payload: { key: toBase64url(spki) },
  }
  return submit(client, operator.as('operator'), draft, options)
}

/**
 * Puts a policy in force.
 *
 * @param pack - The policy as pinned (FORMAT §10.5).
 * @throws TrustWardenError `argument_invalid` for bytes that are no policy; `policy_invalid`; as `TrustWarden.submit`.
 */
export async function activatePolicy(
  client: TrustWarden,
  operator: PersonKey,
  pack: Uint8Array,
  options: CallOptions = {},
): Promise<Registered> {
  const { revision } = inSdkWords('argument_invalid', 'policy', () => parsePolicyPack(pack))
  const policy = toBase64url(client.primitives.sha256(pack))
  const draft = { type: 'policy.activate', subject: 'policy', payload: { policy, revision } }
  return submit(client, operator.as('operator'), draft, { ...options, pinned: [pack] })
}

/**
 * Signs the proposal to put a new log key in force: the bytes that `trustwarden keys rotate-log` wrote.
 *
 * @throws TrustWardenError `argument_invalid` for bytes that are no rotation of this log; `rotation_outdated`;
 *   `overlap_too_long`; `key_not_held`; as `TrustWarden.submit`.
 */
export async function rotateLogKey(
  client: TrustWarden,
  operator: PersonKey,
  proposal: Uint8Array,
  options: CallOptions = {},
): Promise<Registered> {
  const draft = { type: 'key.rotate', subject: 'log' }
  const signed = inSdkWords('argument_invalid', 'rotation', () => {
    const made = signPayload(operator.as('operator'), client.origin, draft, proposal, [])
    parseKeyRotate(client.primitives, made.statement)
    return made
  })
  return client.submit('statements', signed, options)
}

/**
 * Erases what the statements of these entries disclosed. The entries and their digests stay, and prove what they did.
 *
 * @param role - An operator, or the owner of every entry named.
 */
export async function erase(
  client: TrustWarden,
  signer: { readonly key: PersonKey; readonly role: 'operator' | 'owner' },
  entries: readonly number[],
  options: CallOptions & { readonly reason?: ErasureReason } = {},
): Promise<Registered> {
  const ascending = [...new Set(entries)].toSorted((a, b) => a - b)
  if (ascending.length < 1 || ascending.length > ERASURE_ENTRIES_MAX)
    throw new TrustWardenError('argument_invalid', `entries: 1 to ${ERASURE_ENTRIES_MAX}`)
  const payload = { entries: ascending, reason: options.reason ?? 'unspecified' }
  const draft = { type: 'erasure', subject: 'log', payload }
  return submit(client, signer.key.as(signer.role), draft, { signal: options.signal })
}

/** Accepts the clock after it jumped: intake goes on. */
export async function acceptClock(
  client: TrustWarden,
  operator: PersonKey,
  options: CallOptions & { readonly time?: Date } = {},
): Promise<Registered> {
  const timeMs = (options.time ?? new Date()).getTime()
  const draft = { type: 'operator.clock', subject: 'log', payload: { time_ms: timeMs } }
  return submit(client, operator.as('operator'), draft, { signal: options.signal })
}

/**
 * Signs another operator's proposal: the same payload, byte for byte, under this operator's key.
 *
 * @param index - Index of the entry that made the proposal.
 * @param pack - The policy, if the proposal is one.
 * @throws TrustWardenError `argument_invalid` for an entry that is no proposal; as `TrustWarden.submit`.
 */
export async function joinProposal(
  client: TrustWarden,
  operator: PersonKey,
  index: number,
  options: CallOptions & { readonly pack?: Uint8Array } = {},
): Promise<Registered> {
  const signer = operator.as('operator')
  const { signal, pack } = options
  const { entry, disclosures } = await readEntry(client, signer, index, { signal })
  if (!PROPOSALS.includes(entry.kind))
    throw new TrustWardenError('argument_invalid', `entry ${index} is no proposal: ${entry.kind}`)
  const { header, payloadBytes } = inSdkWords('answer_malformed', 'proposal', () =>
    parseEntryStatement(entry),
  )
  const draft = { type: header.type, subject: header.sub, envelope: client.envelope }
  const signed: SignedStatement = signPayload(
    signer,
    client.origin,
    draft,
    payloadBytes,
    disclosures,
  )
  return client.submit('statements', signed, {
    signal,
    ...(pack === undefined ? {} : { pinned: [pack] }),
  })
}
