/**
 * @module Makes a data directory out of a backup, deciding everything anew, and completes one that lacks its end.
 *
 * `restoreLog` order and crashes: everything is made in `<to>.partial`, which says by a file of its own that a restore makes
 * it; LevelDB's files are synced by closing and opening it again, and read again from the first entry to the last; only then
 * the directory gets its name. A crash, or a full disk, up to there leaves `<to>.partial`, which the next run removes, and no
 * `<to>`. The head record is never written: it says what was acknowledged, whatever a backup holds.
 *
 * `recoverLog` writes batch after batch into the database, each synced. A crash leaves a database that a start refuses (it is
 * older than its head record, or its last batch has no head) and that the next run goes on with. The head record is moved on
 * at the end, and only to a head that the log signed.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import {
  bundleHash,
  checkEnd,
  compareBytes,
  formatTrust,
  type Genesis,
  type Hash,
  leafHash,
  openTrustedHead,
  parseGenesis,
  type Trust,
  trustFor,
} from '@trustwarden/proofs'
import { ArchiveError, checkArchive } from './archive/errors.ts'
import { fillLost, lostEntries } from './archive/fill.ts'
import { type ProvenLeaves, proveLeaves } from './archive/leaves.ts'
import { type ReplayReport, replayLog } from './archive/replay.ts'
import type { LogSource } from './archive/source.ts'
import { anchorOf, readGenesis } from './genesis.ts'
import { ALL_FOLDS } from './rules.ts'
import { nativePrimitives } from './crypto.ts'
import {
  anchorPath,
  databasePath,
  descriptionPath,
  type Paths,
  readDescription,
  trustPath,
} from './directory.ts'
import { errnoOf } from './errno.ts'
import { dueErasures, expectedDisclosures } from './ledger/disclosures.ts'
import { LedgerError } from './ledger/errors.ts'
import { foldSpecs } from './ledger/rebuild.ts'
import { rightEdge, storedTiles } from './ledger/recovery.ts'
import { readRegistered } from './ledger/register.ts'
import { VerifyPool } from './ledger/verify-pool.ts'
import { Edge, treeReader } from './merkle/grow.ts'
import { rootAt } from './merkle/prove.ts'
import { keylessRules } from './offline.ts'
import { Database } from './store/database.ts'
import { syncDirectory } from './store/durable.ts'
import { markErased } from './store/erasure.ts'
import { checkAgainstRecord, HeadRecord, type RecordedHead } from './store/head-record.ts'
import { openKeepingJournals } from './store/journals.ts'
import { LevelStore } from './store/level-store.ts'
import {
  checkBatchRecords,
  checkErasables,
  checkSetDigests,
  type CheckProgress,
} from './store/start-checks.ts'

/** Reported while it goes on. */
export type StepProgress = (progress: CheckProgress) => void

/** What a restore is given. */
export interface RestoreOptions {
  readonly source: LogSource
  /** The data directory to be made. */
  readonly to: string
  readonly trust: Trust
  /** What the head record beside it says, if there is one. */
  readonly recorded?: RecordedHead
  readonly onProgress?: StepProgress
}

/** What a restore made. */
export interface RestoreReport extends ReplayReport {
  readonly origin: string
  readonly anchor: string
  /** Signed root, for `serve --accept-head`. */
  readonly root: Hash
}

/** Says that a restore made the directory it lies in. It goes last, whether the directory gets its name or is removed. */
const MARKER = 'made-by-restore'

/**
 * Restores a backup.
 *
 * @throws {ArchiveError} `target_exists`, `target_is_mount`, and whatever is wrong with the backup; `archive_forked` if the
 *   head record is of another history
 * @throws {ProofError} for a head that is not the trusted log's
 */
export async function restoreLog(options: RestoreOptions): Promise<RestoreReport> {
  const { source, to, trust, recorded, onProgress } = options
  checkArchive(
    source.isWhole,
    'archive_foreign',
    `${source.name} is a mirror: it has no disclosures`,
  )
  checkTarget(to)
  const note = await source.head()
  const head = openTrustedHead(nativePrimitives, trust, note)
  checkArchive(head.size > 0, 'archive_missing', `${source.name}: the log is empty`)
  const edge = Edge.empty(nativePrimitives)
  const leaves = await prove({ source, from: edge, head, recorded, onProgress })
  const genesis = await openGenesis(leaves, trustFor(trust, head.origin).anchor)
  const { origin } = genesis
  const known = trustBeside(trust, genesis)
  const partial = `${to}.partial`
  await removePartial(partial)
  mkdirSync(partial, { recursive: true, mode: 0o700 })
  writeFileSync(join(partial, MARKER), 'a restore made this directory\n', { flush: true })
  await syncDirectory(partial)
  const filling = { source, leaves, head: { ...head, note }, edge, trust, genesis, onProgress }
  const report = await fillChecked(partial, filling)
  const description = {
    origin,
    trust_domain: genesis.trustDomain,
    development: genesis.development,
  }
  const file = { flag: 'wx', flush: true } as const
  const text = `${JSON.stringify(description, null, 2)}\n`
  writeFileSync(descriptionPath(partial), text, { ...file, mode: 0o600 })
  const anchor = anchorOf(genesis, trustFor(trust, origin).anchor.genesisHash)
  writeFileSync(anchorPath(partial), `${anchor}\n`, { ...file, mode: 0o644 })
  if (known !== undefined) writeFileSync(trustPath(partial), known, { ...file, mode: 0o644 })
  await syncDirectory(partial)
  // On disk: a whole data directory under another name, which the next run removes. After the rename, once synced, it is the
  // one that was asked for; a crash before the mark is gone leaves it there, where it disturbs nobody.
  renameSync(partial, to)
  await syncDirectory(dirname(to))
  rmSync(join(to, MARKER))
  return { ...report, origin, anchor, root: head.root }
}

/**
 * Whether the directory can get its name at the end: nothing is there, or an empty directory, which a rename replaces. Where a
 * disk is mounted no rename can; what is made lies beside it, on another disk. That is found before hours of work, not after.
 */
function checkTarget(to: string): void {
  const found = lstatSync(to, { throwIfNoEntry: false })
  if (found === undefined) return
  // A new disk is not empty either (lost+found), so this comes first.
  const isMount = found.isDirectory() && found.dev !== statSync(join(to, '..')).dev
  checkArchive(
    !isMount,
    'target_is_mount',
    `${to} is where a disk is mounted, and cannot be replaced`,
  )
  const isEmpty = found.isDirectory() && readdirSync(to).length === 0
  checkArchive(isEmpty, 'target_exists', `${to} is there already: nothing is overwritten`)
  rehearseRename(to)
}

/**
 * Puts an empty directory in the place of an empty one, as the end will put a full one there: a directory of the same disk that
 * is mounted there has the number of that disk, and nothing but a rename tells.
 */
function rehearseRename(to: string): void {
  const empty = mkdtempSync(`${to}.`)
  try {
    renameSync(empty, to)
  } catch (cause) {
    rmdirSync(empty)
    if (errnoOf(cause) !== 'EBUSY') throw cause
    const message = `${to} is where a directory is mounted, and cannot be replaced`
    throw new ArchiveError('target_is_mount', message, { cause })
  }
}

/**
 * The trust file beside the data, as the trust that was given knows the log: its later keys, until a start derives them from
 * the entries; and where a predecessor ended, which is in no backup. Undefined where the anchor says all.
 *
 * @throws {ProofError} `trust_mismatch` if the predecessor ended at another head than genesis says
 */
function trustBeside(trust: Trust, { origin, predecessor }: Genesis): string | undefined {
  const own = trustFor(trust, origin)
  const before = trust.logs.filter((log) => log.origin === predecessor?.origin && log.end)
  for (const log of before) if (predecessor !== null) checkEnd(log, predecessor)
  const isPlain = before.length === 0 && own.keys.length === 1
  return isPlain ? undefined : formatTrust(nativePrimitives, { logs: [...before, own] })
}

interface ProveTail {
  readonly source: LogSource
  readonly from: Edge
  readonly head: { readonly size: number; readonly root: Hash }
  readonly recorded: RecordedHead | undefined
  readonly onProgress: StepProgress | undefined
}

/** Proves the leaves, and that the recorded tree is a part of them where they reach it. */
async function prove(options: ProveTail): Promise<ProvenLeaves> {
  const { source, from, head, recorded, onProgress } = options
  const leaves = await proveLeaves({
    source,
    from,
    head,
    ...(recorded === undefined ? {} : { rootAt: recorded.size }),
    onProgress: (done, total) => onProgress?.({ what: 'leaf hashes', done, total }),
  })
  const known = leaves.rootAt
  const agrees =
    recorded === undefined || known === undefined || compareBytes(known, recorded.root) === 0
  checkArchive(
    agrees,
    'archive_forked',
    `${source.name} has another root at size ${recorded?.size} than the head record: it is of another history`,
  )
  return leaves
}

/** Genesis out of the first bundle, which the trust anchor names by its hash. */
async function openGenesis(
  leaves: ProvenLeaves,
  anchor: { readonly genesisHash: Hash; readonly bundleHash: Hash },
): Promise<Genesis> {
  const [bytes] = await leaves.entries(0)
  const isNamed =
    bytes !== undefined && compareBytes(leafHash(nativePrimitives, bytes), anchor.genesisHash) === 0
  checkArchive(isNamed, 'archive_foreign', 'genesis is not the one that the trust anchor names')
  const genesis = parseGenesis(nativePrimitives, readRegistered(bytes, 0).statement)
  const isOwn = compareBytes(bundleHash(nativePrimitives, genesis.ca), anchor.bundleHash) === 0
  checkArchive(isOwn, 'archive_foreign', 'genesis names other roots than the trust anchor')
  return genesis
}

interface Fill {
  readonly source: LogSource
  readonly leaves: ProvenLeaves
  readonly head: { readonly size: number; readonly root: Hash; readonly note: Uint8Array }
  readonly edge: Edge
  readonly trust: Trust
  readonly genesis: Genesis
  readonly onProgress: StepProgress | undefined
  readonly pinned?: ReadonlyMap<string, Uint8Array>
}

/** Fills, and reads again; what is refused leaves nothing behind. */
async function fillChecked(path: string, options: Fill): Promise<ReplayReport> {
  try {
    const report = await fill(path, options)
    await check(path, options.genesis.origin, options.onProgress)
    return report
  } catch (error) {
    rmSync(path, { recursive: true, force: true })
    throw error
  }
}

/** Fills an empty database. Not synced batch by batch: it has no name yet. */
async function fill(path: string, options: Fill): Promise<ReplayReport> {
  const { origin } = options.genesis
  const store = await LevelStore.create(databasePath(path), { durable: false })
  try {
    const database = await Database.create({ store, origin, folds: foldSpecs(ALL_FOLDS) })
    const report = await replay(database, options)
    const clean = new Set(report.cleanErasures)
    // What was erased never came here, so it is in no file: nothing is left to be searched for.
    for (const erasure of await dueErasures(database))
      if (clean.has(erasure.job)) await markErased(database, erasure)
    return report
  } finally {
    await store.close()
  }
}

async function replay(database: Database, options: Fill): Promise<ReplayReport> {
  const { source, leaves, head, edge, trust, genesis, onProgress, pinned } = options
  const rules = keylessRules(genesis)
  const verifier = new VerifyPool()
  try {
    return await replayLog({
      source,
      leaves,
      head,
      edge,
      database,
      verifier,
      openHead: (note) => openTrustedHead(nativePrimitives, trust, note),
      pinned: pinned ?? new Map(),
      replay: {
        origin: genesis.origin,
        folds: ALL_FOLDS,
        principals: rules.principals,
        handlers: new Map(rules.handlers.map((handler) => [handler.type, handler])),
      },
      onProgress: (done, total) => onProgress?.({ what: 'entries', done, total }),
    })
  } finally {
    await verifier.close()
  }
}

/** Reads everything again that was written: LevelDB, opened anew, has made synced tables of its journals. */
async function check(
  path: string,
  origin: string,
  onProgress: StepProgress | undefined,
): Promise<void> {
  const store = await LevelStore.open(databasePath(path))
  try {
    const database = await Database.open({ store, origin, folds: foldSpecs(ALL_FOLDS) })
    const progress = onProgress && { onProgress }
    await checkBatchRecords(database, { minBytes: Number.POSITIVE_INFINITY, ...progress })
    await checkSetDigests(database, progress)
    await checkErasables(database, 0, (index) => expectedDisclosures(database, index), progress)
  } finally {
    await store.close()
  }
}

async function removePartial(path: string): Promise<void> {
  if (!existsSync(path)) return
  const names = readdirSync(path)
  checkArchive(
    names.length === 0 || names.includes(MARKER),
    'target_exists',
    `${path} is there, and no restore that was cut off made it`,
  )
  // Cut off here, it has its mark or is empty: so is one that was cut off before it had its mark.
  for (const name of names) if (name !== MARKER) rmSync(join(path, name), { recursive: true })
  rmSync(join(path, MARKER), { force: true })
  rmdirSync(path)
  await syncDirectory(dirname(path))
}

/** What a recovery is given. */
export interface RecoverOptions extends Pick<Paths, 'data' | 'head'> {
  /** A mirror, or a backup: one that is newer than the data, or has disclosures that it lacks. */
  readonly source: LogSource
  /** Default: what the data directory's own genesis names. */
  readonly trust: Trust
  /** Size and root of the last head that is known elsewhere, where the head record is lost. */
  readonly acceptHead?: { readonly size: number; readonly root: Uint8Array }
  /** Policies from elsewhere, by digest in hex. */
  readonly pinned: ReadonlyMap<string, Uint8Array>
  readonly onProgress?: StepProgress
}

/** What a recovery came to. */
export interface RecoverReport extends ReplayReport {
  /** Size before. */
  readonly before: number
  /** Size of the source's head. */
  readonly sourceSize: number
  readonly recordedSize: number
  /** Entries whose disclosures were lost and are there again. */
  readonly filled: number
  /** Root at `size`. */
  readonly root: Hash
}

/**
 * Completes a database from a mirror or a newer backup, up to its signed head; a backup also brings the disclosures that were
 * lost before.
 *
 * A backup is taken as far as it goes: what is missing up to the head record then keeps a start from being made, and a mirror
 * brings it. A mirror must reach the head record: of entries that came from one no later backup would bring the batches.
 *
 * @throws {ArchiveError} `source_behind` if it ends before the data and fills nothing in, or is a mirror that ends before the
 *   head record: no entry is written; `archive_forked`; and whatever is wrong with the source
 */
export async function recoverLog(options: RecoverOptions): Promise<RecoverReport> {
  const { data, head: headPath, acceptHead } = options
  const description = readDescription(data)
  const { origin } = description
  const headRecord =
    acceptHead === undefined ? await HeadRecord.open(headPath, { origin }) : undefined
  try {
    const recorded = headRecord?.current() ?? { timeMs: 0, ...(acceptHead ?? NOWHERE) }
    // The copy of the journals stays: only a start whose checks all pass removes it.
    const { store } = await openKeepingJournals(databasePath(data))
    try {
      const database = await Database.open({ store, origin, folds: foldSpecs(ALL_FOLDS) })
      const { genesis } = readGenesis(database, description)
      const report = await complete(database, genesis, recorded, options)
      const { root, size, sourceSize } = report
      const timeMs = database.lastBatch()?.timeMs ?? 0
      // The record may lag, never lead: the batches are on disk, and the log signed this head before.
      if (headRecord !== undefined && recorded.size < size && sourceSize === size)
        await headRecord.write({ size, root, timeMs })
      return report
    } finally {
      await store.close()
    }
  } finally {
    await headRecord?.close()
  }
}

const NOWHERE = { size: 0, root: new Uint8Array(0) }

async function complete(
  database: Database,
  genesis: Genesis,
  recorded: RecordedHead,
  options: RecoverOptions,
): Promise<RecoverReport> {
  const { source, trust, pinned, onProgress } = options
  const before = database.size
  const progress = onProgress && { onProgress }
  // What is there has to be sound before something is built on it.
  const { fromIndex } = await checkBatchRecords(database, progress)
  await checkSetDigests(database, progress)
  const edge = rightEdge(database)
  const last = database.lastBatch()
  if (last === undefined) throw new LedgerError('log_empty', 'the database holds no entry')
  if (compareBytes(edge.root(), last.root) !== 0)
    throw new LedgerError('root_mismatch', `the entries up to ${before} have another root`)
  await checkErasables(database, fromIndex, (at) => expectedDisclosures(database, at), progress)
  if (recorded.size <= before) {
    const tiles = treeReader(edge, storedTiles(database))
    checkAgainstRecord(recorded, before, (size) => rootAt(nativePrimitives, size, tiles))
  }
  const note = await source.head()
  const head = openTrustedHead(nativePrimitives, trust, note)
  const fills = source.isWhole && (await lostEntries(database)).some((index) => index < head.size)
  const isTaken = fills || (source.isWhole && head.size > before)
  if (head.size < recorded.size && !isTaken) throw behind(source, head.size, recorded.size)
  const sizes = { before, sourceSize: head.size, recordedSize: recorded.size }
  if (head.size < before) {
    checkArchive(
      fills,
      'source_behind',
      `${source.name} has ${head.size} entries, the data has ${before} already: nothing is to be recovered from it`,
    )
    const root = rootAt(nativePrimitives, head.size, treeReader(edge, storedTiles(database)))
    checkArchive(
      compareBytes(root, head.root) === 0,
      'archive_forked',
      `${source.name} has another root at size ${head.size} than the data: it is of another history`,
    )
    const fill = await fillLost(database, source, head.size)
    const none = `${source.name} has not all disclosures of any of the ${fill.lost.length} entries that lack some`
    checkArchive(fill.filled > 0, 'source_behind', none)
    return { ...NO_REPLAY, size: before, ...sizes, ...fill, root: edge.root() }
  }
  const leaves = await prove({ source, from: edge, head, recorded, onProgress })
  const filling = { source, leaves, head: { ...head, note }, edge, trust, genesis, onProgress }
  const report = await replay(database, { ...filling, pinned })
  const fill = source.isWhole ? await fillLost(database, source, head.size) : { filled: 0 }
  return { ...report, ...sizes, ...fill, root: head.root }
}

const NO_REPLAY = { batches: 0, signatures: 0, disclosures: 0, cleanErasures: [] }

function behind(source: LogSource, size: number, recordedSize: number): ArchiveError {
  const count = recordedSize - size
  return new ArchiveError(
    'source_behind',
    `${source.name} ends at ${size}, the head record says ${recordedSize}: ${count} acknowledged ` +
      `${count === 1 ? 'entry is' : 'entries are'} not in it (${size} to ${recordedSize - 1}); nothing was written`,
  )
}
