/**
 * @module Reading the log: entries, tiles, proofs, receipts. Everything here is bounded by the published head and never
 * touches the writer.
 */
import { readCommitments, toBase64url, utf8Decode } from '@trustwarden/proofs'
import type { Hash, Receipt } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { Edge } from '../merkle/grow.ts'
import { MerkleError } from '../merkle/errors.ts'
import { Prover } from '../merkle/prove.ts'
import type { NodeSource } from '../merkle/tiles.ts'
import { HASH_LENGTH, TILE_WIDTH, fullTileCount, tileWidth } from '../merkle/tree-math.ts'
import type { Database } from '../store/database.ts'
import { StoreError, checkStore } from '../store/errors.ts'
import { isLost } from '../store/lost.ts'
import { Cache } from './cache.ts'
import { chainEnd } from './chains.ts'
import type { ChainEnd } from './chains.ts'
import type { RegisteredEntry, State } from './contract.ts'
import { erasedBy } from './erasures.ts'
import { LedgerError } from './errors.ts'
import { FullTiles } from './full-tiles.ts'
import type { SignedHead } from './head-note.ts'
import { isHeadless, openStoredHead } from './head-note.ts'
import type { LogKeys } from './log-keys.ts'
import { readRegistered } from './register.ts'
import { CommittedView } from './state.ts'
import { erasedSince, readSupplement } from './supplement.ts'

/** Decoded entries kept, for repeats: some 10 MiB where entries have the usual length. */
const ENTRIES_CACHED = 4096
/** Bytes of a kept entry at most: decoded, it takes several times as much. */
const ENTRY_CACHED_BYTES_MAX = 8192

/** An entry, and its bytes in an array of their own: one in a bundle would keep all of that. */
interface Decoded {
  readonly bytes: Uint8Array
  readonly registered: RegisteredEntry
}

/** The tree under the last published head. */
export interface Published {
  readonly head: SignedHead
  readonly edge: Edge
}

/** Reads one log up to its published head. */
export class LogReader {
  readonly #database: Database
  readonly #keys: LogKeys
  readonly #onDamage: (error: Error) => void
  readonly #fullTiles: FullTiles
  readonly #nodes: NodeSource
  readonly #entries = new Cache<number, Decoded>(
    ENTRIES_CACHED,
    ({ bytes }) => bytes.length <= ENTRY_CACHED_BYTES_MAX,
  )
  /** Written by `publish` alone, when head, batch and record are on disk. */
  #published: Published
  /** Of the size that was asked for last, for one proof at a time. */
  #prover: Prover

  /** @param onDamage - Told when a read finds that what is on disk is not what was written: the log is to stop. */
  constructor(
    database: Database,
    keys: LogKeys,
    published: Published,
    onDamage: (error: Error) => void = () => undefined,
  ) {
    this.#database = database
    this.#keys = keys
    this.#published = published
    this.#onDamage = onDamage
    this.#fullTiles = new FullTiles(
      (level, index) => database.tile(level, index),
      () => this.edge(),
    )
    this.#nodes = {
      node: (position) =>
        position.tileIndex === fullTileCount(this.edge().size, position.level)
          ? this.edge().node(position)
          : this.#guarded(() => this.#fullTiles.node(position)),
    }
    this.#prover = this.#newProver(0, false)
  }

  /** Makes a head the one that everything is read under. */
  publish(published: Published): void {
    this.#published = published
  }

  /** The published head. */
  head(): SignedHead {
    return this.#published.head
  }

  /** The edge of the published tree. */
  edge(): Edge {
    return this.#published.edge
  }

  /** The state as of the published head (see `CommittedView`). */
  view(): State {
    const { size, timeMs } = this.#published.head
    return new CommittedView(this.#database.folds, size, timeMs, (read) => this.#guarded(read))
  }

  /** Where the chain of `subject` ends, or undefined if no entry is about it (FORMAT §5.3). */
  chainEnd(subject: string): ChainEnd | undefined {
    return chainEnd(this.view(), subject)
  }

  /**
   * The head of the batch that ended at `size`, or undefined if none did, or a `recover` wrote it without one.
   *
   * @throws {LedgerError} `head_invalid`
   */
  headAt(size: number): SignedHead | undefined {
    const { head } = this.#published
    if (size >= head.size) return size === head.size ? head : undefined
    return this.#guarded(() => {
      const record = this.#database.batchRecord(size)
      return record === undefined || isHeadless(record)
        ? undefined
        : openStoredHead(this.#keys.at(this.view(), size), record)
    })
  }

  /** Bytes of entry `index`, or undefined at and above the size. @throws {StoreError} as `Database.entry` */
  entryBytes(index: number): Uint8Array | undefined {
    if (!(index < this.head().size)) return undefined
    return this.#guarded(() => this.#database.entry(index))
  }

  /** Entry `index` with its statement, or undefined at and above the size. @throws {LedgerError} `entry_invalid` */
  registered(index: number): RegisteredEntry | undefined {
    return this.#decoded(index)?.registered
  }

  #decoded(index: number): Decoded | undefined {
    return this.#entries.get(index, () => {
      const bytes = this.entryBytes(index)?.slice()
      return bytes && this.#guarded(() => ({ bytes, registered: readRegistered(bytes, index) }))
    })
  }

  /**
   * The disclosures of an entry that are still there, in the order of its `_sd`: all, or none after an erasure.
   *
   * @throws {StoreError} `erasable_mismatch`, `erasable_missing` (fatal)
   */
  disclosures({ entry: { index }, statement }: RegisteredEntry): readonly string[] {
    return this.#guarded(() => {
      const found: string[] = []
      for (const [ordinal, digest] of readCommitments(statement.payload).entries()) {
        const name = `disclosure ${ordinal} of entry ${index}`
        const value = this.#database.erasableValue(index, ordinal)
        if (value === undefined) {
          const isKnown = this.isErased(index) || isLost(this.#database, index)
          checkStore(isKnown, 'erasable_missing', `${name} is not there, and not erased`)
          continue
        }
        const same = toBase64url(nativePrimitives.sha256(value)) === digest
        checkStore(same, 'erasable_mismatch', `${name} is not the one in the leaf`)
        found.push(utf8Decode(value))
      }
      return found
    })
  }

  /** Whether an erasure names entry `index`. */
  isErased(index: number): boolean {
    return erasedBy(this.view(), index) !== undefined
  }

  /** The pinned attachment with this SHA-256, or undefined. @throws {StoreError} `value_corrupt` */
  pinned(digest: Uint8Array): Uint8Array | undefined {
    return this.#guarded(() => this.#database.pinned(digest))
  }

  /** The inclusion proof of entry `index` in the tree of `size`, to be read at once. @throws {ServiceError} `range_invalid` */
  inclusion(index: number, size: number): readonly Hash[] {
    this.#checkRange(
      isUint(index) && index < size,
      () => `index ${index} is not below size ${size}`,
    )
    return this.#proverOf(size).inclusion(index)
  }

  /**
   * The range proof of the entries from `start` to `end` in the tree of `size`, to be read at once.
   *
   * @throws {ServiceError} `range_invalid`
   */
  range(start: number, end: number, size: number): readonly Hash[] {
    const valid = isUint(start) && isUint(end) && start < end && end <= size
    this.#checkRange(valid, () => `entries ${start} to ${end} are not a range of size ${size}`)
    return this.#proverOf(size).range(start, end)
  }

  /** The consistency proof from `oldSize` to `newSize`, to be read at once. @throws {ServiceError} `range_invalid` */
  consistency(oldSize: number, newSize: number): readonly Hash[] {
    this.#checkRange(
      isUint(oldSize) && oldSize <= newSize,
      () => `old size ${oldSize} is not from 0 to ${newSize}`,
    )
    return this.#proverOf(newSize).consistency(oldSize)
  }

  /** The root at `size`. @throws {ServiceError} `range_invalid` */
  root(size: number): Hash {
    return this.prover(size).root()
  }

  /**
   * The first `width` hashes of a tile (C2SP tlog-tiles), or undefined if the log does not have them yet.
   *
   * @param width - 1 to 256.
   */
  tile(level: number, index: number, width: number): Uint8Array | undefined {
    const valid = isUint(level) && isUint(index) && isUint(width) && width >= 1
    const { size } = this.head()
    if (!valid || width > tileWidth(size, level, index)) return undefined
    const isPartial = index === fullTileCount(size, level)
    const bytes = isPartial
      ? this.edge().partialTile(level)
      : this.#guarded(() => this.#fullTiles.tile(level, index))
    return bytes.slice(0, width * HASH_LENGTH)
  }

  /** The first `width` entries of a bundle (C2SP tlog-tiles), or undefined if the log does not have them yet. */
  bundle(index: number, width: number): Uint8Array | undefined {
    const valid = isUint(index) && isUint(width) && width >= 1 && width <= TILE_WIDTH
    if (!valid || index * TILE_WIDTH + width > this.head().size) return undefined
    return this.#guarded(() => this.#database.bundle(index, width))
  }

  /** What lies beside the entries of a bundle below `size` (supplement.ts), or undefined above the published head. */
  async supplement(index: number, size: number): Promise<Uint8Array | undefined> {
    const valid = isUint(index) && isUint(size) && size <= this.head().size
    if (!valid || index * TILE_WIDTH >= size) return undefined
    return this.#guardedLater(() => readSupplement(this.#database, index, size))
  }

  /** Entries whose disclosures an entry from `from` on erased, ascending. */
  async erasedSince(from: number): Promise<readonly number[]> {
    return this.#guardedLater(() => erasedSince(this.#database, from))
  }

  /**
   * The receipt of entry `index` under a head: the published one, or an earlier one of `headAt` (FORMAT §11.3).
   *
   * @param prover - Of the head's size; shared between the receipts of one batch.
   * @throws {ServiceError} `range_invalid`
   */
  receipt(
    index: number,
    head: SignedHead = this.head(),
    prover: Prover = this.prover(head.size),
  ): Receipt {
    this.#checkRange(
      isUint(index) && index < head.size,
      () => `index ${index} is not below size ${head.size}`,
    )
    const path = prover.inclusion(index)
    const entry = this.#entries.get(index, () => undefined)?.bytes ?? this.entryBytes(index)
    if (entry === undefined) throw new ServiceError('range_invalid', `there is no entry ${index}`)
    return { index, entry, path, head: head.note }
  }

  /**
   * A prover at `size`, for several proofs. It keeps every node that it shows: not to be kept itself.
   *
   * @throws {ServiceError} `range_invalid`
   */
  prover(size: number): Prover {
    return this.#newProver(size, true)
  }

  #newProver(size: number, keepsNodes: boolean): Prover {
    this.#checkRange(
      isUint(size) && size <= this.head().size,
      () => `size ${size} is not from 0 to ${this.head().size}`,
    )
    return new Prover(nativePrimitives, size, this.#nodes, keepsNodes)
  }

  /** A prover at `size` for one proof: shared by those that ask for the same size one after the other. */
  #proverOf(size: number): Prover {
    if (this.#prover.size !== size) this.#prover = this.#newProver(size, false)
    return this.#prover
  }

  /** Runs a read. What it finds damaged stops the log: nothing more may be decided or proven on it. */
  #guarded<T>(read: () => T): T {
    try {
      return read()
    } catch (thrown) {
      if (thrown instanceof Error && isDamage(thrown)) this.#onDamage(thrown)
      throw thrown
    }
  }

  async #guardedLater<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (thrown) {
      if (thrown instanceof Error && isDamage(thrown)) this.#onDamage(thrown)
      throw thrown
    }
  }

  #checkRange(condition: boolean, message: () => string): void {
    if (!condition) throw new ServiceError('range_invalid', message())
  }
}

/** Whether an error says that what is on disk is not what was written, or cannot be read. */
export function isDamage(error: Error): boolean {
  if (error instanceof StoreError) return error.fatal && error.code !== 'store_closed'
  // A stopped log is the consequence of a fatal error, not one itself.
  if (error instanceof LedgerError) return error.fatal && error.code !== 'log_stopped'
  return error instanceof MerkleError && error.code === 'tile_malformed'
}

function isUint(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
