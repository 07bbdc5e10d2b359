/**
 * @module Which keys a fold on disk has ever had, in memory and in a few bits each: so that a key that `get` no longer
 * finds is noticed when it matters, not at the next start.
 *
 * A flipped bit in one of LevelDB's own filters hides keys from `get` that a scan still shows (measured: 57), and a key
 * taken for new is registered a second time. A filter here says "never written" for certain and "perhaps written"
 * wrongly now and then; in the second case a scan of exactly that key decides.
 *
 * After a start the filters are filled behind the service (start-checks.ts); a key is watched from when it was noted. What
 * flipped in a table until then was found before LevelDB opened it (table-sums.ts). Once every key of a fold has been seen
 * and its sum is the one written, a key that the filter does not have is new, without a look at the disk.
 */
import { randomBytes } from 'node:crypto'
import { concatBytes } from '@trustwarden/proofs'
import { equalBytes, latin1 } from './bytes.ts'
import { StoreError } from './errors.ts'
import type { Keys } from './keys.ts'
import type { Store } from './store.ts'

/** 12 bits and 8 hashes a key: of 1,000 keys that were never written, 3 cost a scan. */
const BITS_PER_KEY = 12
const HASHES = 8
const FIRST_CAPACITY = 16_384
/** 96 MiB of bits: the next slice is no larger than this one. */
const CAPACITY_MAX = 67_108_864

interface Slice {
  readonly bits: Uint32Array
  readonly capacity: number
  count: number
}

/** A scalable Bloom filter: when a slice is full, one of twice its capacity is added. */
export class KeyFilter {
  readonly #slices: Slice[] = []
  /** Keys come from callers: without it they could look for keys that share bits. Whoever finds some all the same wins scans. */
  readonly #startSeed = randomSeed()
  readonly #stepSeed = randomSeed()
  #nextCapacity: number

  /** @param expected - Keys that it will hold soon. */
  constructor(expected = 0) {
    this.#nextCapacity = Math.min(CAPACITY_MAX, Math.max(FIRST_CAPACITY, 2 * expected))
  }

  /** Remembers `key`. */
  add(key: Uint8Array): void {
    const start = keyedHash(key, this.#startSeed)
    const step = keyedHash(key, this.#stepSeed) | 1
    if (this.#has(start, step)) return
    let slice = this.#slices.at(-1)
    if (slice === undefined || slice.count >= slice.capacity) {
      const capacity = this.#nextCapacity
      slice = { bits: new Uint32Array((capacity * BITS_PER_KEY) / 32), capacity, count: 0 }
      this.#slices.push(slice)
      this.#nextCapacity = Math.min(CAPACITY_MAX, 2 * capacity)
    }
    slice.count++
    const { bits } = slice
    for (let i = 0; i < HASHES; i++) {
      const bit = bitOf(start, step, i, bits.length * 32)
      const at = Math.floor(bit / 32)
      bits[at] = (bits[at] ?? 0) | (1 << (bit % 32))
    }
  }

  /** False: `key` was never added. True: it was, or its bits are those of others. */
  mayHave(key: Uint8Array): boolean {
    if (this.#slices.length === 0) return false
    return this.#has(keyedHash(key, this.#startSeed), keyedHash(key, this.#stepSeed) | 1)
  }

  #has(start: number, step: number): boolean {
    for (const { bits } of this.#slices) if (hasAll(bits, start, step)) return true
    return false
  }
}

/** The `i`-th of a key's bits (Kirsch and Mitzenmacher: two hashes serve for all). */
function bitOf(start: number, step: number, i: number, bits: number): number {
  return ((((start + Math.imul(i, step)) >>> 0) * bits) / 0x1_0000_0000) | 0
}

function hasAll(bits: Uint32Array, start: number, step: number): boolean {
  for (let i = 0; i < HASHES; i++) {
    const bit = bitOf(start, step, i, bits.length * 32)
    if (((bits[Math.floor(bit / 32)] ?? 0) & (1 << (bit % 32))) === 0) return false
  }
  return true
}

function randomSeed(): number {
  return randomBytes(4).readUInt32LE(0)
}

/** MurmurHash3 of 32 bits: a tenth of what a SHA-256 costs here, and every entry asks several times. */
function keyedHash(key: Uint8Array, seed: number): number {
  let hash = seed
  for (let at = 0; at < key.length; at += 4) {
    const word =
      (key[at] ?? 0) |
      ((key[at + 1] ?? 0) << 8) |
      ((key[at + 2] ?? 0) << 16) |
      ((key[at + 3] ?? 0) << 24)
    let mixed = Math.imul(word, 0xcc9e2d51)
    mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
    hash ^= mixed
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64
  }
  hash ^= key.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * A key of a fold that `get` did not find may be there: nothing may be decided on it before `Folds.settle` has looked.
 * It is thrown through handlers and folds, which do not catch it; whoever decides settles it and decides again.
 */
export class KeyDoubt extends Error {
  override readonly name = 'KeyDoubt'
  readonly fatal = false
  readonly fold: number
  /** Without prefix and fold id. */
  readonly key: Uint8Array

  constructor(fold: number, key: Uint8Array) {
    super(`a key of fold ${fold} is to be looked for by a scan`)
    this.fold = fold
    this.key = key
  }
}

/** What was settled is remembered until a commit writes it, and never more keys than this. */
const SETTLED_MAX = 65_536
/** Only what stays contradictory while no commit runs is damage. */
const LOOKS = 3

/** The filters of all folds on disk, and what was settled since it was written last. */
export class FoldKeys {
  readonly #store: Store
  readonly #keys: Keys
  readonly #filters: ReadonlyMap<number, KeyFilter>
  /** Keys of which a scan and `get` said the same, and which no commit has written since. */
  readonly #settled = new Set<string>()
  /** Looks under way: whoever doubts the same key waits for the same one. */
  readonly #looks = new Map<string, Promise<void>>()
  /** Folds whose filter has every key that the fold has, and whose sum was the one written. */
  readonly #complete = new Set<number>()
  /** Odd while a commit writes. */
  #writes = 0

  /** @param counts - Keys of each fold on disk, by id. */
  constructor(store: Store, keys: Keys, counts: ReadonlyMap<number, number>) {
    this.#store = store
    this.#keys = keys
    this.#filters = new Map([...counts].map(([id, count]) => [id, new KeyFilter(count)]))
    for (const [id, count] of counts) if (count === 0) this.complete(id)
  }

  /** Says that every key of the fold was added, and that the fold is as it was written. */
  complete(fold: number): void {
    this.#complete.add(fold)
  }

  /** Whether the fold certainly does not have the key, so that nobody need look for it. */
  isNew(fold: number, key: Uint8Array): boolean {
    return this.#complete.has(fold) && this.#filters.get(fold)?.mayHave(key) === false
  }

  /** Remembers a key that the fold has. */
  add(fold: number, key: Uint8Array): void {
    this.#filters.get(fold)?.add(key)
  }

  /** Whether a key that `get` did not find may have been lost: nothing may be decided on it yet. */
  isDoubtful(fold: number, key: Uint8Array): boolean {
    if (this.#filters.get(fold)?.mayHave(key) !== true) return false
    return !this.#settled.has(latin1(this.#keys.fold(fold, key)))
  }

  /**
   * Compares a scan of exactly this key with `get`. From then on, until a commit writes the key, `get` is believed.
   *
   * @throws {StoreError} `fold_key_lost` if it is there and `get` does not find it, `value_corrupt` if they differ
   */
  look({ fold, key }: KeyDoubt): Promise<void> {
    const stored = this.#keys.fold(fold, key)
    const name = latin1(stored)
    const running = this.#looks.get(name)
    if (running !== undefined) return running
    const look = this.#compare(stored).then(
      () => {
        // A commit that wrote the key meanwhile took the look away: what it saw may be the value before.
        if (this.#looks.get(name) === look) this.#settle(name)
      },
      (error: unknown) => {
        this.#looks.delete(name)
        throw error
      },
    )
    this.#looks.set(name, look)
    return look
  }

  /** A commit begins or ends to write: a look beside it can see a row before and its `get` after. */
  writes(): void {
    this.#writes++
  }

  /** A commit has written the key. */
  wrote(fold: number, key: Uint8Array): void {
    if (this.#settled.size === 0 && this.#looks.size === 0) return
    const name = latin1(this.#keys.fold(fold, key))
    this.#settled.delete(name)
    this.#looks.delete(name)
  }

  #settle(name: string): void {
    this.#looks.delete(name)
    if (this.#settled.size >= SETTLED_MAX) this.#settled.clear()
    this.#settled.add(name)
  }

  async #compare(gte: Uint8Array): Promise<void> {
    const lt = concatBytes(gte, Uint8Array.of(0))
    for (let n = 0; n < LOOKS; ) {
      const writes = this.#writes
      let shown: Uint8Array | undefined
      for await (const row of this.#store.scan({ gte, lt, limit: 1 })) shown = row.value
      const found = this.#store.get(gte)
      if (shown === undefined ? found === undefined : found && equalBytes(shown, found)) return
      if (writes === this.#writes && writes % 2 === 0) n++
      if (n < LOOKS || found !== undefined) continue
      throw new StoreError(
        'fold_key_lost',
        `${this.#keys.nameOf(gte)} is shown by a scan, not found by get`,
      )
    }
    throw new StoreError('value_corrupt', `${this.#keys.nameOf(gte)}: scan and get differ`)
  }
}
