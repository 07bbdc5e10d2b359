/** @module A state for rules under test: folds over a map, which can be copied and compared. */
import { toHex } from '@trustwarden/proofs'
import type { Fold, FoldSpec, FoldWriter, RegisteredEntry } from '../../src/ledger/contract.ts'

/** Folds over a map. Whoever writes outside its own fold is a defect. */
export class MapState implements FoldWriter {
  size = 0
  timeMs = 0
  readonly values = new Map<number, Map<string, readonly [Uint8Array, Uint8Array]>>()
  #applying: FoldSpec | undefined

  get(fold: FoldSpec, key: Uint8Array): Uint8Array | undefined {
    return this.values.get(fold.id)?.get(toHex(key))?.[1]
  }

  scan(fold: FoldSpec): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    if (!fold.resident) throw new Error(`fold ${fold.name} is not resident and is scanned`)
    const rows = [...(this.values.get(fold.id)?.values() ?? [])]
    return rows.sort(([a], [b]) => Buffer.compare(a, b))
  }

  put(fold: FoldSpec, key: Uint8Array, value: Uint8Array): void {
    this.#rows(fold).set(toHex(key), [key, value])
  }

  delete(fold: FoldSpec, key: Uint8Array): void {
    this.#rows(fold).delete(toHex(key))
  }

  apply(folds: readonly Fold[], registered: RegisteredEntry): void {
    for (const fold of folds) {
      this.#applying = fold.spec
      fold.apply(registered, this)
    }
    this.#applying = undefined
    this.size = registered.entry.index + 1
    this.timeMs = registered.entry.timeMs
  }

  /** A copy that later entries do not change. */
  copy(): MapState {
    const copy = new MapState()
    copy.size = this.size
    copy.timeMs = this.timeMs
    for (const [id, rows] of this.values) copy.values.set(id, new Map(rows))
    return copy
  }

  /** Everything that the folds hold, in a form that can be compared. */
  dump(): readonly string[] {
    return [...this.values]
      .flatMap(([id, rows]) => [...rows].map(([key, [, v]]) => `${id} ${key} ${toHex(v)}`))
      .sort()
  }

  #rows(fold: FoldSpec): Map<string, readonly [Uint8Array, Uint8Array]> {
    if (this.#applying?.id !== fold.id) throw new Error(`write to fold ${fold.name} from outside`)
    const rows = this.values.get(fold.id) ?? new Map<string, readonly [Uint8Array, Uint8Array]>()
    this.values.set(fold.id, rows)
    return rows
  }
}
