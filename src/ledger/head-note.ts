/**
 * @module Heads: signing one, and opening one that was stored (FORMAT §11.1).
 */
import {
  NOTE_ED25519,
  ProofError,
  formatHeadBody,
  formatNote,
  formatVkey,
  noteKey,
  noteSigningInput,
  openHead,
  openNote,
  utf8Decode,
} from '@trustwarden/proofs'
import type { Hash, NoteKey } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Signer } from '../crypto.ts'
import { LedgerError } from './errors.ts'

/** The signed head of one batch. */
export interface SignedHead {
  readonly size: number
  readonly root: Hash
  /** Ledger time of the batch, ms. Not part of what is signed. */
  readonly timeMs: number
  /** The note as text: what receipts hold and the log serves. */
  readonly note: string
}

/** The key under which heads are signed and verified, named by the log's origin. */
export function headKey(signer: Pick<Signer, 'publicKey'>, origin: string): NoteKey {
  return noteKey(nativePrimitives, origin, NOTE_ED25519, signer.publicKey)
}

/** Signs a head, by all of `signers`. Nothing is written: until its batch is on disk, the signature is in memory alone. */
export function signHead(
  signers: readonly { readonly key: NoteKey; readonly signer: Signer }[],
  head: { readonly size: number; readonly root: Hash; readonly timeMs: number },
): SignedHead {
  const origin = signers[0]?.key.name ?? ''
  const text = formatHeadBody({ origin, size: head.size, root: head.root, extensions: [] })
  const input = noteSigningInput(text)
  const signatures = signers.map(({ key: { name, keyId }, signer }) => ({
    name,
    keyId,
    signature: signer.sign(input),
  }))
  return { ...head, note: utf8Decode(formatNote(text, signatures)) }
}

/**
 * Whether a batch has no head of its own. `recover` writes such ones: the heads of that time are in the hands of those who
 * got them, nothing signs them again, and the one head that the batches led to is over them all.
 */
export function isHeadless({ head }: { readonly head: Uint8Array }): boolean {
  return head.length === 0
}

/**
 * Opens a head that was stored with a batch.
 *
 * @param keys - The keys that have to have signed a head of this size; the first is the one in force.
 * @throws {LedgerError} `head_invalid` unless it is signed by all of them and says this size and root
 */
export function openStoredHead(
  keys: readonly NoteKey[],
  stored: {
    readonly size: number
    readonly root: Uint8Array
    readonly timeMs: number
    readonly head: Uint8Array
  },
): SignedHead {
  const { size, root, timeMs } = stored
  try {
    const head = openHead(nativePrimitives, stored.head, keys, keys[0]?.name ?? '')
    const { verifiedBy } = openNote(nativePrimitives, stored.head, keys)
    const silent = keys.find((key) => !verifiedBy.some((one) => one.key === key))
    if (silent !== undefined) {
      throw new LedgerError(
        'head_invalid',
        `the stored head of size ${size} is not signed by the log key ${formatVkey(silent)}`,
      )
    }
    const same = head.size === size && Buffer.compare(head.root, root) === 0
    if (!same || head.extensions.length > 0) {
      throw new LedgerError(
        'head_invalid',
        `the stored head of size ${size} says another size or root`,
      )
    }
    return { size, root: head.root, timeMs, note: utf8Decode(stored.head) }
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    throw new LedgerError(
      'head_invalid',
      `the stored head of size ${size} does not verify under the log key: ${thrown.message}`,
      { cause: thrown },
    )
  }
}
