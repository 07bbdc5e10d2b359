/**
 * @module Heads: signing one, and opening one that was stored (FORMAT §11.1).
 */
import {
  NOTE_ED25519,
  ProofError,
  formatHeadBody,
  formatNote,
  noteKey,
  noteSigningInput,
  openHead,
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

/** Signs a head. Nothing is written: until its batch is on disk, the signature is in memory alone. */
export function signHead(
  signer: Signer,
  origin: string,
  head: { readonly size: number; readonly root: Hash; readonly timeMs: number },
): SignedHead {
  const text = formatHeadBody({ origin, size: head.size, root: head.root, extensions: [] })
  const { keyId, name } = headKey(signer, origin)
  const signature = signer.sign(noteSigningInput(text))
  const note = utf8Decode(formatNote(text, [{ name, keyId, signature }]))
  return { ...head, note }
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
 * @throws {LedgerError} `head_invalid` unless it is signed by the log key and says this size and root
 */
export function openStoredHead(
  key: NoteKey,
  stored: {
    readonly size: number
    readonly root: Uint8Array
    readonly timeMs: number
    readonly head: Uint8Array
  },
): SignedHead {
  const { size, root, timeMs } = stored
  try {
    const head = openHead(nativePrimitives, stored.head, [key], key.name)
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
