/**
 * @module The checks of a start (DESIGN §5): what was written last is read again and compared, before anything is
 * answered. The ledger calls them, after `Database.open` and before it discards the journals kept aside.
 *
 * A scrub (ledger/scrub.ts) runs the same checks behind a log that is served, slowly: what is written once does not change
 * under them, and a fold is compared as it was at one moment.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { concatBytes } from '@trustwarden/proofs'
import { NO_PREVIOUS, decodeBatchRecord } from './batch-record.ts'
import { equalBytes } from './bytes.ts'
import type { BatchRecord } from './batch-record.ts'
import type { Database } from './database.ts'
import type { FoldSpec } from './folds.ts'
import type { RecordedLog } from './load.ts'
import { StoreError, checkStore } from './errors.ts'
import { hashLeaf, sha256, sha256Of } from './hash.ts'
import { BUNDLE_ENTRIES, readU16 } from './keys.ts'
import { WRITE_BUFFER_BYTES } from './level-store.ts'
import { checkSet, parseBundle, readBatchRecord } from './load.ts'
import { isLost } from './lost.ts'
import { SetDigest, digestOf, openSealed } from './sealed.ts'
import type { Row, Store } from './store.ts'

/**
 * Bytes that a start reads again at least: twice the write buffer, since LevelDB can have two of them in journals
 * alone, and an error in a journal is what it passes over in silence. An entry counts once, though it was written twice,
 * in its run and in its bundle.
 */
const RECHECK_BYTES: number = 2 * WRITE_BUFFER_BYTES

/** How far a check is. */
export interface CheckProgress {
  /** What is being checked, for a log line. */
  readonly what: string
  /** Bytes read (batch records), keys read (folds) or entries (all others) so far. */
  readonly done: number
  /** How many there are, or about how many there will have been. */
  readonly total: number
}

/** How a check is run. */
export interface CheckOptions {
  /** Called about every thousand steps. */
  readonly onProgress?: (progress: CheckProgress) => void
  /** Awaited after every few steps with the bytes that they cost; what it throws ends the check. */
  readonly pace?: (bytes: number) => Promise<void>
}

/** How far back batch records are checked. */
export interface RecordCheckOptions extends CheckOptions {
  /** Bytes of entries and of values written once to read at least; `Infinity` for all. Default `RECHECK_BYTES`. */
  readonly minBytes?: number
  /** The record to begin with. Default: the last one. */
  readonly from?: BatchRecord
  /** Called with each record that held. */
  readonly onRecord?: (record: BatchRecord) => void
}

/** What was checked. */
export interface RecordCheck {
  readonly records: number
  readonly bytes: number
  /** Every entry from here on was read. 0: the whole log. */
  readonly fromIndex: number
}

const PROGRESS_STEPS = 1000
/** Keys of a fold that are checked before a pace is asked, and what a key costs: it is read twice, once at random. */
const PACE_KEYS = 64
const KEY_COST_BYTES = 1024
/** What an entry costs whose erasable values are compared: it is read and parsed. */
const ENTRY_COST_BYTES = 4096
/** A key can change between scan and get: only what stays contradictory is damage. */
const LOOKS = 3
/** First byte of a bundle's key, behind the prefix. */
const BUNDLE_SPACE = 0x62

/**
 * Walks the batch records back from the last one and reads again what each covers: entries, wherever they lie now, by
 * their leaf hashes; bundles, tiles and pinned attachments by the digest of what was written once; the record before by
 * the digest in this one.
 *
 * @throws {StoreError} `batch_record_chain` if a record is missing or not the one that the next names;
 *   `batch_record_corrupt` if what it covers has changed; `entry_missing`, `bundle_corrupt`
 */
export async function checkBatchRecords(
  database: RecordedLog,
  options: RecordCheckOptions = {},
): Promise<RecordCheck> {
  const minBytes = options.minBytes ?? RECHECK_BYTES
  const leaves = new LeafReader(database)
  let record = options.from ?? database.lastBatch()
  const size = record?.size ?? 0
  let records = 0
  let bytes = 0
  let fromIndex = size
  while (record !== undefined && bytes < minBytes) {
    const cost = checkLeaves(record, leaves) + checkOnce(database, record, leaves)
    bytes += cost
    records++
    fromIndex = record.first
    options.onRecord?.(record)
    record = previousOf(database, record)
    await options.pace?.(cost)
    if (records % PROGRESS_STEPS === 0) {
      const part = Math.max(bytes / minBytes, (size - fromIndex) / size)
      options.onProgress?.({ what: 'batch records', done: bytes, total: Math.ceil(bytes / part) })
      await nextTurn()
    }
  }
  options.onProgress?.({ what: 'batch records', done: bytes, total: bytes })
  return { records, bytes, fromIndex }
}

/**
 * Scans every fold, `get`s every key that the scan shows, and compares count and sum with the set digest. From then on
 * the database notices a key that `get` loses.
 *
 * @throws {StoreError} `value_corrupt`, `fold_key_lost`, `set_digest_mismatch`, each with the fold's name
 */
export async function checkSetDigests(
  database: Database,
  options: CheckOptions = {},
): Promise<void> {
  await database.folds.compared()
  for (const spec of database.folds.specs())
    await checkFold(database, beginFold(database, spec), options)
}

/** A fold as it was at one moment. */
export interface FoldMoment {
  readonly spec: FoldSpec
  readonly expected: SetDigest | undefined
  readonly rows: AsyncIterator<Row>
  readonly first: Promise<IteratorResult<Row>>
}

/**
 * Takes a fold as it is: its set digest, and a scan that sees no later write. To be called while no commit is under way,
 * and followed by `checkFold`, which ends the scan.
 */
export function beginFold(database: Database, spec: FoldSpec): FoldMoment {
  const { store, keys } = database
  const expected = database.folds.sets.get(spec.id)
  const rows = store.scan(keys.range('f', Uint8Array.of(spec.id)))[Symbol.asyncIterator]()
  return { spec, expected, rows, first: rows.next() }
}

/** Which entries' erasable values are checked. */
export interface ErasableCheckOptions extends CheckOptions {
  /** The entry to end in front of. Default: the size. */
  readonly to?: number
}

/** What the leaf of one entry says of its erasable values. */
export interface ErasableExpectation {
  /** Ordinal → digest that the leaf commits to. */
  readonly digests: ReadonlyMap<number, Uint8Array>
  /** Digest of a stored value, in the leaf's own way. */
  readonly digestOf: (value: Uint8Array) => Uint8Array
  /** Ordinals that an erasure has ordered gone. */
  readonly erased: ReadonlySet<number>
}

/**
 * Compares the erasable values of entries `from` … size − 1 with their leaves: each is there with its digest, or erased
 * and not there; and there is none that no leaf commits to.
 *
 * @param expectationOf - What the leaf of an entry says; undefined if it has no erasable values.
 * @throws {StoreError} `erasable_mismatch`, `erasable_missing`, with index and ordinal
 */
export async function checkErasables(
  database: Database,
  from: number,
  expectationOf: (index: number) => ErasableExpectation | undefined,
  options: ErasableCheckOptions = {},
): Promise<void> {
  const { store, keys } = database
  const size = options.to ?? database.size
  const lt = options.to === undefined ? keys.range('x').lt : keys.erasable(size, 0)
  const range = { gte: keys.erasable(from, 0), lt, keysOnly: true }
  const rows = store.scan(range)[Symbol.asyncIterator]()
  try {
    let row = await rows.next()
    for (let index = from; index < size; index++) {
      const shown = new Set<number>()
      while (row.done !== true && keys.indexOf(row.value.key) === index) {
        shown.add(readU16(keys.rest(row.value.key, 8), 0))
        row = await rows.next()
      }
      checkErasable(database, index, expectationOf(index), shown)
      await options.pace?.(ENTRY_COST_BYTES)
      if ((index - from) % PROGRESS_STEPS !== 0) continue
      options.onProgress?.({ what: 'disclosures', done: index - from, total: size - from })
      await nextTurn()
    }
    checkStore(row.done === true, 'erasable_mismatch', 'an erasable value belongs to no entry')
  } finally {
    await rows.return?.()
  }
}

function checkErasable(
  database: Database,
  index: number,
  expected: ErasableExpectation | undefined,
  shown: ReadonlySet<number>,
): void {
  for (const [ordinal, digest] of expected?.digests ?? []) {
    const name = `erasable value ${ordinal} of entry ${index}`
    const value = database.erasableValue(index, ordinal)
    if (expected?.erased.has(ordinal) === true) {
      const gone = value === undefined && !shown.has(ordinal)
      checkStore(gone, 'erasable_mismatch', `${name} is erased and still there`)
      continue
    }
    if (value === undefined && isLost(database, index)) continue
    checkStore(value !== undefined, 'erasable_missing', `${name} is not there, and not erased`)
    const same = expected !== undefined && equalBytes(expected.digestOf(value), digest)
    checkStore(same, 'erasable_mismatch', `${name} is not the one in the leaf`)
  }
  for (const ordinal of shown) {
    const known = expected?.digests.has(ordinal) === true
    checkStore(known, 'erasable_mismatch', `entry ${index} has no erasable value ${ordinal}`)
  }
}

/** Bundles of which a batch can have entries: the largest has 1,024. */
const BUNDLES_KEPT = 6

interface Leaf {
  readonly hash: Uint8Array
  readonly length: number
}

interface ReadBundle {
  /** Undefined for what lies behind the last full bundle. */
  readonly bytes: Uint8Array | undefined
  readonly leaves: readonly Leaf[]
}

/** Leaf hashes and lengths of entries, read from disk; keeps the bundles read last, since a walk stays in them. */
class LeafReader {
  readonly #database: RecordedLog
  readonly #bundles = new Map<number, ReadBundle>()

  constructor(database: RecordedLog) {
    this.#database = database
  }

  read(index: number): Leaf {
    const number = Math.floor(index / BUNDLE_ENTRIES)
    const leaf = this.#bundle(number).leaves[index - number * BUNDLE_ENTRIES]
    if (leaf === undefined) throw new StoreError('entry_missing', `entry ${index} is not there`)
    return leaf
  }

  /** The bytes of a full bundle as they were read. */
  bytes(number: number): Uint8Array | undefined {
    return this.#bundle(number).bytes
  }

  #bundle(number: number): ReadBundle {
    const kept = this.#bundles.get(number)
    if (kept !== undefined) return kept
    const [bytes, entries] = this.#read(number)
    const leaves = entries.map((entry) => ({ hash: hashLeaf(entry), length: entry.length }))
    const bundle = { bytes, leaves }
    this.#bundles.set(number, bundle)
    for (const oldest of this.#bundles.keys()) {
      if (this.#bundles.size <= BUNDLES_KEPT) break
      this.#bundles.delete(oldest)
    }
    return bundle
  }

  #read(number: number): readonly [Uint8Array | undefined, readonly Uint8Array[]] {
    const { store, keys } = this.#database
    const first = number * BUNDLE_ENTRIES
    // What lies behind the last bundle was read from its runs when the database was opened, moments ago.
    if (first === this.#database.pendingFirst()) {
      return [undefined, [...this.#database.entries(first, BUNDLE_ENTRIES)]]
    }
    const bytes = store.get(keys.bundle(number))
    return [bytes, parseBundle(bytes, number)]
  }
}

function checkLeaves(record: BatchRecord, leaves: LeafReader): number {
  const hashes: Uint8Array[] = []
  let bytes = 0
  // Backwards, as the walk goes, so that a bundle is read once.
  for (let index = record.size - 1; index >= record.first; index--) {
    const { hash, length } = leaves.read(index)
    hashes.push(hash)
    bytes += length
  }
  const same = equalBytes(sha256Of(hashes.reverse()), record.leavesDigest)
  checkStore(
    same,
    'batch_record_corrupt',
    `entries ${record.first} to ${record.size - 1} are not those of their batch`,
  )
  return bytes
}

function checkOnce(database: RecordedLog, record: BatchRecord, leaves: LeafReader): number {
  const { store, keys } = database
  const digests: Uint8Array[] = []
  let bytes = 0
  for (const rest of record.onceKeys) {
    const key = concatBytes(keys.prefix, rest)
    const value = rest[0] === BUNDLE_SPACE ? leaves.bytes(keys.indexOf(key)) : store.get(key)
    if (value === undefined) {
      throw new StoreError(
        'batch_record_corrupt',
        `${keys.nameOf(key)}, written in the batch that ends at ${record.size}, is not there`,
      )
    }
    digests.push(digestOf(key, value))
    // The entries of a bundle were counted by their leaves.
    if (rest[0] !== BUNDLE_SPACE) bytes += value.length
  }
  const same = equalBytes(sha256Of(digests), record.onceDigest)
  const names = record.onceKeys.map((rest) => keys.nameOf(concatBytes(keys.prefix, rest)))
  checkStore(
    same,
    'batch_record_corrupt',
    `one of ${names.join(', ')} has changed since the batch that ends at ${record.size}`,
  )
  return bytes
}

function previousOf(database: RecordedLog, record: BatchRecord): BatchRecord | undefined {
  const { store, keys } = database
  const bytes = record.first === 0 ? undefined : readBatchRecord(store, keys, record.first)
  const digest = record.first === 0 ? NO_PREVIOUS : bytes === undefined ? undefined : sha256(bytes)
  checkStore(
    digest !== undefined,
    'batch_record_chain',
    `the batch record at ${record.first}, before the one at ${record.size}, is not there`,
  )
  checkStore(
    equalBytes(digest, record.previous),
    'batch_record_chain',
    `the batch record at ${record.first} is not the one that the one at ${record.size} names`,
  )
  return bytes === undefined ? undefined : decodeBatchRecord(bytes, record.first)
}

/**
 * Scans a fold, `get`s every key that the scan shows, and compares count and sum with the set digest. A key that was changed
 * since the moment of the scan is looked at again. No key may be one that the database takes for new.
 *
 * @throws {StoreError} as `checkSetDigests`
 */
export async function checkFold(
  database: Database,
  { spec, expected, rows, first }: FoldMoment,
  options: CheckOptions = {},
): Promise<void> {
  const { store, keys } = database
  const what = `fold ${spec.name}`
  const found = new SetDigest()
  let takenForNew: string | undefined
  try {
    for (let step = await first; step.done !== true; step = await rows.next()) {
      const row = step.value
      // Only what is damaged is named: a name costs as much as the check.
      const name = (): string => `${what}: key ${keys.nameOf(row.key)}`
      const sealed = openSealed(row.key, row.value)
      if (sealed === undefined)
        throw new StoreError('value_corrupt', `${name()} has not the value written`)
      const value = store.get(row.key)
      if (value === undefined || !equalBytes(value, row.value)) await lookAgain(store, row, name())
      found.add(sealed.digest)
      if (!spec.resident && !database.folds.noteKey(spec.id, keys.rest(row.key, 1)))
        takenForNew ??= name()
      if (found.count % PACE_KEYS === 0) await options.pace?.(PACE_KEYS * KEY_COST_BYTES)
      if (found.count % PROGRESS_STEPS === 0)
        options.onProgress?.({ what, done: found.count, total: expected?.count ?? 0 })
    }
  } finally {
    await rows.return?.()
  }
  checkSet(spec.name, expected, found)
  if (takenForNew !== undefined)
    throw new StoreError('fold_key_lost', `${takenForNew} is stored, and was taken for new`)
  if (!spec.resident) database.folds.noteComplete(spec.id)
  options.onProgress?.({ what, done: found.count, total: found.count })
}

/** A key whose `get` is not what a scan showed: changed or deleted since, or lost. */
async function lookAgain(store: Store, { key }: Row, name: string): Promise<void> {
  let value: Uint8Array | undefined
  for (let n = 0; n < LOOKS; n++) {
    let shown: Uint8Array | undefined
    const range = { gte: key, lt: concatBytes(key, Uint8Array.of(0)), limit: 1 }
    for await (const row of store.scan(range)) shown = row.value
    value = store.get(key)
    if (shown === undefined && value === undefined) return
    const agrees = shown !== undefined && value !== undefined && equalBytes(shown, value)
    if (agrees && openSealed(key, value ?? key) !== undefined) return
  }
  checkStore(value !== undefined, 'fold_key_lost', `${name} is shown by a scan, not found by get`)
  throw new StoreError('value_corrupt', `${name}: scan and get differ`)
}
