/**
 * @module Which keys of folds a database has on disk, read from its files before LevelDB opens them.
 *
 * `get` can lose a key to damage that comes later; whoever asks for it then has to know that it was there.
 */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from './errors.ts'
import { KeyFilter, keyedHash, randomSeed } from './key-filter.ts'
import type { Keys } from './keys.ts'
import { readBatchKeys, readJournalRecords } from './level-files.ts'
import type { Manifest } from './manifest.ts'

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
  readonly #seed = randomSeed()
  readonly #hashes = new Map<number, Hashes>()

  constructor(keys: Keys) {
    this.#space = keys.of('f')
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

  /** A filter for each fold that has keys. */
  filters(): ReadonlyMap<number, KeyFilter> {
    const filters = new Map<number, KeyFilter>()
    for (const [fold, hashes] of this.#hashes)
      filters.set(fold, KeyFilter.of(hashes.all(), this.#seed))
    return filters
  }
}

/**
 * Each key that a journal in force puts. A record that LevelDB leaves out, since its checksum is wrong, is read too, as far
 * as it can be: that a key may be there costs a look, that one is missed may cost a second entry.
 *
 * @throws {StoreError} `store_open_failed` if one cannot be read
 */
export async function readJournalKeys(
  directory: string,
  manifest: Manifest,
  onKey: (key: Uint8Array, length: number) => void,
): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^\d+\.log$/.test(name) || Number.parseInt(name, 10) < manifest.journal) continue
    const journal = await readFile(join(directory, name)).catch((cause: unknown) => {
      throw new StoreError('store_open_failed', `${name} in ${directory} cannot be read`, { cause })
    })
    for (const record of readJournalRecords(journal).records) readRecord(record, onKey)
  }
}

function readRecord(record: Uint8Array, onKey: (key: Uint8Array, length: number) => void): void {
  try {
    for (const key of readBatchKeys(record)) onKey(key, key.length)
  } catch (thrown) {
    if (!(thrown instanceof StoreError)) throw thrown
  }
}
