/**
 * @module Who is in the story that the vectors tell, and how it can be told wrong: with every key of the service at hand,
 * and keys of agents and owner too where a vector needs them.
 */
import { copyBytes, toBase64url, utf8Encode } from '../bytes.ts'
import type { CborMap, CborValue } from '../cbor.ts'
import { type ActionCommitment, actionDigest, type Verdict } from '../decision.ts'
import { disclosureDigest, makeDisclosure } from '../disclosure.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { noblePrimitives as p } from '../noble.ts'
import type { Hash } from '../primitives.ts'
import type { StatementMedia } from '../statement.ts'
import type { SvidExtension } from '../svid-extension.ts'
import type { TrustAnchor } from '../trust.ts'
import { type CertificateDraft, nameOf } from './generate-certificate.ts'
import { seeded, vectorKey, type VectorKey } from './generate-keys.ts'
import { type EntryDraft, VectorLog } from './generate-log.ts'

/** When the story begins, Unix milliseconds; each entry is a second later. */
export const START_MS = 1_800_000_000_000

export const TRUST_DOMAIN = 'example.com'

export const ROOT_ID = 'spiffe://example.com/finance/orchestrator/inst-aaaaa'

export const CHILD_ID = 'spiffe://example.com/finance/orchestrator/fetcher/inst-bbbbb'

export const RESOURCE = { type: 'table', id: 'ledger/transactions' }

export const ACTION = 'read:transactions'

export const SALT: Uint8Array = copyBytes(seeded('salt'), 0, 16)

/** Everybody in the story. */
export const people: Readonly<
  Record<
    | 'service'
    | 'time'
    | 'permit'
    | 'heartbeat'
    | 'authority'
    | 'operator'
    | 'second'
    | 'late'
    | 'owner'
    | 'otherOwner'
    | 'root'
    | 'child'
    | 'mallory',
    VectorKey
  >
> = {
  service: vectorKey('EdDSA', 'service'),
  time: vectorKey('EdDSA', 'time'),
  permit: vectorKey('EdDSA', 'permit'),
  heartbeat: vectorKey('EdDSA', 'heartbeat'),
  authority: vectorKey('ES256', 'authority'),
  operator: vectorKey('EdDSA', 'operator'),
  second: vectorKey('EdDSA', 'second operator'),
  late: vectorKey('ES256', 'late operator'),
  owner: vectorKey('EdDSA', 'owner'),
  otherOwner: vectorKey('ES256', 'other owner'),
  root: vectorKey('ES256', 'orchestrator'),
  child: vectorKey('ES256', 'fetcher'),
  mallory: vectorKey('ES256', 'mallory'),
}

export const OWNER: string = `owner:${people.owner.kid}`

export const OPERATOR: string = `operator:${people.operator.kid}`

export const SERVICE: string = `service:${people.service.kid}`

/** The entries of the story, in their order. */
export type StepName =
  | 'genesis'
  | 'operator'
  | 'second'
  | 'owner'
  | 'policy'
  | 'root'
  | 'child'
  | 'decision'
  | 'action'
  | 'clock'

type PerStep<T> = Readonly<Partial<Record<StepName, T>>>

type PerAgent<T> = Readonly<{ root?: T; child?: T }>

/** How the story differs from the right one. */
export interface StoryTweaks {
  readonly origin?: string
  /** The envelope of every step. Default: JWS. */
  readonly media?: StatementMedia
  readonly payload?: PerStep<JsonObject>
  readonly header?: PerStep<JsonObject>
  readonly signer?: PerStep<VectorKey>
  /** Replaces parts of the draft, of the prepared and outcome maps key by key; a key of `undefined` is taken away. */
  readonly draft?: PerStep<Partial<EntryDraft>>
  readonly prepared?: PerStep<readonly (readonly [number, CborValue | undefined])[]>
  readonly outcome?: PerStep<readonly (readonly [number, CborValue | undefined])[]>
  readonly certificate?: PerAgent<Partial<CertificateDraft>>
  readonly extension?: PerAgent<Partial<SvidExtension>>
  readonly verdict?: Verdict
  /** What the fetcher asks for, and does. */
  readonly asked?: string
  readonly done?: string
  /** Milliseconds added to the time of a step and all after it. */
  readonly delay?: PerStep<number>
  /** Steps that do not happen. */
  readonly without?: readonly StepName[]
  /** Called before a step, to append something else. */
  readonly before?: PerStep<(story: Story) => void>
  readonly root?: Partial<CertificateDraft>
  /** Instead of the order of the steps. */
  readonly order?: readonly StepName[]
}

/** What became of a delegation. */
export interface IssuedRecord {
  readonly digest: Uint8Array
  readonly der: Uint8Array
  readonly notAfterMs: number
}

/** A story, told. */
export interface Story {
  readonly log: VectorLog
  readonly tweaks: StoryTweaks
  readonly indexes: Map<StepName, number>
  readonly anchor: TrustAnchor
  /** Ledger time of the next entry. */
  timeMs: number
  readonly rootCertificate: Uint8Array
  readonly records: Map<'root' | 'child', IssuedRecord>
}

export const POLICY: Hash = p.sha256(utf8Encode('policy'))

/** What puts the story's policy in force. */
export const POLICY_PAYLOAD: JsonObject = { policy: toBase64url(POLICY), revision: 'default-1' }

/** The owner's enrolment as a payload. */
export const OWNER_PAYLOAD: JsonObject = {
  key: toBase64url(people.owner.spki),
  patterns: ['finance/**'],
}

export const EMPTY: CborMap = new Map()

/** What the decision and the action disclose. */
const PROPERTIES = { columns: ['amount', 'date'] }

export const DECISION_ID: string = toBase64url(copyBytes(seeded('decision id'), 0, 16))

export const COMMITMENT: Pick<ActionCommitment, 'salt' | 'resource' | 'actionProperties'> = {
  salt: SALT,
  resource: RESOURCE,
  actionProperties: PROPERTIES,
}

/** The disclosure of a value under a salt that follows from its name. */
export function disclosed(name: string, value: JsonValue): string {
  return makeDisclosure(copyBytes(seeded(`salt of ${name}`), 0, 16), name, value)
}

/** `_sd` and `_sd_alg` for these disclosures. */
export function committed(texts: readonly string[]): JsonObject {
  return { _sd: texts.map((text) => disclosureDigest(p, text)).sort(), _sd_alg: 'sha-256' }
}

export const DECISION_DISCLOSURES: readonly string[] = [
  disclosed('salt', toBase64url(SALT)),
  disclosed('action_properties', PROPERTIES),
  disclosed('context', { reason: 'monthly report' }),
]

export const ACTION_DISCLOSURES: readonly string[] = [
  disclosed('salt', toBase64url(SALT)),
  disclosed('action_properties', PROPERTIES),
  disclosed('details', { rows: 42, note: 'account of Ana Kovač' }),
]

export const ROOT_NAME: Uint8Array = nameOf('TrustWarden vectors')

/** The event of the story's action, naming the decision. */
export function actionPayload(story: Story, jti: string, done: string = ACTION): JsonObject {
  const digest = actionDigest(p, { ...COMMITMENT, action: done, instance: CHILD_ID })
  return {
    event_id: jti,
    agent_id: CHILD_ID.replace(/\/inst-[a-z0-9]+$/, ''),
    agent_identity: CHILD_ID,
    parent_agent_id: ROOT_ID,
    action: done,
    resource: RESOURCE,
    timestamp: new Date(story.timeMs).toISOString(),
    outcome: 'success',
    authorized_by: OWNER,
    decision: DECISION_ID,
    action_digest: toBase64url(digest),
    ...committed(ACTION_DISCLOSURES),
  }
}
