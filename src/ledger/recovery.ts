/**
 * @module What a start checks before anything is answered (DESIGN §4.2, §5; src/README.md "Start"), and the one repair
 * that it makes: a head record that lags behind the database is rolled forward. What grows with the log it leaves to be
 * checked behind it (scrub.ts), unless it is told to check everything.
 */
import { ProofError, verifyConsistency } from '@trustwarden/proofs'
import type { Clock } from '../clock.ts'
import { nativePrimitives } from '../crypto.ts'
import { MerkleError } from '../merkle/errors.ts'
import { Edge, treeReader } from '../merkle/grow.ts'
import { proveConsistency, rootAt } from '../merkle/prove.ts'
import type { NodeReader } from '../merkle/tiles.ts'
import { fullTileCount } from '../merkle/tree-math.ts'
import type { Database } from '../store/database.ts'
import { StoreError } from '../store/errors.ts'
import { checkAgainstRecord } from '../store/head-record.ts'
import { checkKeepingJournals, isAboutData } from '../store/journals.ts'
import type { KeptJournals } from '../store/journals.ts'
import type { Erasure } from '../store/erasure.ts'
import {
  beginFold,
  checkBatchRecords,
  checkErasables,
  checkFold,
  checkSetDigests,
} from '../store/start-checks.ts'
import type { CheckOptions, CheckProgress, ErasableExpectation } from '../store/start-checks.ts'
import { awaitClock } from './clock-guard.ts'
import { dueErasures, expectedDisclosures } from './disclosures.ts'
import { LedgerError, messageOf } from './errors.ts'
import { isHeadless, openStoredHead } from './head-note.ts'
import type { SignedHead } from './head-note.ts'
import { join } from './layout.ts'
import type { LogKeys } from './log-keys.ts'
import type { LeftByStart } from './scrub.ts'
import type { Published } from './reader.ts'
import { CommittedView } from './state.ts'
import type { HeadRecordWriter } from './writer.ts'

/** What a start is given. */
export interface RecoveryOptions {
  readonly database: Database
  readonly headRecord: HeadRecordWriter
  readonly keys: LogKeys
  readonly clock: Clock
  /** The journals copied aside before the database opened: discarded when all checks have passed. */
  readonly journals?: KeptJournals
  /**
   * The head record was written at this start from a head that the operator named: it may lie any number of batches
   * back. Default: one at most.
   */
  readonly acceptHead?: boolean
  /** How far the clock may be ahead of the last ledger time because the operator says so, ms. Default: 24 h. */
  readonly acceptClockAheadMs?: number
  /** Checks before the first answer what else is checked behind it: the last process stopped over damage. */
  readonly everything?: boolean
  readonly sleep?: (ms: number) => Promise<void>
  readonly onProgress?: (progress: CheckProgress) => void
}

/** What a start found. */
export interface Recovered extends Published {
  /** Size that the head record said; below the head's size if it was rolled forward. */
  readonly recordedSize: number
  /** Erasures that are to be finished. */
  readonly due: readonly Erasure[]
  /** What is to be checked behind it, or undefined if everything was. */
  readonly left: LeftByStart | undefined
}

/**
 * Checks everything that is checked at start, rolls the head record forward if it lags, and waits for the clock.
 *
 * @throws {LedgerError} `start_refused`; its message says what is wrong, the way on, and where the journals were kept,
 *   and its `cause` is the error found
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { journals, clock, acceptClockAheadMs } = options
  try {
    const check = (): Promise<Recovered> => checkStored(options)
    const recovered = await (journals === undefined
      ? check()
      : checkKeepingJournals(journals, check, refusesData))
    const sleep = options.sleep ?? sleepFor
    await awaitClock(clock, recovered.head.timeMs, sleep, acceptClockAheadMs)
    return recovered
  } catch (thrown) {
    // Once all checks have passed the copy is gone, and a refusal by the clock does not name it.
    throw startRefusal(thrown, refusesData(thrown) ? journals?.path : undefined)
  }
}

/**
 * Whether a start is refused for what is stored: then the copy of the journals stays. For `checkKeepingJournals` around
 * the whole of a start.
 */
export function refusesData(thrown: unknown): boolean {
  if (thrown instanceof LedgerError) {
    if (thrown.code === 'start_refused') return refusesData(thrown.cause)
    return !['clock_behind', 'clock_ahead', 'log_key_missing'].includes(thrown.code)
  }
  return thrown instanceof ProofError || thrown instanceof MerkleError || isAboutData(thrown)
}

/** What to do about each refusal. Codes of the store and of the ledger. */
const WAYS_ON: Readonly<Record<string, string>> = {
  store_locked: 'another process serves this log: stop it, or use it',
  head_record_locked: 'another process serves this log: stop it, or use it',
  store_missing: 'check the path of the data; `init` makes a new log',
  store_version_unknown: 'start the release that wrote it, or a later one that says it can read it',
  store_origin_mismatch: 'check the path of the data and the name of the log',
  head_record_missing:
    'check its path; if it is lost for good, start once with the size and root of the last head that is known elsewhere',
  head_record_corrupt:
    'restore it; if it is lost for good, start once with the size and root of the last head that is known elsewhere',
  head_record_origin: 'check the path of the head record and the name of the log',
  head_record_foreign: 'find out what else writes the head record and stop it, then start again',
  store_behind_record:
    'the data is an older copy, or lost its end: put the newest copy back, let `recover --from BACKUP` fetch what a backup has, ' +
    'disclosures included, and `recover --from MIRROR` what came after it; entries above it were acknowledged. If they are lost ' +
    'for good the log stays closed and a successor is opened',
  store_differs_from_record:
    'the data is not what was acknowledged: put the copy that belongs to this head record back',
  set_digest_mismatch: 'put a copy back, or rebuild the folds from the entries',
  set_digest_missing: 'put a copy back, or rebuild the folds from the entries',
  fold_key_lost: 'put a copy back, or rebuild the folds from the entries',
  fold_missing: 'nothing is damaged: the entries have all that it takes',
  fold_unknown: 'start the release that wrote it, or a later one',
  record_far_behind:
    'put the newest copy of the head record back; if there is none, start once with the size and root of the last head ' +
    'that is known elsewhere',
  log_empty: 'no first batch was written: run `init` again',
  recovery_unfinished: 'a `recover` was cut off: run it again, it goes on from there',
  log_key_missing:
    'put the key file back: a retired key signs until the size that its rotation names',
  clock_behind:
    'set the clock right; if it is right, an entry was dated ahead: start once that time has passed, no option takes it back',
  clock_ahead:
    'set the clock right; if it is right and the log was idle for so long, start once with `--accept-clock`',
}

const RESTORE = 'the data was damaged: put a copy back and keep the damaged one for the inquiry'

/** Says to an operator why a start was refused: what is wrong, the way on, and where the journals were kept. */
export function startRefusal(thrown: unknown, keptPath?: string): LedgerError {
  if (thrown instanceof LedgerError && thrown.code === 'start_refused') return thrown
  const code = thrown instanceof StoreError || thrown instanceof LedgerError ? thrown.code : ''
  const what = messageOf(thrown)
  const way = WAYS_ON[code] ?? RESTORE
  const kept =
    keptPath === undefined || what.includes(keptPath)
      ? ''
      : `; the journals as they were are in ${keptPath}`
  return new LedgerError('start_refused', `${code}: ${what}: ${way}${kept}`, { cause: thrown })
}

async function checkStored(options: RecoveryOptions): Promise<Recovered> {
  const { database, headRecord, keys, onProgress } = options
  const recorded = headRecord.current()
  const last = database.lastBatch()
  if (last === undefined) {
    checkAgainstRecord(recorded, 0, () => nativePrimitives.sha256(new Uint8Array(0)))
    throw new LedgerError('log_empty', 'the database holds no entry')
  }
  if (isHeadless(last)) {
    throw new LedgerError('recovery_unfinished', 'the last batch has no signed head')
  }
  const progress = onProgress && { onProgress }
  const everything = options.everything === true
  const { fromIndex } = await checkBatchRecords(database, progress)
  if (everything) await checkSetDigests(database, progress)
  else await checkResident(database, progress)
  const edge = rightEdge(database)
  const view = new CommittedView(database.folds, last.size, last.timeMs)
  const head = openStoredHead(keys.at(view, last.size), last)
  if (Buffer.compare(edge.root(), head.root) !== 0) {
    throw new LedgerError(
      'root_mismatch',
      `the entries up to size ${head.size} have another root than the signed head`,
    )
  }
  const tiles = treeReader(edge, storedTiles(database))
  checkAgainstRecord(recorded, head.size, (size) => rootAt(nativePrimitives, size, tiles))
  const expected = (index: number): ErasableExpectation | undefined =>
    expectedDisclosures(database, index)
  // From the size on: that there is none which belongs to no entry.
  await checkErasables(database, everything ? fromIndex : head.size, expected, progress)
  const due = await dueErasures(database)
  if (last.first > recorded.size && options.acceptHead !== true) {
    throw new LedgerError(
      'record_far_behind',
      `the head record says ${recorded.size} entries, the last batch began at ${last.first}`,
    )
  }
  keys.checkNext(view, head.size)
  if (head.size > recorded.size) await rollForward(options, head, tiles)
  const left = everything ? undefined : { disclosuresFrom: fromIndex }
  return { head, edge, recordedSize: recorded.size, due, left }
}

/** The folds that lie in memory were read by a scan when the database was opened: `get` has to show the same. */
async function checkResident(database: Database, options?: CheckOptions): Promise<void> {
  for (const spec of database.folds.specs().filter(({ resident }) => resident))
    await checkFold(database, beginFold(database, spec), options)
}

/**
 * Records the stored head, after a crash between batch and head record. Nothing above the record was answered, but its
 * head may not be forgotten: no other head of that size may ever be signed.
 */
async function rollForward(
  { headRecord }: RecoveryOptions,
  head: SignedHead,
  tiles: NodeReader,
): Promise<void> {
  const recorded = headRecord.current()
  if (recorded.size > 0) {
    try {
      // The prover and the verifier are written apart: a mistake of the one is found by the other.
      verifyConsistency(nativePrimitives, {
        oldSize: recorded.size,
        newSize: head.size,
        oldRoot: recorded.root,
        newRoot: head.root,
        path: proveConsistency(nativePrimitives, recorded.size, head.size, tiles),
      })
    } catch (thrown) {
      if (!(thrown instanceof ProofError || thrown instanceof MerkleError)) throw thrown
      throw new LedgerError(
        'history_mismatch',
        `the stored head of size ${head.size} does not extend the recorded tree of size ${recorded.size}`,
        { cause: thrown },
      )
    }
  }
  await headRecord.write({ size: head.size, root: head.root, timeMs: head.timeMs })
}

/** The right edge of the stored tree, from its full tiles and the leaf hashes behind them. */
export function rightEdge(database: Database): Edge {
  return Edge.fromTiles(nativePrimitives, database.size, storedTiles(database))
}

/** Full tiles from the database, and the partial one of level 0 from the entries behind the last bundle. */
export function storedTiles(database: Database): NodeReader {
  return {
    readTile(level, index) {
      if (level === 0 && index === fullTileCount(database.size, 0)) {
        return join(...database.pendingLeafHashes())
      }
      const tile = database.tile(level, index)
      if (tile !== undefined) return tile
      throw new LedgerError('state_damaged', `tile ${level}/${index} is not there`)
    },
  }
}

function sleepFor(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
