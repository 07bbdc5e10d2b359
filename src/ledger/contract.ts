/**
 * @module The ledger's contract with the parts that give it meaning: statement handlers, folds and what they may read.
 *
 * `identity`, `gate` and `revocation` implement these and never import each other: what one needs of another it takes
 * as a reader (below), and `build.ts` hands it over. Register is a deterministic function of state, submission and
 * time (DESIGN §1): a handler's `register` and a fold's `apply` read no clock, no random numbers, no network and
 * nothing erasable, or a rebuild would not give the same bytes.
 */
import type {
  CborValue,
  Entry,
  Hash,
  JsonValue,
  MatchedDisclosures,
  Statement,
} from '@trustwarden/proofs'
import type { ErrorCode } from '../errors.ts'

/** A CBOR map with unsigned keys: `prepared` and `outcome` of an entry (FORMAT §5.1). */
export type CborMap = ReadonlyMap<string | number, CborValue>

/** A fold's number on disk (never reused), its name for people, and whether it is small enough to lie in memory. */
export interface FoldSpec {
  readonly id: number
  readonly name: string
  readonly resident: boolean
  readonly seldomRead?: boolean
}

/** Every fold that has ever had a number. A number is never given twice. */
export const FOLDS = {
  dedup: { id: 1, name: 'dedup', resident: false, seldomRead: true },
  chains: { id: 2, name: 'chains', resident: false },
  sequences: { id: 3, name: 'sequences', resident: false },
  principals: { id: 4, name: 'principals', resident: true },
  proposals: { id: 5, name: 'proposals', resident: true },
  policy: { id: 6, name: 'policy', resident: true },
  agents: { id: 7, name: 'agents', resident: false },
  names: { id: 8, name: 'names', resident: false },
  keys: { id: 9, name: 'keys', resident: false },
  revocations: { id: 10, name: 'revocations', resident: true },
  decisions: { id: 11, name: 'decisions', resident: false },
  erasures: { id: 12, name: 'erasures', resident: false },
  log: { id: 13, name: 'log', resident: true },
  allowances: { id: 14, name: 'allowances', resident: true },
} as const

/** The state of the log before the entry that is being registered. */
export interface State {
  /** Count of entries so far: the index of the entry that comes next. */
  readonly size: number
  /** Ledger time of the entry that comes next, ms. For a view outside the writer: of the last entry. */
  readonly timeMs: number
  /** A fold's value, or undefined. @throws StoreError `value_corrupt` (fatal) if its check does not hold. */
  get(fold: FoldSpec, key: Uint8Array): Uint8Array | undefined
  /** All keys and values of a resident fold, ascending by key. */
  scan(fold: FoldSpec): Iterable<readonly [key: Uint8Array, value: Uint8Array]>
}

/** What a fold may do to its own keys while it applies one entry. */
export interface FoldWriter extends State {
  put(fold: FoldSpec, key: Uint8Array, value: Uint8Array): void
  delete(fold: FoldSpec, key: Uint8Array): void
}

/** An entry on its way into the log, or read back from it. */
export interface RegisteredEntry {
  readonly entry: Entry
  readonly leafHash: Hash
  /** The entry's statement, parsed. */
  readonly statement: Statement
  readonly contentDigest: Hash
}

/**
 * State derived from entries, in order, and from nothing else. It gets every entry, writes only under its own spec,
 * and can be dropped and rebuilt.
 */
export interface Fold {
  readonly spec: FoldSpec
  apply(registered: RegisteredEntry, writer: FoldWriter): void
}

/** No disclosures. */
export const NOTHING_DISCLOSED: MatchedDisclosures = { values: new Map(), ordinals: [] }

/** What a caller hands in: one statement and what travels beside it. */
export interface Incoming {
  readonly statement: Statement
  readonly contentDigest: Hash
  readonly disclosures: readonly string[]
  /** The disclosures, matched with the statement's digests before its handler prepares it; nothing before that. */
  readonly disclosed: MatchedDisclosures
  /** DER of the PKCS#10 request (`agent.issue`). */
  readonly csr?: Uint8Array
  /** Pinned attachments (`policy.activate`). */
  readonly pinned: readonly Uint8Array[]
}

/** A statement and what prepare attached to it (DESIGN §1). */
export interface Submission extends Incoming {
  /** FORMAT §5.1 `prepared`; key 0 is the size of the log it was prepared at. */
  readonly prepared: CborMap
}

/**
 * What the rules make of a submission:
 * `entry`: a leaf of this kind, outcome and chain subjects; `prepared` is what of the attachments the entry keeps;
 * `stale`: what it was prepared on has changed, prepare it again; `refuse`: no leaf, an error for the caller.
 */
export type Registration =
  | {
      readonly type: 'entry'
      readonly kind: string
      readonly prepared: CborMap
      readonly outcome: CborMap
      readonly subjects: readonly string[]
      /** Indexes of entries whose disclosures this entry erases. */
      readonly erases?: readonly number[]
    }
  | { readonly type: 'stale' }
  | { readonly type: 'refuse'; readonly code: ErrorCode; readonly message: string }

/** Whether a repeated statement is answered with its entry again, or refused because the answer no longer holds. */
export type Repeat =
  | { readonly type: 'same' }
  | { readonly type: 'refuse'; readonly code: ErrorCode; readonly message: string }

/** What is known when an entry is answered: it is durable under `head`. */
export interface Registered extends RegisteredEntry {
  readonly repeated: boolean
  /** What was disclosed beside the entry and is still there, by name (as submitted, or read back for a repeat). */
  readonly disclosed: MatchedDisclosures['values']
}

/** One type of statement: how it is prepared, registered and answered. */
export interface StatementHandler {
  /** The statement's type, without `vnd.trustwarden.` (FORMAT §6). */
  readonly type: string
  /** `urgent`: the queue that nothing else fills and neither overload nor a clock stop closes (DESIGN §8). */
  readonly lane: 'normal' | 'urgent'
  /** Names of the fields that may only be disclosed. */
  readonly disclosable: readonly string[]
  /** How many pinned attachments a statement comes with at most. They are never erased. Default: 0. */
  readonly attachments?: number
  /** Whether a certificate request may come with a statement. Default: no. */
  readonly takesCsr?: boolean
  /**
   * Finds what two runs could answer differently (policy verdict, certificate, ids drawn). Runs on committed state
   * `view`, in parallel with others, its statement's signature already verified.
   * @throws ServiceError when the input is malformed: no leaf, nothing kept.
   */
  prepare(incoming: Incoming, view: State): Promise<CborMap>
  /** Decides the outcome. Deterministic; total: an error thrown here is a defect and ends the process. */
  register(state: State, submission: Submission): Registration
  /** Decides about a repeat of the registered statement. Default: `same`. */
  repeat?(state: State, registered: RegisteredEntry): Repeat
  /** What the answer holds beside index, outcome and receipt (a permit, a certificate, a lineage). */
  answer?(registered: Registered): JsonValue
}

/** Who signs: a principal that the log knows (FORMAT §7.3). */
export interface Principal {
  readonly principal: string
  readonly role: 'service' | 'operator' | 'owner' | 'reader' | 'agent'
  readonly spki: Uint8Array
  readonly kid: string
  /** Agents: the owner at the root of their chain. */
  readonly owner?: string
}

/** Finds the key of a principal, agents included. */
export interface PrincipalReader {
  find(state: State, principal: string): Principal | undefined
}

/** An agent instance as its issuance recorded it. Times: ms for certificates, s for the ceiling. */
export interface Agent {
  readonly instance: string
  readonly name: string
  readonly owner: string
  readonly spki: Uint8Array
  readonly kid: string
  readonly depth: number
  readonly maxDepth: number
  readonly scope: readonly string[]
  readonly mayCreate: readonly string[]
  /** Content digest of its delegation record. */
  readonly record: Hash
  /** `size` in its delegation record: what a revocation by name or owner is bounded by. */
  readonly recordSize: number
  /** Content digest of the record at depth 0 of its chain. */
  readonly root: Hash
  readonly ceiling: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Index of its `agent.issue` entry. */
  readonly issuedAt: number
  /** Root → parent. */
  readonly ancestors: readonly { readonly instance: string; readonly size: number }[]
}

/** Finds an instance. */
export interface AgentReader {
  find(state: State, instance: string): Agent | undefined
}

/** Reads the revocations in force. */
export interface RevocationReader {
  /**
   * Whether a revocation stops this agent: itself, its name, its owner, or any ancestor (FORMAT §9.4). With `since`,
   * only those that took effect at this index or after it count.
   */
  governs(state: State, agent: Agent, since?: number): boolean
  /** Whether a revocation names exactly this subject. */
  isRevoked(state: State, subject: string): boolean
  /** Count of the revocations that took effect: of all, or of those below `size`. */
  epoch(state: State, size?: number): number
}

/** Reads the policy in force. */
export interface PolicyReader {
  /** Digest of the active policy and the index of the entry that activated it. */
  active(state: State): { readonly digest: Hash; readonly index: number } | undefined
}
