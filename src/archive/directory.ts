/**
 * @module A log as files: what `backup` and `mirror` write, `restore` and `recover` read, and any web server can serve.
 *
 *     checkpoint                     the signed head that the rest is under (C2SP tlog-tiles)
 *     tile/<level>/<index>[.p/<w>]   hashes, and tile/entries/… bundles of entries (C2SP tlog-tiles)
 *     backup.json                    backups only, and the last thing written: what it is (below)
 *     supplement/<index>[.p/<w>]     backups only: batch records and disclosures of a bundle (ledger/supplement.ts)
 *     pinned/<SHA-256 in hex>        pinned attachments: policies
 *
 * Every file is written beside its name, synced and renamed, so a name that is there holds all of its bytes. The directories
 * are synced before `checkpoint`, and then `backup.json`, take the place of the ones before: up to there a crash leaves the
 * backup as it was, or none where there was none, and the next run goes on from what is there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  formatTilePath,
  fromBase64url,
  jsonInteger,
  jsonObject,
  jsonString,
  ProofError,
  parseJson,
  requireMembers,
  type TilePath,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { errnoOf } from '../errno.ts'
import { Edge } from '../merkle/grow.ts'
import { tileWidth } from '../merkle/tree-math.ts'
import { syncDirectory } from '../store/durable.ts'
import { ArchiveError, checkArchive } from './errors.ts'
import { BYTES_MAX, type LogSource } from './source.ts'

const BACKUP_FORMAT = 'trustwarden-backup/1'
const CHECKPOINT = 'checkpoint'
const MARKER = 'backup.json'
const MARKER_BYTES_MAX = 131_072

/** What `backup.json` says. The signed head is what is believed; the rest is for people. */
export interface BackupMarker {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
  /** The signed head: a C2SP tlog-checkpoint note. */
  readonly head: string
  /** Wall clock when it was finished, ms. */
  readonly finishedMs: number
}

/** Path of a supplement under a backup. */
export function supplementPath(index: number, width: number): string {
  return formatTilePath({ level: 'entries', index, width }).replace('tile/entries', 'supplement')
}

/** Path of a pinned attachment under a backup. */
export function pinnedPath(digest: Uint8Array): string {
  return `pinned/${toHex(digest)}`
}

/** A directory that holds a log, or is to. */
export class ArchiveDirectory {
  readonly path: string
  /** Directories with names that are not synced yet. */
  readonly #unsynced = new Set<string>()

  constructor(path: string) {
    this.path = path
  }

  /** Whether nothing at all is there. */
  async isEmpty(): Promise<boolean> {
    const names = await readdir(this.path).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    })
    return names.length === 0
  }

  /** Bytes of a file, or undefined if there is none. @throws {ArchiveError} `archive_corrupt` over `bytesMax` */
  async read(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const file = await open(join(this.path, name), 'r').catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
      throw error
    })
    if (file === undefined) return undefined
    try {
      const { size } = await file.stat()
      checkArchive(
        size <= bytesMax,
        'archive_corrupt',
        `${this.#name(name)} is over ${bytesMax} bytes`,
      )
      const bytes = await file.readFile()
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    } finally {
      await file.close()
    }
  }

  /**
   * The right edge of the tree whose tiles are there, `size` leaves. Reads at most 255 tiles of each level.
   *
   * @throws {ArchiveError} `archive_corrupt` if one is not there
   */
  edge(size: number): Edge {
    const readTile = (level: number, index: number): Uint8Array => {
      const name = formatTilePath({ level, index, width: tileWidth(size, level, index) })
      try {
        return new Uint8Array(readFileSync(join(this.path, name)))
      } catch (cause) {
        throw new ArchiveError('archive_corrupt', `${this.#name(name)}: ${why(cause)}`, { cause })
      }
    }
    return Edge.fromTiles(nativePrimitives, size, { readTile })
  }

  /** Writes a file, whole or not at all; its name is durable after `sync`. @throws {ArchiveError} `archive_failed` */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.path, name)
    try {
      const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      if (made !== undefined) this.#noteMade(dirname(path), made)
      const file = await open(`${path}.new`, 'w', 0o600)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      // A crash before the rename leaves `….new`, which nobody reads and the next run overwrites.
      await rename(`${path}.new`, path)
    } catch (cause) {
      throw new ArchiveError(
        'archive_failed',
        `${this.#name(name)} could not be written: ${why(cause)}`,
        {
          cause,
        },
      )
    }
    this.#unsynced.add(dirname(path))
  }

  /** Makes every name durable that was written so far. */
  async sync(): Promise<void> {
    for (const path of this.#unsynced) await syncDirectory(path)
    this.#unsynced.clear()
  }

  /** Removes files, if they are there. */
  async remove(names: Iterable<string>): Promise<void> {
    for (const name of names) await rm(join(this.path, name), { force: true })
  }

  /** Puts a head in the place of the one before, once all that is under it is durable. */
  async finish(head: Uint8Array, marker?: BackupMarker): Promise<void> {
    await this.sync()
    // On disk: everything that the new head is over, beside the old head. After each rename a whole mirror or backup is there.
    await this.write(CHECKPOINT, head)
    await this.sync()
    if (marker === undefined) return
    await this.write(MARKER, formatMarker(marker))
    await this.sync()
  }

  /** The head of what is there, or undefined where no head is. */
  head(): Promise<Uint8Array | undefined> {
    return this.read(CHECKPOINT, BYTES_MAX.head)
  }

  /** What the backup says of itself, or undefined: a mirror, or a backup that was not finished. */
  async marker(): Promise<BackupMarker | undefined> {
    const bytes = await this.read(MARKER, MARKER_BYTES_MAX)
    return bytes && parseMarker(bytes, this.#name(MARKER))
  }

  #name(name: string): string {
    return join(this.path, name)
  }

  /** The first directory that had to be made stands in one that was there before. */
  #noteMade(last: string, first: string): void {
    for (let path = last; path.length >= first.length; path = dirname(path))
      this.#unsynced.add(path)
    this.#unsynced.add(dirname(first))
  }
}

/** A finished backup, or a mirror, as a source. @throws {ArchiveError} `archive_missing`, `archive_incomplete` */
export async function openDirectory(path: string): Promise<LogSource> {
  const directory = new ArchiveDirectory(path)
  const marker = await directory.marker()
  if (marker === undefined && existsSync(join(path, 'supplement')))
    throw new ArchiveError(
      'archive_incomplete',
      `${path} is a backup that was not finished: run the backup into it again`,
    )
  const head = marker === undefined ? await directory.head() : Buffer.from(marker.head)
  if (head === undefined)
    throw new ArchiveError('archive_missing', `${path} holds neither a backup nor a mirror`)
  return new DirectorySource(directory, new Uint8Array(head), marker !== undefined)
}

class DirectorySource implements LogSource {
  readonly name: string
  readonly isWhole: boolean
  readonly #directory: ArchiveDirectory
  readonly #head: Uint8Array

  constructor(directory: ArchiveDirectory, head: Uint8Array, isWhole: boolean) {
    this.name = directory.path
    this.#directory = directory
    this.#head = head
    this.isWhole = isWhole
  }

  head(): Promise<Uint8Array> {
    return Promise.resolve(this.#head)
  }

  leafTile(index: number, width: number): Promise<Uint8Array> {
    return this.#tile({ level: 0, index, width }, BYTES_MAX.tile)
  }

  bundle(index: number, width: number): Promise<Uint8Array> {
    return this.#tile({ level: 'entries', index, width }, BYTES_MAX.bundle)
  }

  supplement(index: number, size: number): Promise<Uint8Array> {
    const width = Math.min(256, size - index * 256)
    return this.#there(supplementPath(index, width), BYTES_MAX.supplement)
  }

  pinned(digest: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#directory.read(pinnedPath(digest), BYTES_MAX.pinned)
  }

  /** What was erased when a supplement was written is not in it. */
  erasedSince(): Promise<readonly number[]> {
    return Promise.resolve([])
  }

  #tile(path: TilePath, bytesMax: number): Promise<Uint8Array> {
    return this.#there(formatTilePath(path), bytesMax)
  }

  async #there(name: string, bytesMax: number): Promise<Uint8Array> {
    const bytes = await this.#directory.read(name, bytesMax)
    if (bytes === undefined)
      throw new ArchiveError('archive_corrupt', `${join(this.name, name)} is not there`)
    return bytes
  }
}

function formatMarker(marker: BackupMarker): Uint8Array {
  const { origin, size, root, head, finishedMs } = marker
  const object = {
    format: BACKUP_FORMAT,
    origin,
    size,
    root: toBase64url(root),
    head,
    finished_ms: finishedMs,
  }
  return new TextEncoder().encode(`${JSON.stringify(object, null, 2)}\n`)
}

function parseMarker(bytes: Uint8Array, name: string): BackupMarker {
  try {
    const object = jsonObject(parseJson(bytes), MARKER)
    const format = jsonString(object['format'], 'format')
    checkArchive(
      format === BACKUP_FORMAT,
      'archive_foreign',
      `${name}: format is not ${BACKUP_FORMAT}`,
    )
    requireMembers(object, ['format', 'origin', 'size', 'root', 'head', 'finished_ms'], [], MARKER)
    return {
      origin: jsonString(object['origin'], 'origin'),
      size: jsonInteger(object['size'], 'size'),
      root: fromBase64url(jsonString(object['root'], 'root')),
      head: jsonString(object['head'], 'head'),
      finishedMs: jsonInteger(object['finished_ms'], 'finished_ms'),
    }
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw new ArchiveError('archive_corrupt', `${name}: ${cause.message}`, { cause })
  }
}

function why(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
