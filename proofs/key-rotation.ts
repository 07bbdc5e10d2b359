/**
 * @module The rotation of a log's key: a proposal of operators, over which the old key and the new one have signed. Both
 * sign CBOR, which begins with a byte that no UTF-8 text begins with, so that neither signature is ever one of a head, nor
 * a head's one of a rotation (FORMAT §11.7).
 */
import { encodeCbor } from './cbor.ts'
import { bytes, choice, integer, parsed } from './claims.ts'
import { check } from './errors.ts'
import { equalBytes } from './bytes.ts'
import { areConfusable, formatVkey, NOTE_ED25519, type NoteKey, parseVkey } from './note.ts'
import { checkSubject, readPayload } from './payload.ts'
import type { Primitives } from './primitives.ts'
import type { Statement } from './statement.ts'

/** The first words of what both keys sign. */
const ROTATION_DOMAIN = 'trustwarden/key.rotate/1'

/**
 * How far below `until` a rotation must lie in the log: more than a batch holds, so that the head of its batch, and with
 * it the proof of the rotation, is signed by the old key too.
 */
export const ROTATION_OVERLAP_MIN = 1024

/**
 * How far above it `until` may lie: thirty days of a million actions a day, each with its decision. So a key that was
 * retired is one that can be destroyed, whatever operators signed by mistake.
 */
export const ROTATION_OVERLAP_MAX = 60_000_000

/** A rotation of the log key. */
export interface KeyRotation {
  /** In force before, named as the origin. */
  readonly old: NoteKey
  /** In force from the first size on that holds the entry by which the rotation takes effect. */
  readonly new: NoteKey
  /** The last size whose head is signed by the old key too. */
  readonly until: number
}

/** The bytes that the old key and the new one sign. @see FORMAT §11.7 */
export function rotationInput({ old, new: next, until }: KeyRotation): Uint8Array {
  return encodeCbor([ROTATION_DOMAIN, 'log', formatVkey(old), formatVkey(next), until])
}

/**
 * Reads a rotation, and verifies what both keys signed.
 *
 * @throws {ProofError} `origin_mismatch` for a key that is named for another log; `algorithm_unsupported` for one that is
 *   not the key of a log; `claim_invalid` if both are one, or of one key id; `signature_invalid`; else as `readPayload`.
 * @see FORMAT §6, §11.7
 */
export function parseKeyRotate(p: Primitives, statement: Statement): KeyRotation {
  const vkey = parsed((text) => parseVkey(p, text))
  const read = readPayload(statement, 'key.rotate', ['operator'], {
    key: choice('log'),
    old: vkey,
    new: vkey,
    until: integer(),
    old_signature: bytes(64),
    new_signature: bytes(64),
  })
  checkSubject(statement, 'log', 'log')
  const { old, new: next, until } = read
  for (const key of [old, next]) {
    check(key.name === statement.header.aud, 'origin_mismatch', 'vkey: named for another log')
    check(key.type === NOTE_ED25519, 'algorithm_unsupported', 'vkey: not the key of a log')
  }
  check(!equalBytes(old.publicKey, next.publicKey), 'claim_invalid', 'new: the old key')
  check(!areConfusable(old, next), 'claim_invalid', 'new: of the key id of the old key')
  const rotation = { old, new: next, until }
  const input = rotationInput(rotation)
  const byOld = p.ed25519Verify(old.publicKey, input, read.old_signature)
  check(byOld, 'signature_invalid', 'old_signature: does not verify')
  const byNew = p.ed25519Verify(next.publicKey, input, read.new_signature)
  check(byNew, 'signature_invalid', 'new_signature: does not verify')
  return rotation
}
