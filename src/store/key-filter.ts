/**
 * @module Which keys a fold on disk has ever had, in memory and in a few bits each: so that a key that `get` no longer
 * finds is noticed when it matters, not at the next start.
 *
 * A flipped bit in one of LevelDB's own filters hides keys from `get` that a scan still shows (measured: 57), and a key
 * taken for new is registered a second time. A filter here says "never written" for certain and "perhaps written"
 * wrongly now and then; in the second case a scan of exactly that key decides.
 *
 * A start fills the filters from LevelDB's files (fold-tables.ts). Where nobody does, the check behind the start fills them,
 * and until it has seen all of a fold each key that `get` does not find is looked for by a scan.
 * Once a filter is filled, a key that it does not have is new, without a look at the disk: every file in which `get` could
 * find it was read, and that random place costs more than all else an entry reads.
 */
import { randomBytes } from 'node:crypto'
import { concatBytes } from '@trustwarden/proofs'
import { equalBytes } from './bytes.ts'
import { StoreError } from './errors.ts'
import { nameOfFoldKey } from './fold-cache.ts'
import type { Keys } from './keys.ts'
import type { Store } from './store.ts'

/** 12 bits a key: of 1,000 keys that were never written, 5 cost a scan (measured). */
const BITS_PER_KEY = 12
/** A key's bits lie in one block, one in each of its words: whoever asks touches one line of the processor's cache. */
const BLOCK_WORDS = 8
/** Odd factors, one a word: the high bits of a product say which bit it is. */
const SALTS: Int32Array = Int32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b,
  0xa2b7289d,
  0x705495c7,
  0x2df1424b,
  0x9efc4947,
  0x5c6bfb31,
)
const FIRST_CAPACITY = 16_384
/** 96 MiB of bits: the next slice is no larger than this one. */
const CAPACITY_MAX = 67_108_864

/** A part of a filter, as it goes from one thread to another. */
export interface Slice {
  readonly bits: Int32Array
  readonly capacity: number
  count: number
}

/**
 * A scalable Bloom filter of blocks: when a slice is full, one of twice its capacity is added.
 *
 * @see https://github.com/apache/parquet-format/blob/master/BloomFilter.md
 */
export class KeyFilter {
  readonly #slices: Slice[] = []
  /** Keys come from callers: without it they could look for keys that share bits. Whoever finds some all the same wins scans. */
  readonly #seed: number
  #nextCapacity: number

  /** @param expected - Keys that it will hold soon. @param seed - Where hashes of keys are there already. */
  constructor(expected = 0, seed: number = randomSeed()) {
    this.#nextCapacity = Math.min(CAPACITY_MAX, Math.max(FIRST_CAPACITY, 2 * expected))
    this.#seed = seed
  }

  /** A filter of keys by their `keyedHash` under a seed. Sorts `hashes`. */
  static of(hashes: Uint32Array, seed: number): KeyFilter {
    const filter = new KeyFilter(hashes.length, seed)
    // In the order of their blocks, so that memory is gone through once: half the time of any other order.
    let last: number | undefined
    for (const hash of hashes.sort()) {
      // A key that was written again is one key.
      if (hash !== last) filter.#put(hash)
      last = hash
    }
    return filter
  }

  /** Its parts. */
  get slices(): readonly Slice[] {
    return this.#slices
  }

  /** Takes in the parts of a filter under the same seed. */
  adopt(slices: readonly Slice[]): void {
    for (const slice of slices) {
      this.#slices.push(slice)
      this.#nextCapacity = Math.min(CAPACITY_MAX, 2 * slice.capacity)
    }
  }

  /** Remembers `key`. */
  add(key: Uint8Array): void {
    const hash = keyedHash(key, 0, key.length, this.#seed)
    if (!this.#has(hash)) this.#put(hash)
  }

  #put(hash: number): void {
    let slice = this.#slices.at(-1)
    if (slice === undefined || slice.count >= slice.capacity) {
      const capacity = this.#nextCapacity
      const blocks = Math.ceil((capacity * BITS_PER_KEY) / (32 * BLOCK_WORDS))
      slice = { bits: new Int32Array(blocks * BLOCK_WORDS), capacity, count: 0 }
      this.#slices.push(slice)
      this.#nextCapacity = Math.min(CAPACITY_MAX, 2 * capacity)
    }
    slice.count++
    const { bits } = slice
    const block = blockOf(hash, bits)
    const mark = finish(hash)
    for (let word = 0; word < BLOCK_WORDS; word++)
      bits[block + word] = (bits[block + word] ?? 0) | bitOf(mark, word)
  }

  /** False: `key` was never added. True: it was, or its bits are those of others. */
  mayHave(key: Uint8Array): boolean {
    return this.#slices.length > 0 && this.#has(keyedHash(key, 0, key.length, this.#seed))
  }

  #has(hash: number): boolean {
    const mark = finish(hash)
    for (const { bits } of this.#slices) if (hasAll(bits, blockOf(hash, bits), mark)) return true
    return false
  }
}

/** Where the block of a hash begins. */
function blockOf(hash: number, bits: Int32Array): number {
  return Math.floor((hash / 0x1_0000_0000) * (bits.length / BLOCK_WORDS)) * BLOCK_WORDS
}

/** The bit of a word. */
function bitOf(mark: number, word: number): number {
  return 1 << (Math.imul(mark, SALTS[word] ?? 1) >>> 27)
}

function hasAll(bits: Int32Array, block: number, mark: number): boolean {
  for (let word = 0; word < BLOCK_WORDS; word++)
    if (((bits[block + word] ?? 0) & bitOf(mark, word)) === 0) return false
  return true
}

/** A seed that nobody can foresee. */
export function randomSeed(): number {
  return randomBytes(4).readInt32LE(0)
}

/** MurmurHash3 of 32 bits, of `bytes` from `from` to `to`: a tenth of what a SHA-256 costs here, and every entry asks several times. */
export function keyedHash(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let hash = seed
  let at = from
  for (; at + 4 <= to; at += 4) {
    const word =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)
    hash = mix(hash, word)
  }
  let rest = 0
  for (let shift = 0; at < to; at++, shift += 8) rest |= (bytes[at] ?? 0) << shift
  return finish(mix(hash, rest) ^ (to - from)) >>> 0
}

function mix(hash: number, word: number): number {
  let mixed = Math.imul(word, 0xcc9e2d51)
  mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
  const both = hash ^ mixed
  return (Math.imul((both << 13) | (both >>> 19), 5) + 0xe6546b64) | 0
}

function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
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

/** The parts of the filter of each fold that has keys. */
export type StoredFilters = ReadonlyMap<number, readonly Slice[]>

/** The filters of all folds on disk, and what was settled since it was written last. */
export class FoldKeys {
  readonly #store: Store
  readonly #keys: Keys
  readonly #filters: ReadonlyMap<number, KeyFilter>
  /** Keys of which a scan and `get` said the same, and which no commit has written since. */
  readonly #settled = new Set<string>()
  /** Looks under way: whoever doubts the same key waits for the same one. */
  readonly #looks = new Map<string, Promise<void>>()
  /** Folds whose filter has every key: what it lacks is new. */
  readonly #watched = new Set<number>()
  /** Whether whoever asks has the blocks of a key compared first, since `adopt` is yet to come: what `get` does not find then is not there. */
  #checksKeys: boolean
  /** Odd while a commit writes. */
  #writes = 0

  /**
   * @param counts - Keys of each fold on disk, by id.
   * @param seed - Of the filters that `adopt` will be given; undefined if nobody reads the files.
   */
  constructor(store: Store, keys: Keys, counts: ReadonlyMap<number, number>, seed?: number) {
    this.#store = store
    this.#keys = keys
    this.#checksKeys = seed !== undefined
    // A filter that will adopt another's parts needs room for what is written until then alone.
    const room = (count: number): number => (seed === undefined ? count : 0)
    this.#filters = new Map(
      [...counts].map(([id, count]) => [id, new KeyFilter(room(count), seed)]),
    )
    for (const [id, count] of counts) if (count === 0) this.watch(id)
  }

  /** Takes in the keys that the files had when the database was opened: what `get` loses from now on is missed. */
  adopt(stored: StoredFilters): void {
    for (const [id, slices] of stored) {
      const filter = this.#filters.get(id)
      if (filter === undefined) continue
      filter.adopt(slices)
      this.watch(id)
    }
    this.#checksKeys = false
  }

  /** Says that every key of the fold was added. */
  watch(fold: number): void {
    this.#watched.add(fold)
  }

  /** Whether the fold certainly does not have the key, so that nobody need look for it. */
  isNew(fold: number, key: Uint8Array): boolean {
    return this.#watched.has(fold) && this.#filters.get(fold)?.mayHave(key) === false
  }

  /** Remembers a key that the fold has. */
  add(fold: number, key: Uint8Array): void {
    this.#filters.get(fold)?.add(key)
  }

  /**
   * Whether a key that is not new, and that `get` did not find, may have been lost: nothing may be decided on it yet.
   *
   * @param name - `nameOfFoldKey`.
   */
  isDoubtful(name: string): boolean {
    return !this.#checksKeys && !this.#settled.has(name)
  }

  /**
   * Compares a scan of exactly this key with `get`. From then on, until a commit writes the key, `get` is believed.
   *
   * @throws {StoreError} `fold_key_lost` if it is there and `get` does not find it, `value_corrupt` if they differ
   */
  look({ fold, key }: KeyDoubt): Promise<void> {
    const stored = this.#keys.fold(fold, key)
    const name = nameOfFoldKey(fold, key)
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

  /** A commit has written the key. @param name - `nameOfFoldKey` */
  wrote(name: string): void {
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
