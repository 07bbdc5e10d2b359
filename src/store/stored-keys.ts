/**
 * @module Which keys of folds a database has on disk, read from its files as they were before LevelDB opened them.
 *
 * `get` can lose a key to damage that comes later; whoever asks for it then has to know that it was there.
 */
import { StoreError } from './errors.ts'
import { KeyFilter, keyedHash } from './key-filter.ts'
import type { Slice, StoredFilters } from './key-filter.ts'
import type { Keys } from './keys.ts'
import { readBatchKeys, readJournalRecords } from './level-files.ts'
import type { OnKey } from './table-file.ts'

/** Hashes of keys, as many as come. */
class Hashes {
  #values = new Uint32Array(1024)
  #count = 0

  push(hash: number): void {
    if (this.#count === this.#values.length) {
      const more = new Uint32Array(2 * this.#count)
      more.set(this.#values)
      this.#values = more
    }
    this.#values[this.#count++] = hash
  }

  all(): Uint32Array {
    return this.#values.subarray(0, this.#count)
  }
}

/** Gathers the keys of folds. Their number is known at the end alone, and a filter wants to know it first. */
export class StoredKeys {
  readonly #space: Uint8Array
  readonly #seed: number
  readonly #hashes = new Map<number, Hashes>()

  /** @param seed - That of the filters. */
  constructor(keys: Keys, seed: number) {
    this.#space = keys.of('f')
    this.#seed = seed
  }

  /** Remembers the first `length` bytes of `key`, if that is the key of a fold. */
  add(key: Uint8Array, length: number): void {
    const rest = this.#space.length + 1
    if (length < rest) return
    for (let at = 0; at < this.#space.length; at++) if (key[at] !== this.#space[at]) return
    const fold = key[rest - 1] ?? 0
    let hashes = this.#hashes.get(fold)
    if (hashes === undefined) {
      hashes = new Hashes()
      this.#hashes.set(fold, hashes)
    }
    hashes.push(keyedHash(key, rest, length, this.#seed))
  }

  /** The filter of each fold that has keys. */
  filters(): StoredFilters {
    const filters = new Map<number, readonly Slice[]>()
    for (const [fold, hashes] of this.#hashes)
      filters.set(fold, KeyFilter.of(hashes.all(), this.#seed).slices)
    return filters
  }
}

/**
 * Each key that a journal puts. A record that LevelDB leaves out, since its checksum is wrong, is read too, as far as it
 * can be: that a key may be there costs a look, that one is missed may cost a second entry.
 */
export function readJournalKeys(journal: Uint8Array, onKey: OnKey): void {
  for (const record of readJournalRecords(journal).records) readRecord(record, onKey)
}

function readRecord(record: Uint8Array, onKey: OnKey): void {
  try {
    for (const key of readBatchKeys(record)) onKey(key, key.length)
  } catch (thrown) {
    if (!(thrown instanceof StoreError)) throw thrown
  }
}
