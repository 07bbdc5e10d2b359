/**
 * @module Entries of full bundles, each checked against its leaf hash in the level-0 tile when it is first asked for.
 */
import { equalBytes } from './bytes.ts'
import { StoreError, checkStore } from './errors.ts'
import { hashLeaf } from './hash.ts'
import { BUNDLE_ENTRIES, TILE_BYTES } from './keys.ts'
import type { Keys } from './keys.ts'
import { readBundle } from './load.ts'
import type { Store } from './store.ts'

/** Bundles kept taken apart: one of 1.2 KB entries is 300 KB. */
const BUNDLES_CACHED = 16

interface CachedBundle {
  readonly entries: readonly Uint8Array[]
  /** The level-0 tile of the same number: the leaf hashes. */
  readonly tile: Uint8Array
  /** 1 for each entry that was compared with its leaf hash. */
  readonly checked: Uint8Array
}

/** Reads entries of full bundles and keeps the bundles used last. */
export class BundleReader {
  readonly #store: Store
  readonly #keys: Keys
  readonly #bundles = new Map<number, CachedBundle>()

  constructor(store: Store, keys: Keys) {
    this.#store = store
    this.#keys = keys
  }

  /** Entry `index`, which lies in a full bundle. @throws {StoreError} as `Database.entry` */
  entry(index: number): Uint8Array {
    const number = Math.floor(index / BUNDLE_ENTRIES)
    const at = index % BUNDLE_ENTRIES
    const bundle = this.#bundles.get(number) ?? this.#read(number)
    const entry = bundle.entries[at]
    if (entry === undefined) throw new StoreError('entry_missing', `entry ${index} is not there`)
    if (bundle.checked[at] !== 1) {
      const hash = bundle.tile.subarray(32 * at, 32 * at + 32)
      checkStore(
        equalBytes(hashLeaf(entry), hash),
        'entry_mismatch',
        `entry ${index} does not have the leaf hash in tile 0/${number}`,
      )
      bundle.checked[at] = 1
    }
    return entry
  }

  #read(number: number): CachedBundle {
    const entries = readBundle(this.#store, this.#keys, number)
    const tile = readTile(this.#store, this.#keys, 0, number)
    const bundle = { entries, tile, checked: new Uint8Array(BUNDLE_ENTRIES) }
    this.#bundles.set(number, bundle)
    for (const oldest of this.#bundles.keys()) {
      if (this.#bundles.size <= BUNDLES_CACHED) break
      this.#bundles.delete(oldest)
    }
    return bundle
  }
}

/** Reads a full tile. @throws {StoreError} `tile_corrupt` if it is not there, or of another length */
export function readTile(store: Store, keys: Keys, level: number, index: number): Uint8Array {
  const tile = store.get(keys.tile(level, index))
  if (tile?.length !== TILE_BYTES) {
    throw new StoreError('tile_corrupt', `tile ${level}/${index} is missing or not whole`)
  }
  return tile
}
