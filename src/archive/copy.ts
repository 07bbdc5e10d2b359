/**
 * @module Copies a log into a directory at one signed head: a whole backup, or a mirror, which holds nothing that can be
 * erased. What lies below a head never changes, so a log that is served is copied like one that is not, and a copy is
 * continued by what came since. Everything is held against the signed head before it is written.
 *
 * One bundle of entries is in memory at a time, and a pace keeps the copy from taking the disk from the writer.
 */
import { readdir } from 'node:fs/promises'
import {
  compareBytes,
  decodeEntry,
  emptyRoot,
  encodeBundle,
  formatTilePath,
  fromBase64url,
  jsonString,
  openTrustedHead,
  parseEntryStatement,
  type Trust,
  utf8Decode,
  TILE_WIDTH,
} from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { LedgerError } from '../ledger/errors.ts'
import type { Pace } from '../ledger/pace.ts'
import { decodeSupplement } from '../ledger/supplement.ts'
import type { Supplement } from '../ledger/supplement.ts'
import type { Edge } from '../merkle/grow.ts'
import type { FullTile } from '../store/commit.ts'
import { StoreError } from '../store/errors.ts'
import { type ArchiveDirectory, pinnedPath, supplementPath } from './directory.ts'
import { ArchiveError, checkArchive } from './errors.ts'
import { type OpenedHead, type ProvenLeaves, proveLeaves } from './leaves.ts'
import { BYTES_MAX, bundleCount, type LogSource, widthAt } from './source.ts'

const TILE_BYTES = 32 * TILE_WIDTH
/** First byte of a pinned attachment's key in the list of a batch record. */
const PINNED_SPACE = 0x70
/** What a directory of ours may hold at its top. */
const OWN_NAMES = /^(?:tile|supplement|pinned|checkpoint|backup\.json)(?:\.new)?$/

/** What is copied where. */
export interface CopyOptions {
  readonly source: LogSource
  readonly directory: ArchiveDirectory
  /** The head that the source shows must be signed by a key of it. */
  readonly trust: Trust
  /** `backup`: everything; `mirror`: what anybody may have who may read the entries. */
  readonly kind: 'backup' | 'mirror'
  readonly pace: Pace
  readonly nowMs: () => number
  /** Bundles copied so far, of those that are to be. */
  readonly onProgress?: (done: number, total: number, what: string) => void
}

/** What a copy came to. */
export interface CopyReport {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
  /** Size that the directory had before; 0 if it is new. */
  readonly before: number
  readonly bytes: number
  /** Bundles whose supplement was written again, since something of it was erased. */
  readonly erasedBundles: number
}

/**
 * Copies, or continues a copy.
 *
 * @throws {ArchiveError} `target_exists` for a directory of something else; `archive_foreign`; `archive_forked` if the log
 *   does not extend what the directory holds; `archive_corrupt`, `archive_failed`, `archive_unreachable`
 * @throws {ProofError} for a head that is not the trusted log's
 */
export async function copyLog(options: CopyOptions): Promise<CopyReport> {
  const { source, directory, trust, kind } = options
  checkArchive(kind === 'mirror' || source.isWhole, 'archive_foreign', `${source.name} is a mirror`)
  const before = await readBefore(options)
  const note = await source.head()
  const head = openTrustedHead(nativePrimitives, trust, note)
  checkArchive(head.size > 0, 'archive_missing', `${source.name}: the log is empty`)
  if (before !== undefined) {
    const isOlder = before.size > head.size
    checkArchive(
      !isOlder,
      'archive_forked',
      `${source.name} has ${head.size} entries, ${directory.path} ${before.size} already: keep both`,
    )
  }
  const copy = new Copy(options, head, before)
  await copy.run()
  await directory.finish(note, markerOf(options, head, note))
  if (before !== undefined) {
    const needed = new Set(partialPaths(head.size, kind))
    await directory.remove(partialPaths(before.size, kind).filter((name) => !needed.has(name)))
  }
  const { bytes, erasedBundles } = copy
  const { origin, size, root } = head
  return { origin, size, root, before: before?.size ?? 0, bytes, erasedBundles }
}

function markerOf(
  { kind, nowMs }: CopyOptions,
  head: OpenedHead & { readonly origin: string },
  note: Uint8Array,
) {
  if (kind === 'mirror') return undefined
  const { origin, size, root } = head
  return { origin, size, root, head: utf8Decode(note, 'head'), finishedMs: nowMs() }
}

/** The head of what is in the directory, if anything is; refuses what is not to be continued. */
async function readBefore(options: CopyOptions): Promise<OpenedHead | undefined> {
  const { directory, trust, kind } = options
  const { path } = directory
  const names = (await directory.isEmpty()) ? [] : await readdir(path)
  const foreign = names.find((name) => !OWN_NAMES.test(name))
  const message = `${path} holds ${foreign}, which is no part of a backup or mirror`
  checkArchive(foreign === undefined, 'target_exists', message)
  const marker = await directory.marker()
  const note = await directory.head()
  const isBackup = marker !== undefined || names.includes('supplement')
  const isMirror = note !== undefined && !isBackup
  checkArchive(!isMirror || kind === 'mirror', 'archive_foreign', `${path} is a mirror`)
  checkArchive(!isBackup || kind === 'backup', 'archive_foreign', `${path} is a backup`)
  const known = kind === 'backup' ? marker?.head : note
  return known === undefined ? undefined : openTrustedHead(nativePrimitives, trust, known)
}

/** One run of a copy. */
class Copy {
  bytes = 0
  erasedBundles = 0
  readonly #options: CopyOptions
  readonly #head: OpenedHead
  readonly #before: OpenedHead | undefined
  /** The first bundle that is not there for certain. */
  readonly #first: number
  /** Bundles that an earlier run left. */
  readonly #kept = new Set<number>()

  constructor(options: CopyOptions, head: OpenedHead, before: OpenedHead | undefined) {
    this.#options = options
    this.#head = head
    this.#before = before
    this.#first = Math.floor((before?.size ?? 0) / TILE_WIDTH)
  }

  async run(): Promise<void> {
    const { source, onProgress } = this.#options
    const head = this.#head
    const count = bundleCount(head.size)
    const leaves = await proveLeaves({
      source: {
        name: source.name,
        bundle: (index, width) => this.#bundle(index, width),
        leafTile: (index, width) => this.#leafTile(index, width),
      },
      from: this.#edgeBefore(),
      head,
      onProgress: (done, total) => onProgress?.(done, total, 'checking the tree'),
    })
    if (this.#before?.size !== head.size) await this.#copyBundles(leaves, count)
    if (this.#options.kind === 'backup') await this.#eraseAgain()
  }

  async #copyBundles(leaves: ProvenLeaves, count: number): Promise<void> {
    const { directory, onProgress } = this.#options
    let edge = directory.edge(this.#first * TILE_WIDTH)
    for (let index = this.#first; index < count; index++) {
      edge = await this.#copyBundle(leaves, index, edge)
      onProgress?.(index - this.#first + 1, count - this.#first, 'bundles')
    }
    await this.#writePartialTiles(edge)
  }

  /** The tree that the directory holds: what is copied has to go on from it, so that no other history is taken. */
  #edgeBefore(): Edge {
    const { directory } = this.#options
    const { size, root } = this.#before ?? { size: 0, root: emptyRoot(nativePrimitives) }
    const edge = directory.edge(size)
    const isOwn = compareBytes(edge.root(), root) === 0
    const message = `${directory.path}: its tiles do not have the root of its head`
    checkArchive(isOwn, 'archive_corrupt', message)
    return edge
  }

  async #copyBundle(leaves: ProvenLeaves, index: number, edge: Edge): Promise<Edge> {
    const { pace } = this.#options
    const width = widthAt(index, this.#head.size)
    const growth = edge.append(await leaves.hashes(index))
    const bytesBefore = this.bytes
    const name = formatTilePath({ level: 'entries', index, width })
    // Read from the directory or from the source: held against the proven leaves either way.
    const entries = await leaves.entries(index)
    if (!this.#kept.has(index)) await this.#write(name, encodeBundle(entries))
    for (const tile of growth.tiles) await this.#writeTile(tile)
    if (this.#options.kind === 'backup') await this.#copySupplement(index)
    else await this.#copyPolicies(entries)
    await pace.spend(this.bytes - bytesBefore + TILE_BYTES)
    return growth.edge
  }

  async #copySupplement(index: number): Promise<void> {
    const { source, directory } = this.#options
    const { size } = this.#head
    const name = supplementPath(index, widthAt(index, size))
    const kept = this.#kept.has(index)
      ? await directory.read(name, BYTES_MAX.supplement)
      : undefined
    const bytes = kept ?? (await source.supplement(index, size))
    if (kept === undefined) this.#kept.delete(index)
    const { records } = this.#open(bytes, index)
    for (const { record } of records) {
      for (const key of record.onceKeys) {
        if (key[0] === PINNED_SPACE) await this.#copyPinned(key.slice(1))
      }
    }
    if (kept === undefined) await this.#write(name, bytes)
  }

  /** What is pinned cannot be erased, so a mirror takes it where it gets it: without its policy a log allows nothing. */
  async #copyPolicies(entries: readonly Uint8Array[]): Promise<void> {
    if (!this.#options.source.isWhole) return
    for (const bytes of entries) {
      const entry = decodeEntry(bytes)
      if (entry.kind !== 'policy.activate') continue
      const policy = jsonString(parseEntryStatement(entry).payload['policy'], 'policy')
      await this.#copyPinned(fromBase64url(policy, 'policy'))
    }
  }

  async #copyPinned(digest: Uint8Array): Promise<void> {
    const { source, directory } = this.#options
    const name = pinnedPath(digest)
    if ((await directory.read(name, BYTES_MAX.pinned)) !== undefined) return
    const bytes = await source.pinned(digest)
    const isRight =
      bytes !== undefined && compareBytes(nativePrimitives.sha256(bytes), digest) === 0
    checkArchive(isRight, 'archive_corrupt', `${source.name}: ${name} is not there, or another`)
    await this.#write(name, bytes)
  }

  /** Supplements of earlier runs hold what was erased since. */
  async #eraseAgain(): Promise<void> {
    const { source, onProgress } = this.#options
    const { size } = this.#head
    const before = this.#before?.size ?? 0
    const erased = await source.erasedSince(before)
    const old = (index: number): boolean => index < this.#first || this.#kept.has(index)
    const bundles = new Set(erased.map((index) => Math.floor(index / TILE_WIDTH)).filter(old))
    for (const index of bundles) {
      const bytes = await source.supplement(index, size)
      this.#open(bytes, index)
      await this.#write(supplementPath(index, widthAt(index, size)), bytes)
      this.erasedBundles++
      onProgress?.(this.erasedBundles, bundles.size, 'what was erased')
      await this.#options.pace.spend(bytes.length)
    }
  }

  #open(bytes: Uint8Array, index: number): Supplement {
    try {
      return decodeSupplement(bytes, index, this.#head.size)
    } catch (cause) {
      if (!(cause instanceof LedgerError || cause instanceof StoreError)) throw cause
      const message = `${this.#options.source.name}: ${cause.message}`
      throw new ArchiveError('archive_corrupt', message, { cause })
    }
  }

  /** Tiles and bundles below what an earlier run finished are read from the directory. */
  async #leafTile(index: number, width: number): Promise<Uint8Array> {
    const { source, directory } = this.#options
    const name = formatTilePath({ level: 0, index, width })
    const own = width === TILE_WIDTH ? await directory.read(name, BYTES_MAX.tile) : undefined
    return own ?? source.leafTile(index, width)
  }

  async #bundle(index: number, width: number): Promise<Uint8Array> {
    const { source, directory } = this.#options
    const name = formatTilePath({ level: 'entries', index, width })
    const own = width === TILE_WIDTH ? await directory.read(name, BYTES_MAX.bundle) : undefined
    if (own !== undefined) this.#kept.add(index)
    return own ?? source.bundle(index, width)
  }

  #writeTile({ level, index, bytes }: FullTile): Promise<void> {
    return this.#write(formatTilePath({ level, index, width: TILE_WIDTH }), bytes)
  }

  async #writePartialTiles(edge: Edge): Promise<void> {
    for (const { level, index, width } of partialTiles(edge.size))
      await this.#write(formatTilePath({ level, index, width }), edge.partialTile(level).slice())
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#options.directory.write(name, bytes)
    this.bytes += bytes.length
  }
}

/** The partial hash tiles of a tree of `size`, of every level. */
function partialTiles(size: number): readonly { level: number; index: number; width: number }[] {
  const tiles: { level: number; index: number; width: number }[] = []
  for (
    let level = 0, hashes = size;
    hashes > 0;
    level++, hashes = Math.floor(hashes / TILE_WIDTH)
  ) {
    const width = hashes % TILE_WIDTH
    if (width > 0) tiles.push({ level, index: Math.floor(hashes / TILE_WIDTH), width })
  }
  return tiles
}

/** Files that only a head of `size` needs. */
function partialPaths(size: number, kind: 'backup' | 'mirror'): string[] {
  const names = partialTiles(size).map((tile) => formatTilePath(tile))
  const width = size % TILE_WIDTH
  if (width === 0) return names
  const index = Math.floor(size / TILE_WIDTH)
  names.push(formatTilePath({ level: 'entries', index, width }))
  if (kind === 'backup') names.push(supplementPath(index, width))
  return names
}
