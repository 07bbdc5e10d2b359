/**
 * @module The leaf hashes of a source, proven before anything is made of them: hashed up to the root of a signed head, and
 * remembered by one digest for each tile, so that entries read afterwards are held to leaves that are the log's.
 */
import {
  compareBytes,
  decodeBundle,
  equalBytes,
  leafHash,
  ProofError,
  TILE_WIDTH,
} from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Edge } from '../merkle/grow.ts'
import { ArchiveError, checkArchive } from './errors.ts'
import { bundleCount, type LogSource, widthAt } from './source.ts'

/** Size and root of a signed head that was opened. */
export interface OpenedHead {
  readonly size: number
  readonly root: Hash
}

/** Leaves of a source, found to be those of a head. */
export interface ProvenLeaves {
  /** Root at the size that was asked for, if the tree passed it. */
  readonly rootAt: Hash | undefined
  /** The leaf hashes of tile `index`, read again. @throws {ArchiveError} `archive_corrupt` if they are others now */
  hashes(index: number): Promise<readonly Hash[]>
  /** The entries of bundle `index`. @throws {ArchiveError} `archive_corrupt` unless each has its leaf hash */
  entries(index: number): Promise<readonly Uint8Array[]>
}

/** What is proven. */
export interface ProveOptions {
  /** Where leaf tiles and bundles come from. */
  readonly source: Pick<LogSource, 'name' | 'leafTile' | 'bundle'>
  /** The tree so far; the leaves behind it are what is read. */
  readonly from: Edge
  readonly head: OpenedHead
  /** A size whose root is wanted. */
  readonly rootAt?: number
  readonly onProgress?: (leaves: number, size: number) => void
}

/**
 * Hashes leaf tiles from `from` on up to the head's root. Reads some 32 bytes a leaf, and keeps 32 a tile.
 *
 * @throws {ArchiveError} `archive_forked` if the tree is not the head's: the tree so far, or the tiles, are another log's
 */
export async function proveLeaves(options: ProveOptions): Promise<ProvenLeaves> {
  const { source, from, head, rootAt: wanted, onProgress } = options
  const first = Math.floor(from.size / TILE_WIDTH)
  const digests: Uint8Array[] = []
  let edge = from
  let rootAt = wanted === from.size ? from.root() : undefined
  for (let index = first; index < bundleCount(head.size); index++) {
    const hashes = await readTile(source, index, widthAt(index, head.size))
    digests.push(digestOf(hashes))
    const known = edge.size - index * TILE_WIDTH
    const isSame = known === 0 || equalBytes(edge.partialTile(0), concat(hashes.slice(0, known)))
    checkArchive(isSame, 'archive_forked', `${source.name}: leaf tile ${index} is of another tree`)
    const cut = wanted === undefined ? 0 : wanted - index * TILE_WIDTH
    if (cut > known && cut <= hashes.length) {
      edge = edge.append(hashes.slice(known, cut)).edge
      rootAt = edge.root()
    }
    edge = edge.append(hashes.slice(edge.size - index * TILE_WIDTH)).edge
    onProgress?.(edge.size, head.size)
  }
  const isHead = edge.size === head.size && compareBytes(edge.root(), head.root) === 0
  checkArchive(
    isHead,
    'archive_forked',
    `${source.name}: the leaves up to ${edge.size} do not have the root of the signed head of size ${head.size}`,
  )
  const hashes = async (index: number): Promise<readonly Hash[]> => {
    const again = await readTile(source, index, widthAt(index, head.size))
    const digest = digests[index - first]
    const isSame = digest !== undefined && equalBytes(digestOf(again), digest)
    checkArchive(isSame, 'archive_corrupt', `${source.name}: leaf tile ${index} has changed`)
    return again
  }
  const entries = async (index: number): Promise<readonly Uint8Array[]> => {
    const width = widthAt(index, head.size)
    const found = takeApart(source.name, await source.bundle(index, width), index, width)
    const leaves = found.map((entry) => leafHash(nativePrimitives, entry))
    const digest = digests[index - first]
    const isSame = digest !== undefined && equalBytes(digestOf(leaves), digest)
    checkArchive(
      isSame,
      'archive_corrupt',
      `${source.name}: bundle ${index} is not what its leaves say`,
    )
    return found
  }
  return { rootAt, hashes, entries }
}

async function readTile(
  source: Pick<LogSource, 'name' | 'leafTile'>,
  index: number,
  width: number,
): Promise<readonly Hash[]> {
  const bytes = await source.leafTile(index, width)
  const isWhole = bytes.length === 32 * width
  checkArchive(
    isWhole,
    'archive_corrupt',
    `${source.name}: leaf tile ${index} is not ${width} hashes`,
  )
  return Array.from({ length: width }, (_, at) => bytes.slice(32 * at, 32 * at + 32))
}

function takeApart(
  name: string,
  bytes: Uint8Array,
  index: number,
  width: number,
): readonly Uint8Array[] {
  try {
    return decodeBundle(bytes, width)
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw new ArchiveError('archive_corrupt', `${name}: bundle ${index}: ${cause.message}`, {
      cause,
    })
  }
}

function digestOf(hashes: readonly Hash[]): Uint8Array {
  return nativePrimitives.sha256(concat(hashes))
}

function concat(hashes: readonly Hash[]): Uint8Array {
  return new Uint8Array(Buffer.concat(hashes))
}
