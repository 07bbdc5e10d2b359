/**
 * @module What opening a database reads and checks: format and log, the last batch record, the entries behind the last
 * full bundle, the set digests, the folds kept in memory.
 */
import { concatBytes } from '@trustwarden/proofs'
import type { FoldRow } from './batch.ts'
import type { BatchRecord } from './batch-record.ts'
import { decodeBatchRecord } from './batch-record.ts'
import { equalBytes } from './bytes.ts'
import { setsDigestOf } from './commit.ts'
import type { LastBatch, PendingBundle } from './commit.ts'
import type { FoldSpec } from './folds.ts'
import { parseRun } from './entry-run.ts'
import { StoreError, checkStore } from './errors.ts'
import { hashLeaf, sha256 } from './hash.ts'
import { BUNDLE_ENTRIES, STORE_VERSION, readU16, readU64 } from './keys.ts'
import type { Keys } from './keys.ts'
import { SetDigest, openSealed } from './sealed.ts'
import { SortedRows } from './sorted-rows.ts'
import type { Store } from './store.ts'

/** Version of the format, in the meta value. */
const FORMAT_VERSION = 1

const SET_BYTES = 40

/** A fold, and its rows where it lies in memory. */
export interface FoldState {
  readonly spec: FoldSpec
  readonly resident: SortedRows<FoldRow> | undefined
}

/** What a database holds in memory. */
export interface LoadedState {
  readonly last: LastBatch | undefined
  readonly pending: PendingBundle
  readonly sets: ReadonlyMap<number, SetDigest>
  readonly folds: ReadonlyMap<number, FoldState>
}

/** What the checks of batch records read. A `Database` is one. */
export interface RecordedLog {
  readonly store: Store
  readonly keys: Keys
  readonly size: number
  lastBatch(): BatchRecord | undefined
  /** Index of the first entry behind the last full bundle. */
  pendingFirst(): number
  entries(first: number, count: number): Iterable<Uint8Array>
}

/**
 * Opens what does not hang on folds, for a rebuild of those.
 *
 * @throws {StoreError} any code of errors.ts about what is stored, `store_failed`
 */
export async function loadRecorded(store: Store, keys: Keys, origin: string): Promise<RecordedLog> {
  await checkMeta(store, keys, origin)
  const last = await loadLast(store, keys)
  const size = last?.record.size ?? 0
  const pending = await loadPending(store, keys, size)
  return {
    store,
    keys,
    size,
    lastBatch: () => last?.record,
    pendingFirst: () => pending.first,
    entries: (first, count) =>
      pending.entries.slice(first - pending.first, first - pending.first + count),
  }
}

/** Loads it. @throws {StoreError} any code of errors.ts about what is stored, `store_failed` */
export async function loadState(
  store: Store,
  keys: Keys,
  origin: string,
  specs: readonly FoldSpec[],
): Promise<LoadedState> {
  await checkMeta(store, keys, origin)
  const last = await loadLast(store, keys)
  const size = last?.record.size ?? 0
  const pending = await loadPending(store, keys, size)
  const sets = await loadSets(store, keys, specs, last?.record)
  // A fold that a rebuild added since is in no batch record yet.
  const known = last?.record
  if (known !== undefined && !equalBytes(setsDigestOf(sets, known.folds), known.setsDigest)) {
    throw new StoreError(
      'set_digest_missing',
      `the set digests are not those of the batch that ends at ${size}`,
    )
  }
  const folds = new Map<number, FoldState>()
  for (const spec of specs) {
    const resident = spec.resident ? await loadResident(store, keys, spec, sets) : undefined
    folds.set(spec.id, { spec, resident })
  }
  return { last, pending, sets, folds }
}

/** The meta value: format version u16, origin in UTF-8. */
export function formatMeta(origin: string): Uint8Array {
  const version = new Uint8Array(2)
  new DataView(version.buffer).setUint16(0, FORMAT_VERSION)
  return concatBytes(version, Buffer.from(origin, 'utf8'))
}

/** Reads a full bundle and takes it apart. @throws {StoreError} `entry_missing`, `bundle_corrupt` */
export function readBundle(store: Store, keys: Keys, number: number): readonly Uint8Array[] {
  return parseBundle(store.get(keys.bundle(number)), number)
}

/** Takes what was read of a full bundle apart. @throws {StoreError} `entry_missing`, `bundle_corrupt` */
export function parseBundle(bytes: Uint8Array | undefined, number: number): readonly Uint8Array[] {
  if (bytes === undefined) {
    throw new StoreError('entry_missing', `bundle ${number} is not there`)
  }
  return parseRun(bytes, `bundle ${number}`, BUNDLE_ENTRIES)
}

/** Encoded batch record that ended at `size`, its seal checked. @throws {StoreError} `batch_record_corrupt` */
export function readBatchRecord(store: Store, keys: Keys, size: number): Uint8Array | undefined {
  const key = keys.batchRecord(size)
  const bytes = store.get(key)
  return bytes === undefined ? undefined : openBatchRecord(key, bytes, size)
}

/** Takes the seal off a stored batch record. @throws {StoreError} `batch_record_corrupt` */
export function openBatchRecord(key: Uint8Array, bytes: Uint8Array, size: number): Uint8Array {
  const sealed = openSealed(key, bytes)
  if (sealed === undefined) {
    throw new StoreError('batch_record_corrupt', `batch record ${size} is not the one written`)
  }
  return sealed.value
}

async function checkMeta(store: Store, keys: Keys, origin: string): Promise<void> {
  const bytes = store.get(keys.meta())
  if (bytes === undefined) return refuseForeign(store, keys, origin)
  const value = openSealed(keys.meta(), bytes)?.value
  if (value === undefined) {
    throw new StoreError('value_corrupt', 'the meta value is not the one written')
  }
  const version = readU16(value, 0)
  if (version !== FORMAT_VERSION) {
    throw new StoreError(
      'store_version_unknown',
      `the database has format ${version}, this release reads ${FORMAT_VERSION}`,
    )
  }
  // The key holds 8 bytes of the origin's digest: here stands all of it.
  if (!equalBytes(value, formatMeta(origin))) {
    throw new StoreError('store_origin_mismatch', `the database is of another log than ${origin}`)
  }
}

/** Says why there is no meta value: the store is empty, of another version, of another log, or damaged. */
async function refuseForeign(store: Store, keys: Keys, origin: string): Promise<never> {
  const everything = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff), limit: 1, keysOnly: true }
  for await (const { key } of store.scan(everything)) {
    checkStore(
      key[0] === STORE_VERSION,
      'store_version_unknown',
      `the keys have layout ${key[0]}, this release reads ${STORE_VERSION}`,
    )
    checkStore(
      equalBytes(key.subarray(0, keys.prefix.length), keys.prefix),
      'store_origin_mismatch',
      `the database is of another log than ${origin}`,
    )
    throw new StoreError('meta_missing', 'the database has keys of the log but no meta value')
  }
  throw new StoreError('meta_missing', 'the database is empty')
}

async function loadLast(store: Store, keys: Keys): Promise<LastBatch | undefined> {
  for await (const { key } of store.scan({ ...keys.range('r'), reverse: true, limit: 1 })) {
    const size = keys.indexOf(key)
    // By `get`, as every later reader: LevelDB can show a key to a scan and hide it from `get`.
    const bytes = readBatchRecord(store, keys, size)
    if (bytes === undefined) {
      throw new StoreError('batch_record_corrupt', `batch record ${size} is lost to get`)
    }
    return { record: decodeBatchRecord(bytes, size), digest: sha256(bytes) }
  }
  return undefined
}

async function loadPending(store: Store, keys: Keys, size: number): Promise<PendingBundle> {
  const first = size - (size % BUNDLE_ENTRIES)
  const entries: Uint8Array[] = []
  const runs: number[] = []
  for await (const { key } of store.scan({ ...keys.range('e'), keysOnly: true })) {
    const run = keys.indexOf(key)
    const next = first + entries.length
    if (run !== next) {
      throw new StoreError('entry_missing', `a run begins at entry ${run}, not at ${next}`)
    }
    const bytes = store.get(key)
    if (bytes === undefined) throw new StoreError('entry_missing', `run ${run} is lost to get`)
    entries.push(...parseRun(bytes, `run ${run}`))
    runs.push(run)
  }
  const end = first + entries.length
  if (end !== size) {
    const what = end < size ? `entries ${end} to ${size - 1} are not there` : `runs go on to ${end}`
    throw new StoreError('entry_missing', `the size is ${size}: ${what}`)
  }
  return { first, entries, leafHashes: entries.map(hashLeaf), runs }
}

async function loadSets(
  store: Store,
  keys: Keys,
  specs: readonly FoldSpec[],
  last: BatchRecord | undefined,
): Promise<ReadonlyMap<number, SetDigest>> {
  const sets = new Map<number, SetDigest>()
  checkKnown(last?.folds ?? [], specs)
  for (const { id, name } of specs) {
    const key = keys.setDigest(id)
    const bytes = store.get(key)
    if (bytes === undefined) {
      checkStore(
        last?.folds.includes(id) === true,
        'fold_missing',
        `this release has the new fold ${name}: run \`trustwarden rebuild\``,
      )
      throw new StoreError('set_digest_missing', `the set digest of fold ${name} is not there`)
    }
    const value = openSealed(key, bytes)?.value
    if (value?.length !== SET_BYTES) {
      throw new StoreError('value_corrupt', `the set digest of fold ${name} is not the one written`)
    }
    sets.set(id, new SetDigest(readU64(value, 0), value.subarray(8)))
  }
  for await (const { key } of store.scan({ ...keys.range('s'), keysOnly: true })) {
    checkKnown(keys.rest(key), specs)
  }
  return sets
}

/** Refuses folds that the code does not have. @throws {StoreError} `fold_unknown` */
export function checkKnown(folds: Iterable<number>, specs: readonly FoldSpec[]): void {
  for (const id of folds) {
    checkStore(
      specs.some((spec) => spec.id === id),
      'fold_unknown',
      `a newer release wrote this: it has a fold ${id}, which this one does not know`,
    )
  }
}

/** Reads a fold into memory. The scan is compared with the set digest, so nothing is missing or changed in it. */
async function loadResident(
  store: Store,
  keys: Keys,
  spec: FoldSpec,
  sets: ReadonlyMap<number, SetDigest>,
): Promise<SortedRows<FoldRow>> {
  const rows = new SortedRows<FoldRow>()
  const found = new SetDigest()
  for await (const row of store.scan(keys.range('f', Uint8Array.of(spec.id)))) {
    const sealed = openSealed(row.key, row.value)
    if (sealed === undefined) {
      throw new StoreError(
        'value_corrupt',
        `fold ${spec.name}: the value of ${keys.nameOf(row.key)} is not the one written`,
      )
    }
    found.add(sealed.digest)
    const key = keys.rest(row.key, 1).slice()
    rows.set({ key, value: sealed.value.slice() })
  }
  checkSet(spec.name, sets.get(spec.id), found)
  return rows
}

/** Compares what a scan of a fold found with its set digest. @throws {StoreError} `set_digest_mismatch` */
export function checkSet(name: string, expected: SetDigest | undefined, found: SetDigest): void {
  const count = expected?.count ?? 0
  checkStore(
    found.count === count,
    'set_digest_mismatch',
    `fold ${name} has ${found.count} keys, ${count} were written`,
  )
  checkStore(
    equalBytes(found.sum(), (expected ?? new SetDigest()).sum()),
    'set_digest_mismatch',
    `fold ${name} does not have the keys and values that were written`,
  )
}
