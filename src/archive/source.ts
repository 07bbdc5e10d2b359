/**
 * @module Where a log is read from: a directory of files, a URL, a database that nobody serves. Nothing that a source gives
 * is believed before it was held against a signed head (leaves.ts).
 */
import { ENTRY_LENGTH_MAX, TILE_WIDTH } from '@trustwarden/proofs'
import { SUPPLEMENT_BYTES_MAX } from '../ledger/supplement.ts'
import { ArchiveError } from './errors.ts'

/**
 * Reads one log. Everything throws `ArchiveError`s `archive_missing`, `archive_unreachable`, `archive_corrupt`; behind a
 * URL also `archive_redirected`, `archive_encoded`.
 */
export interface LogSource {
  /** For messages: a path or URL. */
  readonly name: string
  /** Whether it has supplements and all pinned attachments. A mirror holds nothing that can be erased. */
  readonly isWhole: boolean
  /** The signed head that everything else is read under. */
  head(): Promise<Uint8Array>
  /** The first `width` hashes of leaf tile `index`. */
  leafTile(index: number, width: number): Promise<Uint8Array>
  /** The first `width` entries of bundle `index`, as one. */
  bundle(index: number, width: number): Promise<Uint8Array>
  /** The supplement of bundle `index` in a log of `size` (ledger/supplement.ts). */
  supplement(index: number, size: number): Promise<Uint8Array>
  /** The pinned attachment with this digest. */
  pinned(digest: Uint8Array): Promise<Uint8Array | undefined>
  /** Entries whose disclosures an entry from `from` on erased, ascending. */
  erasedSince(from: number): Promise<readonly number[]>
}

/** Greatest lengths of what a source gives: more is not read. */
export const BYTES_MAX: Readonly<
  Record<'head' | 'tile' | 'bundle' | 'supplement' | 'pinned' | 'erased', number>
> = {
  head: 65_536,
  tile: TILE_WIDTH * 32,
  bundle: TILE_WIDTH * (2 + ENTRY_LENGTH_MAX),
  supplement: SUPPLEMENT_BYTES_MAX,
  pinned: 4 * 1024 * 1024,
  erased: 16 * 1024 * 1024,
}

/** Reads bytes that a source gave: what they break is damage of it. @throws {ArchiveError} `archive_corrupt` */
export function inSource<T>(source: Pick<LogSource, 'name'>, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause)) throw cause
    throw new ArchiveError('archive_corrupt', `${source.name}: ${cause.message}`, { cause })
  }
}

/** Count of entries or hashes in bundle or leaf tile `index` of a log of `size`. */
export function widthAt(index: number, size: number): number {
  return Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
}

/** Count of bundles of a log of `size`, the last one perhaps partial. */
export function bundleCount(size: number): number {
  return Math.ceil(size / TILE_WIDTH)
}
