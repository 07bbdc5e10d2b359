/**
 * @module What a verified evidence bundle shows, as plain data: it is valid JSON, and nothing in it has to be believed by
 * anybody who can run the check. Hashes and digests are base64url, times Unix milliseconds.
 */
import type { RevokeReason } from './administration.ts'
import type { Effect } from './decision.ts'
import type { JsonValue } from './json.ts'
import type { ActionVerdict } from './outcomes.ts'

/** One check that was made. */
export interface EvidenceStep {
  readonly name: string
  /** False where the check holds and shows that something is wrong or missing: no decision, say, or erased content. */
  readonly ok: boolean
  readonly detail: string
  /** The entry that it is about. */
  readonly index: number | null
}

/** What is disclosed beside a statement: nothing was committed to; here; erased by an entry; not in the bundle. */
export type DisclosureState = 'none' | 'shown' | 'erased' | 'withheld'

/** The action: what its agent says, and what the log found. */
export interface EvidenceAction {
  readonly index: number
  /** Ledger time. */
  readonly timeMs: number
  /** The signer's claim. */
  readonly signedAtMs: number
  readonly eventId: string
  readonly action: string
  readonly resource: { readonly type: string; readonly id: string }
  /** The agent's claim, as the next. */
  readonly timestamp: string
  readonly outcome: 'success' | 'failure' | 'partial'
  readonly verdict: ActionVerdict
  readonly disclosures: DisclosureState
  /** By name; empty unless `disclosures` is `shown`. */
  readonly disclosed: Readonly<Record<string, JsonValue>>
}

/** The decision that the action names. */
export interface EvidenceDecision {
  readonly index: number
  readonly timeMs: number
  readonly id: string
  /** Who asked. */
  readonly instance: string
  readonly action: string
  readonly effect: Effect
  readonly reasons: readonly string[]
  /** Rules of the policy that matched. */
  readonly matched: readonly string[]
  readonly permitExpiresAtMs: number | null
  /** How many revocations there had been when it was prepared, by the log's word. */
  readonly epoch: number
  /** Whether another run of the policy has to give the same verdict. */
  readonly reproducible: boolean
  readonly disclosures: DisclosureState
}

/** The policy that the decision was made under. */
export interface EvidencePolicy {
  readonly index: number
  readonly timeMs: number
  readonly digest: string
  readonly revision: string
  /** Who put it in force: operators, or the service for what genesis names. */
  readonly signers: readonly string[]
}

/** One agent of the chain. */
export interface EvidenceLink {
  readonly instance: string
  readonly name: string
  readonly depth: number
  readonly scope: readonly string[]
  /** Who signed the delegation: the owner, or the instance above. */
  readonly signedBy: string
  /** Index of the issuance. */
  readonly index: number
  readonly timeMs: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly ceilingMs: number
  /** Content digest of the delegation record. */
  readonly record: string
}

/** Who stands at the root. */
export interface EvidenceOwner {
  /** `owner:<kid>` */
  readonly principal: string
  readonly patterns: readonly string[]
  /** Index of the enrolment. */
  readonly index: number
  readonly signers: readonly string[]
}

/** A revocation in the bundle that governs the agent. */
export interface EvidenceRevocation {
  readonly index: number
  readonly timeMs: number
  readonly target: string
  readonly by: string
  readonly reason: RevokeReason
  /** Whether it stands before the action. */
  readonly beforeAction: boolean
}

/** The log before this one, which lost what it acknowledged above this size. */
export interface EvidencePredecessor {
  readonly origin: string
  readonly size: number
  readonly root: string
}

/**
 * What the log recorded and the bundle does not show: that nothing more was revoked, that no earlier action used the
 * decision, that the policy was still in force, that no other entry has the decision's id or request (it may say
 * otherwise than this one), that no decision has the id; and that the decision was spent, or a link
 * revoked, where the entry that shows it is not in the bundle.
 */
export type NotProven =
  | 'no_revocation'
  | 'single_use'
  | 'policy_active'
  | 'decision_unique'
  | 'decision_absent'
  | 'spent'
  | 'revoked'

/** What a verified bundle shows. */
export interface EvidenceReport {
  readonly origin: string
  readonly trustDomain: string
  /** Whether the log says of itself that it is for development. */
  readonly development: boolean
  /** The log that this one succeeds, and where that ended: by what genesis says. */
  readonly predecessor: EvidencePredecessor | null
  readonly head: { readonly size: number; readonly root: string; readonly cosigned: false }
  /** A bundle of which not everything holds has no report. */
  readonly integrity: true
  /** Whether the verdict is `matched`: the log found a decision that permits exactly this action, and it recomputes. */
  readonly authorized: boolean
  /** The agent's name. */
  readonly agent: string
  readonly instance: string
  readonly scope: readonly string[]
  readonly owner: EvidenceOwner
  /** Root → self. */
  readonly chain: readonly EvidenceLink[]
  readonly action: EvidenceAction
  /** `null` where the log found no decision, as the next. */
  readonly decision: EvidenceDecision | null
  readonly policy: EvidencePolicy | null
  readonly revocations: readonly EvidenceRevocation[]
  /** In the order of the type. */
  readonly recordedNotProven: readonly NotProven[]
  /** Kinds of entries in the bundle that this release does not know. */
  readonly unknownKinds: readonly string[]
  readonly steps: readonly EvidenceStep[]
  /** What a bundle that passes does not say. */
  readonly notShown: readonly string[]
}
