/**
 * @module The batch record: what one batch wrote and never changes, with digests, chained to the record before.
 *
 * It is what makes a lost or changed entry, bundle, tile or pinned attachment noticeable (DESIGN §5), and it carries
 * the signed head. Stored sealed, under the size after the batch.
 */
import {
  ProofError,
  cborArray,
  cborBytes,
  cborUint,
  decodeCbor,
  encodeCbor,
} from '@trustwarden/proofs'
import { StoreError } from './errors.ts'

/** Version of the record's form, its first field. */
const BATCH_RECORD_VERSION = 1

/** Version and fields. */
const FIELDS = 12

/** What was encoded here is decoded again, so the limits only bound what damage can cost: 10^6 pinned in one batch. */
const DECODE_LIMITS = { maxBytes: 64 * 1024 * 1024, maxItems: 1_048_576 }

/** The 32 zero bytes that stand for the digest of the record before the first. */
export const NO_PREVIOUS: Uint8Array = new Uint8Array(32)

/** One batch, as its record says. */
export interface BatchRecord {
  /** Index of its first entry; the size before the batch. */
  readonly first: number
  /** Size after the batch. */
  readonly size: number
  /** Ledger time of the batch, ms. */
  readonly timeMs: number
  /** SHA-256(leaf hash of entry first ‖ … ‖ leaf hash of entry size − 1). */
  readonly leavesDigest: Uint8Array
  /** Keys, without store version and log id, that the batch wrote and nobody rewrites or deletes: bundles, tiles, pinned. */
  readonly onceKeys: readonly Uint8Array[]
  /** SHA-256 over SHA-256(key ‖ value) of each of `onceKeys`, in their order; `key` is the whole key. */
  readonly onceDigest: Uint8Array
  /** SHA-256 of the record before as it is encoded; 32 zero bytes before the first. */
  readonly previous: Uint8Array
  /** Root of the tree at `size`. */
  readonly root: Uint8Array
  /** The signed head at `size`: a C2SP tlog-checkpoint note. Empty where `recover` wrote the batch, but for the last. */
  readonly head: Uint8Array
  /** SHA-256 over (fold id u8, count u64, sum 32 bytes) of each fold of `folds` after the batch. */
  readonly setsDigest: Uint8Array
  /** Ids of the folds that the log had at the batch, one byte each, ascending. */
  readonly folds: Uint8Array
}

/** Encodes a record: deterministic CBOR, an array of version and fields in the order of `BatchRecord`. */
export function encodeBatchRecord(record: BatchRecord): Uint8Array {
  return encodeCbor([
    BATCH_RECORD_VERSION,
    record.first,
    record.size,
    record.timeMs,
    record.leavesDigest,
    record.onceKeys,
    record.onceDigest,
    record.previous,
    record.root,
    record.head,
    record.setsDigest,
    record.folds,
  ])
}

/**
 * Decodes a record that was stored under `size`.
 *
 * @throws {StoreError} `batch_record_corrupt` with the field that breaks a rule
 */
export function decodeBatchRecord(bytes: Uint8Array, size: number): BatchRecord {
  const error = (rule: string, cause?: unknown): StoreError =>
    new StoreError('batch_record_corrupt', `batch record ${size}: ${rule}`, { cause })
  let version: number
  let record: BatchRecord
  try {
    const fields = cborArray(decodeCbor(bytes, DECODE_LIMITS), 'record')
    version = cborUint(fields[0], 'version')
    record = {
      first: cborUint(fields[1], 'first'),
      size: cborUint(fields[2], 'size'),
      timeMs: cborUint(fields[3], 'time'),
      leavesDigest: cborBytes(fields[4], 'leaves digest', 32),
      onceKeys: cborArray(fields[5], 'once keys').map((key) => cborBytes(key, 'once key')),
      onceDigest: cborBytes(fields[6], 'once digest', 32),
      previous: cborBytes(fields[7], 'previous', 32),
      root: cborBytes(fields[8], 'root', 32),
      head: cborBytes(fields[9], 'head'),
      setsDigest: cborBytes(fields[10], 'sets digest', 32),
      folds: cborBytes(fields[11], 'folds'),
    }
    if (fields.length !== FIELDS) throw error(`has ${fields.length} fields, not ${FIELDS}`)
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw error(cause.message, cause)
  }
  if (version !== BATCH_RECORD_VERSION) throw error(`is of the unknown version ${version}`)
  if (record.size !== size) throw error('its size is not the one of its key')
  if (record.first >= record.size) throw error('its first index is not below its size')
  if (!record.folds.every((id, at) => at === 0 || id > (record.folds[at - 1] ?? id))) {
    throw error('its folds do not ascend')
  }
  return record
}
