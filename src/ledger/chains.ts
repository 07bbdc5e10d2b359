/**
 * @module The fold of chain heads: for each subject, where its chain ends (FORMAT §5.2).
 *
 *     key    subject, UTF-8
 *     value  sequence number in the chain u64 ‖ index u64 ‖ leaf hash 32       48 bytes
 */
import { allocate, utf8Encode } from '@trustwarden/proofs'
import type { Link } from '@trustwarden/proofs'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { u64At, writeU64 } from './layout.ts'

/** Where a chain ends: the place of its last entry in it, and which entry that is. */
export interface ChainEnd {
  readonly seq: number
  readonly index: number
  readonly leafHash: Uint8Array
}

/** Where the chain of `subject` ends, or undefined if no entry is about it. */
export function chainEnd(state: State, subject: string): ChainEnd | undefined {
  const value = state.get(FOLDS.chains, utf8Encode(subject))
  return value && { seq: u64At(value, 0), index: u64At(value, 8), leafHash: value.slice(16, 48) }
}

/** The link by which the next entry about `subject` continues its chain. */
export function nextLink(state: State, subject: string): Link {
  const end = chainEnd(state, subject)
  if (end === undefined) return { subject, seq: 0, previous: null }
  const { seq, index, leafHash } = end
  return { subject, seq: seq + 1, previous: { index, leafHash } }
}

/** Remembers the last entry of every subject. */
export const chainsFold: Fold = {
  spec: FOLDS.chains,
  apply({ entry, leafHash }: RegisteredEntry, writer: FoldWriter): void {
    for (const { subject, seq } of entry.links) {
      const value = allocate(48)
      writeU64(value, 0, seq)
      writeU64(value, 8, entry.index)
      value.set(leafHash, 16)
      writer.put(FOLDS.chains, utf8Encode(subject), value)
    }
  },
}
