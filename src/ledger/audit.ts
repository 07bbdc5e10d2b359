/**
 * @module The audit: reads a whole log again and decides everything anew, in bounded memory.
 *
 * It trusts nothing that is derived: leaf hashes, tiles, roots, heads, chain links, signatures, outcomes (register is
 * run again over a rebuilt state) and folds are each computed and compared. The first difference is reported by name.
 */
import {
  ProofError,
  disclosureDigest,
  formatVkey,
  fromBase64url,
  jsonString,
  readCommitments,
  utf8Decode,
} from '@trustwarden/proofs'
import type { Hash, NoteKey } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { Edge } from '../merkle/grow.ts'
import { TILE_WIDTH } from '../merkle/tree-math.ts'
import type { BatchRecord } from '../store/batch-record.ts'
import type { Batch } from '../store/batch.ts'
import type { Database } from '../store/database.ts'
import { StoreError } from '../store/errors.ts'
import type { RecordedHead } from '../store/head-record.ts'
import { hashLeaf } from '../store/hash.ts'
import { isLost } from '../store/lost.ts'
import { checkBatchRecords, checkSetDigests } from '../store/start-checks.ts'
import type { CheckProgress } from '../store/start-checks.ts'
import type { Store } from '../store/store.ts'
import { Difference, differ, differenceOf } from './audit-difference.ts'
import type { AuditCheck, AuditDifference } from './audit-difference.ts'
import { DisclosureWalk } from './audit-disclosures.ts'
import { compareFolds } from './audit-folds.ts'
import { replayEntry } from './audit-replay.ts'
import type { ReadEntry, Replay } from './audit-replay.ts'
import type { Fold, PrincipalReader, RegisteredEntry, State, StatementHandler } from './contract.ts'
import { checkErasureMarks } from './disclosures.ts'
import { erasedBy } from './erasures.ts'
import { LedgerError, messageOf } from './errors.ts'
import { FoldBuilder } from './fold-builder.ts'
import { isHeadless, openStoredHead } from './head-note.ts'
import { signersAt } from './log-keys.ts'
import type { RotationReader } from './log-keys.ts'
import { foldSpecs } from './rebuild.ts'
import { readUnhashed } from './register.ts'
import { PendingSignatures } from './audit-signatures.ts'
import { BatchState, CommittedView } from './state.ts'
import { inlineVerifier } from './verify.ts'
import type { SignatureVerifier } from './verify.ts'

/** What an audit is given. Nobody may commit meanwhile. */
export interface AuditOptions {
  readonly database: Database
  /** Compared with the last head, if given. */
  readonly headRecord?: { current(): RecordedHead }
  readonly origin: string
  /** The log key that genesis names, as the auditor's trust anchor has it. */
  readonly key: NoteKey
  /** Default: the log was never rotated. */
  readonly rotations?: RotationReader
  /** Leaf hash of genesis, of the trust anchor; compared if given. */
  readonly genesis?: Hash
  readonly handlers: readonly StatementHandler[]
  /** All folds of the log, `CORE_FOLDS` included. */
  readonly folds: readonly Fold[]
  readonly principals: PrincipalReader
  /** An empty store for the rebuilt folds: it grows as large as the folds are. */
  readonly scratch: Store
  /** Default: in this thread. */
  readonly verifier?: SignatureVerifier
  readonly onProgress?: (progress: CheckProgress) => void
}

/** What an audit found. */
export interface AuditReport {
  /** Whether nothing differs. */
  readonly ok: boolean
  /** Entries of the log. */
  readonly size: number
  /** Entries that were checked before the first difference. */
  readonly entries: number
  readonly batches: number
  readonly signatures: number
  readonly disclosures: number
  /** Entries whose disclosures were erased, and are gone. */
  readonly erased: number
  /** Entries whose disclosures no copy had when the log was put together again. */
  readonly lost: number
  /** Erasures that are not done: their values are deleted and may still be in the files. */
  readonly erasuresDue: number
  readonly difference?: AuditDifference
}

/** Entries between two writes of rebuilt state; of the signatures, twice as many are under way at once. */
const FLUSH_ENTRIES = 2048

/** Audits a log. Never throws for what it finds; `ok` says it. */
export async function audit(options: AuditOptions): Promise<AuditReport> {
  const auditor = new Auditor(options)
  let difference: AuditDifference | undefined
  try {
    await auditor.run()
  } catch (thrown) {
    difference = await auditor.earlier(differenceOf(thrown, auditor.check))
  }
  const report = { ok: difference === undefined, ...auditor.counts() }
  return difference === undefined ? report : { ...report, difference }
}

class Auditor {
  /** What is being checked, to name an error of the store by. */
  check: AuditCheck = 'batch_record'
  readonly #options: AuditOptions
  readonly #builder: FoldBuilder
  readonly #replay: Replay
  readonly #pending: PendingSignatures
  #edge = Edge.empty(nativePrimitives)
  #bundle: { readonly number: number; readonly entries: readonly Uint8Array[] } | undefined
  #entries = 0
  #batches = 0
  #disclosures = 0
  #erased = 0
  #lost = 0
  #erasuresDue = 0

  constructor(options: AuditOptions) {
    const { scratch, origin, folds, database, handlers, principals } = options
    this.#options = options
    this.#pending = new PendingSignatures(options.verifier ?? inlineVerifier)
    this.#builder = new FoldBuilder(scratch, origin, foldSpecs(folds), (digest) =>
      database.pinned(digest),
    )
    this.#replay = {
      origin,
      folds,
      principals,
      handlers: new Map(handlers.map((handler) => [handler.type, handler])),
    }
  }

  counts(): Omit<AuditReport, 'ok' | 'difference'> {
    return {
      size: this.#options.database.size,
      entries: this.#entries,
      batches: this.#batches,
      signatures: this.#pending.verified,
      disclosures: this.#disclosures,
      erased: this.#erased,
      lost: this.#lost,
      erasuresDue: this.#erasuresDue,
    }
  }

  async run(): Promise<void> {
    const walk = await DisclosureWalk.begin(this.#options.database)
    try {
      await this.#run(walk)
    } finally {
      await walk.close()
    }
  }

  async #run(walk: DisclosureWalk): Promise<void> {
    const { database } = this.#options
    const { onProgress } = this.#options
    const progress = onProgress && { onProgress }
    await checkBatchRecords(database, { minBytes: Number.POSITIVE_INFINITY, ...progress })
    this.check = 'set_digest'
    await checkSetDigests(database, progress)
    let batch = this.#builder.begin()
    let before: BatchRecord | undefined
    for await (const record of database.batchRecords()) {
      this.check = 'entry'
      checkJoin(record, before)
      const leafHashes: Hash[] = []
      let state = new BatchState(batch, record.first, record.timeMs)
      for (let index = record.first; index < record.size; index++) {
        const entry = this.#checkEntry(index, record, state)
        const count = this.#checkDisclosures(entry)
        if (walk.isDue(index)) await walk.pass(index, count)
        leafHashes.push(entry.leafHash)
        this.#entries++
        if (this.#entries % FLUSH_ENTRIES !== 0) continue
        await this.#flush(batch)
        batch = this.#builder.begin()
        state = new BatchState(batch, index + 1, record.timeMs)
      }
      this.#checkTree(record, leafHashes, state)
      this.#batches++
      before = record
    }
    await this.#flush(batch)
    await this.#pending.settle()
    walk.finish()
    await this.#finish(before)
  }

  /** Registers an entry once more. */
  #checkEntry(index: number, record: BatchRecord, state: BatchState): RegisteredEntry {
    const bytes = this.#storedEntry(index)
    const read = inEntry(index, () => readUnhashed(bytes, index))
    differ(read.entry.timeMs === record.timeMs, 'time', 'not the time of its batch', index)
    if (index === 0) this.#checkGenesis(read, hashLeaf(bytes))
    const { signature, leafHash } = replayEntry(this.#replay, state, read, bytes)
    this.#pending.add(index, signature)
    this.#checkPinned(read)
    return { ...read, leafHash }
  }

  async #flush(batch: Batch): Promise<void> {
    await this.#pending.turn()
    await this.#builder.flush(batch)
    this.#tell()
  }

  #tell(): void {
    const total = this.#options.database.size
    this.#options.onProgress?.({ what: 'entries', done: this.#entries, total })
  }

  /** The signature that fails before the difference, if one does. */
  earlier(difference: AuditDifference): Promise<AuditDifference> {
    return this.#pending.earlier(difference)
  }

  /** As it lies: whether it is the entry of its leaf the batch records have shown, and the tree does. */
  #storedEntry(index: number): Uint8Array {
    const number = Math.floor(index / TILE_WIDTH)
    if (this.#bundle?.number !== number) {
      this.#bundle = { number, entries: this.#options.database.storedEntries(number) }
    }
    const bytes = this.#bundle.entries[index % TILE_WIDTH]
    if (bytes === undefined) throw new Difference('entry', 'the entry is not there', index)
    return bytes
  }

  #checkGenesis({ entry, statement }: ReadEntry, leafHash: Hash): void {
    const { genesis } = this.#options
    differ(entry.kind === 'genesis', 'genesis', 'entry 0 is no genesis', 0)
    const known = genesis === undefined || Buffer.compare(genesis, leafHash) === 0
    differ(known, 'genesis', 'not the genesis of the trust anchor', 0)
    const keys = statement.payload['keys']
    const named =
      typeof keys === 'object' && keys !== null && 'log' in keys ? keys['log'] : undefined
    const same = named === formatVkey(this.#options.key)
    differ(same, 'genesis', 'genesis names another log key', 0)
  }

  /** Root, tiles and head of one batch. */
  #checkTree(record: BatchRecord, leafHashes: readonly Hash[], state: State): void {
    this.check = 'root'
    const { database, key, rotations } = this.#options
    const growth = this.#edge.append(leafHashes)
    this.#edge = growth.edge
    const index = record.size - 1
    for (const { level, index: number, bytes } of growth.tiles) {
      const stored = database.tile(level, number)
      const same = stored !== undefined && Buffer.compare(stored, bytes) === 0
      differ(same, 'tile', `tile ${level}/${number} does not hold the hashes of its entries`, index)
    }
    const same = Buffer.compare(growth.root, record.root) === 0
    differ(same, 'root', `the entries have another root at size ${record.size}`, index)
    // The last one has a head, or the log would not open.
    if (isHeadless(record) && record.size < database.size) return
    try {
      // By the state that the rules gave just now, not by the one on disk.
      openStoredHead(signersAt(key, rotations?.(state) ?? [], record.size), record)
    } catch (thrown) {
      throw new Difference('head', messageOf(thrown), index)
    }
  }

  /** Each disclosure is there with its digest, or erased and not there. @returns how many the entry commits to */
  #checkDisclosures({ entry: { index }, statement }: RegisteredEntry): number {
    const { database } = this.#options
    const digests = readCommitments(statement.payload)
    if (digests.length === 0) return 0
    // The live fold is enough: it is compared with the rebuilt one at the end.
    const live = new CommittedView(database.folds, database.size, 0)
    const isErased = erasedBy(live, index) !== undefined
    const isMissing = (): boolean => !isErased && isLost(database, index)
    let lost: boolean | undefined
    for (const [ordinal, digest] of digests.entries()) {
      const value = database.erasableValue(index, ordinal)
      if (isErased) {
        differ(
          value === undefined,
          'disclosure',
          `disclosure ${ordinal} is erased and there`,
          index,
        )
        continue
      }
      if (value === undefined && (lost ??= isMissing())) continue
      if (value === undefined) {
        throw new Difference('disclosure', `disclosure ${ordinal} is not there`, index)
      }
      const found = disclosureDigest(nativePrimitives, latin1(value))
      differ(found === digest, 'disclosure', `disclosure ${ordinal} has another digest`, index)
      this.#disclosures++
    }
    if (isErased) this.#erased++
    else if (lost === true) this.#lost++
    return digests.length
  }

  #checkPinned({ entry: { kind, index }, statement }: ReadEntry): void {
    if (kind !== 'policy.activate') return
    try {
      const digest = fromBase64url(jsonString(statement.payload['policy'], 'policy'))
      const pinned = this.#options.database.pinned(digest)
      differ(pinned !== undefined, 'pinned', 'the policy that it activates is not there', index)
    } catch (thrown) {
      if (thrown instanceof StoreError || thrown instanceof ProofError) {
        throw new Difference('pinned', thrown.message, index)
      }
      throw thrown
    }
  }

  /** What can be compared only when every entry was read. */
  async #finish(last: BatchRecord | undefined): Promise<void> {
    const { database, headRecord, scratch, folds } = this.#options
    differ(this.#entries === database.size, 'batch_record', 'entries behind the last batch')
    this.check = 'fold'
    await compareFolds(database, scratch, this.#builder, foldSpecs(folds))
    if (last === undefined) throw new Difference('batch_record', 'the log holds no entry')
    const sets = Buffer.compare(this.#builder.setsDigest(last.folds), last.setsDigest)
    differ(sets === 0, 'fold', 'the set digests are not those of the last batch')
    this.check = 'disclosure'
    this.#erasuresDue = await checkErasureMarks(database)
    this.check = 'head_record'
    const recorded = headRecord?.current()
    if (recorded !== undefined) this.#compareRecord(recorded)
    this.#tell()
  }

  #compareRecord({ size, root }: RecordedHead): void {
    const { size: own } = this.#edge
    const sizes = `the log has ${own} entries, the head record says ${size}`
    const way =
      'acknowledged entries are missing, and "trustwarden recover" brings them, from a backup first, then a mirror'
    differ(size <= own, 'head_record', `${sizes}: ${way}`)
    differ(
      size >= own,
      'head_record',
      `${sizes}: it is older; a start moves it on by one batch at most`,
    )
    const agrees = Buffer.compare(root, this.#edge.root()) === 0
    differ(
      agrees,
      'head_record',
      `the head record has another root than the log, both of size ${size}`,
    )
  }
}

/** Whether a batch begins where the one before ended. */
function checkJoin({ first, timeMs }: BatchRecord, before: BatchRecord | undefined): void {
  differ(first === (before?.size ?? 0), 'batch_record', 'batches do not join', first)
  differ(timeMs >= (before?.timeMs ?? 0), 'time', 'ledger time goes back', first)
}

function inEntry<T>(index: number, read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof LedgerError) throw new Difference('entry', thrown.message, index)
    throw thrown
  }
}

/** Stored disclosures are ASCII; whatever else is there has another digest, and must not end the audit. */
function latin1(bytes: Uint8Array): string {
  try {
    return utf8Decode(bytes)
  } catch {
    return ''
  }
}
