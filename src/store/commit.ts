/**
 * @module From a batch to one write: every op of a commit, and the state in memory that holds once it is on disk.
 *
 * Pure but for reads: nothing of the state it is given changes, so that a write that fails leaves no half of it.
 */
import { concatBytes } from '@trustwarden/proofs'
import type { Batch, FoldChange } from './batch.ts'
import { NO_PREVIOUS, encodeBatchRecord } from './batch-record.ts'
import type { BatchRecord } from './batch-record.ts'
import { equalBytes } from './bytes.ts'
import { formatRun } from './entry-run.ts'
import { checkStore, StoreError } from './errors.ts'
import { hashLeaf, sha256, sha256Of } from './hash.ts'
import { BUNDLE_ENTRIES, TILE_BYTES, u64 } from './keys.ts'
import type { Keys } from './keys.ts'
import { SetDigest, digestOf, sealValue } from './sealed.ts'
import type { Op, Store } from './store.ts'

/** A hash tile that became full in a batch. */
export interface FullTile {
  readonly level: number
  readonly index: number
  /** 256 hashes, 8,192 bytes. */
  readonly bytes: Uint8Array
}

/** What the ledger hands over beside the batch itself. */
export interface CommitInput {
  /** Index of the first entry: the size so far. */
  readonly firstIndex: number
  /** At least one, each at most 65,535 bytes. */
  readonly entries: readonly Uint8Array[]
  /** SHA-256(0x00 ‖ entry) of each entry. */
  readonly leafHashes: readonly Uint8Array[]
  /** Exactly the tiles that become full with these entries, all levels, in any order. */
  readonly tiles: readonly FullTile[]
  /** The signed head at `size`. */
  readonly head: Uint8Array
  /** Size after the batch. */
  readonly size: number
  /** Root at `size`. */
  readonly root: Uint8Array
  /** Ledger time, ms; never below the last batch's. */
  readonly timeMs: number
}

/** The entries behind the last full bundle: where they lie and what they are. */
export interface PendingBundle {
  /** Index of the bundle's first entry, a multiple of 256. */
  readonly first: number
  readonly entries: readonly Uint8Array[]
  readonly leafHashes: readonly Uint8Array[]
  /** First index of each run that holds them. */
  readonly runs: readonly number[]
}

/** The last batch, decoded and digested. */
export interface LastBatch {
  readonly record: BatchRecord
  /** SHA-256 of the encoded record. */
  readonly digest: Uint8Array
}

/** What a commit starts from. */
export interface CommitBase {
  readonly store: Store
  readonly keys: Keys
  readonly last: LastBatch | undefined
  readonly pending: PendingBundle
  readonly sets: ReadonlyMap<number, SetDigest>
}

/** A change of a fold that took place, for the folds in memory. */
interface WrittenChange {
  readonly change: FoldChange
  /** SHA-256(key ‖ value); undefined with the value. */
  readonly digest: Uint8Array | undefined
}

/** One write, and the state after it. */
export interface CommitPlan {
  readonly ops: readonly Op[]
  readonly last: LastBatch
  readonly pending: PendingBundle
  readonly sets: ReadonlyMap<number, SetDigest>
  readonly foldChanges: readonly WrittenChange[]
  /** Values that erasure jobs delete, by job, for the search of the files afterwards. */
  readonly erased: ReadonlyMap<number, readonly Uint8Array[]>
}

/** Plans the write of a batch. @throws {StoreError} `batch_invalid`, and what reading old values throws */
export function planCommit(base: CommitBase, batch: Batch, input: CommitInput): CommitPlan {
  checkInput(base, input)
  const writer = new OpsWriter(base.keys)
  const pending = writeEntries(base, input, writer)
  writeTiles(base, input, writer)
  const { sets, foldChanges, erased } = writeChanges(base, batch, writer)
  const record: BatchRecord = {
    first: input.firstIndex,
    size: input.size,
    timeMs: input.timeMs,
    leavesDigest: sha256Of(input.leafHashes),
    onceKeys: writer.onceKeys,
    onceDigest: sha256Of(writer.onceDigests),
    previous: base.last?.digest ?? NO_PREVIOUS,
    root: input.root,
    head: input.head,
    setsDigest: setsDigestOf(sets),
    folds: Uint8Array.from([...sets.keys()].sort((a, b) => a - b)),
  }
  const bytes = encodeBatchRecord(record)
  writer.putSealed(base.keys.batchRecord(input.size), bytes)
  const last = { record, digest: sha256(bytes) }
  return { ops: writer.ops, last, pending, sets, foldChanges, erased }
}

/** Plans the write that gives the last batch's record another head: no later record names this one by its digest. */
export function planHead(
  keys: Keys,
  last: LastBatch,
  head: Uint8Array,
): Pick<CommitPlan, 'ops' | 'last'> {
  const record = { ...last.record, head }
  const bytes = encodeBatchRecord(record)
  const writer = new OpsWriter(keys)
  writer.putSealed(keys.batchRecord(record.size), bytes)
  return { ops: writer.ops, last: { record, digest: sha256(bytes) } }
}

/**
 * SHA-256 over (fold id u8, count u64, sum 32 bytes) of each fold, ascending by id.
 *
 * @param folds - Ids of the folds to take in, ascending; default: all. One that `sets` lacks counts as empty.
 */
export function setsDigestOf(
  sets: ReadonlyMap<number, SetDigest>,
  folds: Iterable<number> = [...sets.keys()].sort((a, b) => a - b),
): Uint8Array {
  const parts: Uint8Array[] = []
  for (const id of folds) {
    parts.push(Uint8Array.of(id), formatSet(sets.get(id) ?? new SetDigest()))
  }
  return sha256Of(parts)
}

/** A set digest as it is stored: count u64, sum 32 bytes. */
export function formatSet(set: SetDigest): Uint8Array {
  return concatBytes(u64(set.count), set.sum())
}

/** Gathers ops, and the digests of what is written once. */
class OpsWriter {
  readonly ops: Op[] = []
  readonly onceKeys: Uint8Array[] = []
  readonly onceDigests: Uint8Array[] = []
  readonly #prefixBytes: number

  constructor(keys: Keys) {
    this.#prefixBytes = keys.prefix.length
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.ops.push({ type: 'put', key, value })
  }

  delete(key: Uint8Array): void {
    this.ops.push({ type: 'del', key })
  }

  putSealed(key: Uint8Array, value: Uint8Array, digest: Uint8Array = digestOf(key, value)): void {
    this.put(key, sealValue(value, digest))
  }

  /** Puts what is never rewritten or deleted: the batch record will list and commit to it. */
  putOnce(key: Uint8Array, value: Uint8Array): void {
    this.put(key, value)
    this.onceKeys.push(key.subarray(this.#prefixBytes))
    this.onceDigests.push(digestOf(key, value))
  }
}

function checkInput(base: CommitBase, input: CommitInput): void {
  const size = base.last?.record.size ?? 0
  const count = input.entries.length
  checkBatch(count > 0, 'has no entries')
  checkBatch(input.firstIndex === size, `begins at ${input.firstIndex}, the size is ${size}`)
  checkBatch(input.size === size + count, `ends at ${input.size}, not at ${size + count}`)
  checkBatch(input.leafHashes.length === count, 'has not one leaf hash for each entry')
  checkBatch(
    input.leafHashes.every((hash) => hash.length === 32),
    'has a leaf hash of another length',
  )
  checkBatch(input.root.length === 32, `has a root of ${input.root.length} bytes`)
  checkBatch(Number.isSafeInteger(input.timeMs) && input.timeMs >= 0, 'has no valid time')
  checkBatch(input.timeMs >= (base.last?.record.timeMs ?? 0), 'is older than the last batch')
}

function checkBatch(condition: boolean, rule: string): asserts condition {
  checkStore(condition, 'batch_invalid', `the batch ${rule}`)
}

/** Writes the entries: full bundles, whose runs go in the same write, and one run for what is behind them. */
function writeEntries(base: CommitBase, input: CommitInput, writer: OpsWriter): PendingBundle {
  let first = base.pending.first
  let entries = [...base.pending.entries, ...input.entries]
  let leafHashes = [...base.pending.leafHashes, ...input.leafHashes]
  let runs = base.pending.runs
  while (entries.length >= BUNDLE_ENTRIES) {
    const number = first / BUNDLE_ENTRIES
    writeBundle(base, input, writer, number, {
      first,
      entries: entries.slice(0, BUNDLE_ENTRIES),
      leafHashes: leafHashes.slice(0, BUNDLE_ENTRIES),
      runs,
    })
    first += BUNDLE_ENTRIES
    entries = entries.slice(BUNDLE_ENTRIES)
    leafHashes = leafHashes.slice(BUNDLE_ENTRIES)
    runs = []
  }
  const runFirst = Math.max(first, input.firstIndex)
  const run = entries.slice(runFirst - first)
  if (run.length > 0) {
    writer.put(base.keys.run(runFirst), formatRun(run))
    runs = [...runs, runFirst]
  }
  return { first, entries, leafHashes, runs }
}

function writeBundle(
  base: CommitBase,
  input: CommitInput,
  writer: OpsWriter,
  number: number,
  bundle: PendingBundle,
): void {
  // The entries waited in memory, in part since earlier batches: what becomes final is what was hashed then.
  bundle.entries.forEach((entry, i) => {
    const hash = bundle.leafHashes[i]
    checkStore(
      hash !== undefined && equalBytes(hashLeaf(entry), hash),
      'entry_mismatch',
      `entry ${bundle.first + i} does not have its leaf hash`,
    )
  })
  const tile = input.tiles.find(({ level, index }) => level === 0 && index === number)
  checkBatch(
    tile !== undefined && equalBytes(tile.bytes, concatBytes(...bundle.leafHashes)),
    `lacks tile 0/${number}, or it does not hold the leaf hashes of bundle ${number}`,
  )
  writer.putOnce(base.keys.bundle(number), formatRun(bundle.entries))
  for (const run of bundle.runs) writer.delete(base.keys.run(run))
}

function writeTiles(base: CommitBase, input: CommitInput, writer: OpsWriter): void {
  const expected = fullTilesBetween(input.firstIndex, input.size)
  for (const { level, index, bytes } of input.tiles) {
    checkBatch(
      expected.delete(`${level}/${index}`),
      `has tile ${level}/${index}, not full or twice`,
    )
    checkBatch(bytes.length === TILE_BYTES, `has tile ${level}/${index} of ${bytes.length} bytes`)
    writer.putOnce(base.keys.tile(level, index), bytes)
  }
  checkBatch(expected.size === 0, `lacks the full tiles ${[...expected].join(', ')}`)
}

/** Names `level/index` of the tiles that are full at `newSize` and were not at `oldSize`. */
function fullTilesBetween(oldSize: number, newSize: number): Set<string> {
  const names = new Set<string>()
  let span = BUNDLE_ENTRIES
  for (let level = 0; span <= newSize; level++) {
    for (let i = Math.floor(oldSize / span); i < Math.floor(newSize / span); i++) {
      names.add(`${level}/${i}`)
    }
    span *= BUNDLE_ENTRIES
  }
  return names
}

function writeChanges(
  base: CommitBase,
  batch: Batch,
  writer: OpsWriter,
): Pick<CommitPlan, 'sets' | 'foldChanges' | 'erased'> {
  const { keys } = base
  const sets = new Map(base.sets)
  const touched = new Set<number>()
  const foldChanges: WrittenChange[] = []
  const erasures = new Map<number, { index: number; ordinal: number }[]>()
  for (const change of batch.changes()) {
    switch (change.kind) {
      case 'fold': {
        const set = sets.get(change.fold)
        if (set === undefined) {
          throw new StoreError('fold_unknown', `there is no fold ${change.fold}`)
        }
        const own = touched.has(change.fold) ? set : set.clone()
        const written = writeFoldChange(keys, batch, change, own, writer)
        if (written === undefined) break
        touched.add(change.fold)
        sets.set(change.fold, own)
        foldChanges.push(written)
        break
      }
      case 'pinned':
        writer.putOnce(keys.pinned(change.digest), change.bytes)
        break
      case 'erasable':
        writer.put(keys.erasable(change.index, change.ordinal), change.bytes)
        break
      case 'erase': {
        const job = erasures.get(change.job)
        if (job === undefined) erasures.set(change.job, [change])
        else job.push(change)
        break
      }
    }
  }
  for (const id of touched) {
    const set = sets.get(id)
    if (set !== undefined) writer.putSealed(keys.setDigest(id), formatSet(set))
  }
  return { sets, foldChanges, erased: writeErasures(base, erasures, writer) }
}

/** Writes one change of a fold and moves its set digest along; undefined if nothing changes. */
function writeFoldChange(
  keys: Keys,
  batch: Batch,
  change: FoldChange,
  set: SetDigest,
  writer: OpsWriter,
): WrittenChange | undefined {
  const { value } = change
  const key = keys.fold(change.fold, change.key)
  const before = batch.committed(change)
  if (before === undefined && value === undefined) return undefined
  if (before !== undefined && value !== undefined && equalBytes(before.value, value)) {
    return undefined
  }
  if (before !== undefined) set.remove(before.digest ?? digestOf(key, before.value))
  if (value === undefined) {
    writer.delete(key)
    return { change, digest: undefined }
  }
  const digest = digestOf(key, value)
  set.add(digest)
  writer.putSealed(key, value, digest)
  return { change, digest }
}

/** Deletes the erased values: who deletes them again, and searches, is erasure.ts. That it is due the entries say. */
function writeErasures(
  base: CommitBase,
  erasures: ReadonlyMap<number, readonly { readonly index: number; readonly ordinal: number }[]>,
  writer: OpsWriter,
): ReadonlyMap<number, readonly Uint8Array[]> {
  const erased = new Map<number, readonly Uint8Array[]>()
  for (const [job, targets] of erasures) {
    const values: Uint8Array[] = []
    for (const { index, ordinal } of targets) {
      const key = base.keys.erasable(index, ordinal)
      const value = base.store.get(key)
      if (value !== undefined) values.push(value)
      writer.delete(key)
    }
    erased.set(job, values)
  }
  return erased
}
