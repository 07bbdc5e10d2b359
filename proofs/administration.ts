/**
 * @module The statements by which a log is administered: enrolments, the policy in force, the clock, revocations and
 * erasures.
 */
import { choice, digest, integer, list, namePatterns, parsed, spki, text } from './claims.ts'
import { readCommitments } from './disclosure.ts'
import { check } from './errors.ts'
import { keyId } from './key.ts'
import type { NamePattern } from './name-pattern.ts'
import { checkSubject, readPayload } from './payload.ts'
import { type KeyRole, parseSubject, type Subject } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'
import type { Statement } from './statement.ts'

/** Entries that one erasure may name. */
export const ERASURE_ENTRIES_MAX = 100

/** Characters in the revision of a policy. */
export const REVISION_LENGTH_MAX = 128

/** The enrolment of an operator. */
export interface OperatorEnroll {
  /** DER SubjectPublicKeyInfo. */
  readonly key: Uint8Array
  readonly kid: string
}

/** The enrolment of an owner. */
export interface OwnerEnroll {
  /** DER SubjectPublicKeyInfo. */
  readonly key: Uint8Array
  readonly kid: string
  /** What the owner's own agents may be called; 1 to 64. */
  readonly patterns: readonly NamePattern[]
  /** Digests of what is disclosed. */
  readonly commitments: readonly string[]
}

/** The enrolment of a member. */
export interface MemberEnroll {
  readonly role: 'reader'
  /** DER SubjectPublicKeyInfo. */
  readonly key: Uint8Array
  readonly kid: string
  /** Digests of what is disclosed. */
  readonly commitments: readonly string[]
}

/** The choice of a policy. */
export interface PolicyActivate {
  /** Digest of the pinned policy. */
  readonly policy: Hash
  readonly revision: string
}

/** An operator's acceptance of a clock that jumped. */
export interface OperatorClock {
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number
}

/** Why something was revoked. */
export type RevokeReason = 'compromised' | 'superseded' | 'ceased' | 'unspecified'

/** A revocation. */
export interface Revoke {
  /** An instance, a name or an owner. */
  readonly target: Subject
  readonly reason: RevokeReason
  /** Digests of what is disclosed. */
  readonly commitments: readonly string[]
}

/** Why something was erased. */
export type ErasureReason = 'subject_request' | 'retention' | 'error' | 'unspecified'

/** An erasure of what the statements of these entries disclosed. */
export interface Erasure {
  /** Indexes, ascending, 1 to 100. */
  readonly entries: readonly number[]
  readonly reason: ErasureReason
}

/**
 * Reads the enrolment of an operator.
 *
 * @throws {ProofError} `claim_invalid` if `sub` does not name the key; else as `readPayload`.
 * @see FORMAT §6
 */
export function parseOperatorEnroll(p: Primitives, statement: Statement): OperatorEnroll {
  const { key } = readPayload(statement, 'operator.enroll', ['operator', 'service'], { key: spki })
  return { key, kid: checkEnrolled(p, statement, 'operator', key) }
}

/**
 * Reads the enrolment of an owner.
 *
 * @throws {ProofError} `claim_invalid` if `sub` does not name the key; `too_large` for more than 64 patterns; else as `readPayload`.
 * @see FORMAT §6
 */
export function parseOwnerEnroll(p: Primitives, statement: Statement): OwnerEnroll {
  const { key, patterns } = readPayload(statement, 'owner.enroll', ['operator', 'service'], {
    key: spki,
    patterns: namePatterns(1),
  })
  const commitments = readCommitments(statement.payload)
  return { key, kid: checkEnrolled(p, statement, 'owner', key), patterns, commitments }
}

/**
 * Reads the enrolment of a member.
 *
 * @throws {ProofError} `claim_invalid` if `sub` does not name the key; else as `readPayload`.
 * @see FORMAT §6
 */
export function parseMemberEnroll(p: Primitives, statement: Statement): MemberEnroll {
  const { role, key } = readPayload(statement, 'member.enroll', ['operator'], {
    role: choice('reader'),
    key: spki,
  })
  const commitments = readCommitments(statement.payload)
  return { role, key, kid: checkEnrolled(p, statement, role, key), commitments }
}

/**
 * Reads the choice of a policy.
 *
 * @throws {ProofError} as `readPayload`.
 * @see FORMAT §6
 */
export function parsePolicyActivate(statement: Statement): PolicyActivate {
  const read = readPayload(statement, 'policy.activate', ['operator', 'service'], {
    policy: digest,
    revision: text(1, REVISION_LENGTH_MAX),
  })
  checkSubject(statement, 'policy', 'policy')
  return read
}

/**
 * Reads an operator's acceptance of the clock.
 *
 * @throws {ProofError} as `readPayload`.
 * @see FORMAT §6
 */
export function parseOperatorClock(statement: Statement): OperatorClock {
  const { time_ms: timeMs } = readPayload(statement, 'operator.clock', ['operator'], {
    time_ms: integer(),
  })
  checkSubject(statement, 'log', 'log')
  return { timeMs }
}

/**
 * Reads a revocation. Whether its signer may revoke the target is for whoever knows the target's owner and ancestors.
 *
 * @throws {ProofError} `claim_invalid` for a target that is neither instance, name nor owner; else as `readPayload`.
 * @see FORMAT §6
 */
export function parseRevoke(statement: Statement): Revoke {
  const { target, reason } = readPayload(
    statement,
    'agent.revoke',
    ['operator', 'owner', 'agent'],
    {
      target: parsed(parseSubject),
      reason: choice('compromised', 'superseded', 'ceased', 'unspecified'),
    },
  )
  const revocable = target.kind !== 'log' && target.kind !== 'policy'
  check(revocable, 'claim_invalid', 'target: neither inst:, agent: nor owner:')
  checkSubject(statement, target.text, 'the target')
  return { target, reason, commitments: readCommitments(statement.payload) }
}

/**
 * Reads an erasure. Whether its signer may erase each entry is for whoever has the entries.
 *
 * @throws {ProofError} `too_large` for more than 100 entries; `not_canonical` if they do not ascend; else as
 *   `readPayload`.
 * @see FORMAT §6
 */
export function parseErasure(statement: Statement): Erasure {
  const erasure = readPayload(statement, 'erasure', ['operator', 'owner'], {
    entries: list(integer(), 1),
    reason: choice('subject_request', 'retention', 'error', 'unspecified'),
  })
  checkSubject(statement, 'log', 'log')
  const { entries } = erasure
  const most = ERASURE_ENTRIES_MAX
  check(entries.length <= most, 'too_large', `entries: ${entries.length}, at most ${most}`)
  let previous = -1
  for (const index of entries) {
    check(index > previous, 'not_canonical', 'entries: not ascending')
    previous = index
  }
  return erasure
}

function checkEnrolled(
  p: Primitives,
  statement: Statement,
  role: KeyRole,
  key: Uint8Array,
): string {
  const kid = keyId(p, key)
  checkSubject(statement, `${role}:${kid}`, `${role}: and the id of the key`)
  return kid
}
