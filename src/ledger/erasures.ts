/**
 * @module The fold of erasures: which entry ordered that the disclosures of an entry be erased.
 *
 *     key    index of the erased entry u64
 *     value  index of the first `erasure` entry that names it u64
 */
import { jsonArray, jsonInteger } from '@trustwarden/proofs'
import type { Statement } from '@trustwarden/proofs'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { u64At, u64Bytes } from './layout.ts'

/** The kind whose entries erase (FORMAT §6). */
export const ERASURE_KIND = 'erasure'

/** Index of the entry that erased the disclosures of entry `index`, or undefined. */
export function erasedBy(state: State, index: number): number | undefined {
  const value = state.get(FOLDS.erasures, u64Bytes(index))
  return value && u64At(value, 0)
}

/**
 * The indexes that an `erasure` statement names (FORMAT §6).
 *
 * @throws {ProofError} `malformed` for a payload that no handler lets through
 */
export function erasedIndexes(statement: Statement): readonly number[] {
  return jsonArray(statement.payload['entries'], 'entries').map((index) =>
    jsonInteger(index, 'entries'),
  )
}

/** Remembers what was erased, and by which entry first. */
export const erasuresFold: Fold = {
  spec: FOLDS.erasures,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (entry.kind !== ERASURE_KIND) return
    for (const index of erasedIndexes(statement)) {
      const key = u64Bytes(index)
      if (writer.get(FOLDS.erasures, key) === undefined) {
        writer.put(FOLDS.erasures, key, u64Bytes(entry.index))
      }
    }
  },
}
