/**
 * @module What lies beside the entries of one bundle, and in no mirror: the batch records that end in it, and the
 * disclosures of its entries that are still there. With the entries and the pinned attachments that is all that a log is:
 * whatever else is stored is computed from them (DESIGN §1).
 *
 *     supplement = [1, [*[size: uint, record: bstr]], [*[index: uint, ordinal: uint, disclosure: bstr]]]
 *
 * in the CBOR of FORMAT §1.1, both lists ascending. A record is as batch-record.ts encodes it.
 */
import {
  ProofError,
  cborArray,
  cborBytes,
  cborUint,
  decodeCbor,
  encodeCbor,
} from '@trustwarden/proofs'
import type { CborValue } from '@trustwarden/proofs'
import { decodeBatchRecord } from '../store/batch-record.ts'
import type { BatchRecord } from '../store/batch-record.ts'
import type { Database } from '../store/database.ts'
import { BUNDLE_ENTRIES, readU16 } from '../store/keys.ts'
import { openBatchRecord } from '../store/load.ts'
import { FOLDS } from './contract.ts'
import { LedgerError } from './errors.ts'
import { u64At } from './layout.ts'

const SUPPLEMENT_VERSION = 1

/** Bytes of a supplement at most: 256 entries with 32 KiB of disclosures, and their records, are half of it. */
export const SUPPLEMENT_BYTES_MAX: number = 32 * 1024 * 1024
const DECODE_LIMITS = { maxBytes: SUPPLEMENT_BYTES_MAX, maxItems: 65_536 }

/** Keys of the erasures fold that are indexes begin with it: indexes are below 2^53. */
const INDEX_PREFIX = Uint8Array.of(0)
const INDEX_BYTES = 8

/** A disclosure as it is stored. */
export interface StoredDisclosure {
  readonly ordinal: number
  readonly bytes: Uint8Array
}

/** A supplement, taken apart. Nothing shows yet that it is the log's. */
export interface Supplement {
  readonly records: readonly { readonly record: BatchRecord; readonly bytes: Uint8Array }[]
  /** By entry. */
  readonly disclosures: ReadonlyMap<number, readonly StoredDisclosure[]>
}

/**
 * The supplement of bundle `number`, as far as it lies below `size`. Two short scans: the writer is not touched.
 *
 * @throws {StoreError} `batch_record_corrupt`, `store_failed`
 */
export async function readSupplement(
  database: Database,
  number: number,
  size: number,
): Promise<Uint8Array> {
  const { store, keys } = database
  const first = number * BUNDLE_ENTRIES
  const end = Math.min(first + BUNDLE_ENTRIES, size)
  const records: CborValue[] = []
  const range = { gte: keys.batchRecord(first + 1), lt: keys.batchRecord(end + 1) }
  for await (const { key, value } of store.scan(range)) {
    const at = keys.indexOf(key)
    records.push([at, openBatchRecord(key, value, at)])
  }
  const disclosures: CborValue[] = []
  const erasables = { gte: keys.erasable(first, 0), lt: keys.erasable(end, 0) }
  for await (const { key, value } of store.scan(erasables)) {
    disclosures.push([keys.indexOf(key), readU16(keys.rest(key, 8), 0), value])
  }
  return encodeCbor([SUPPLEMENT_VERSION, records, disclosures])
}

/**
 * Takes the supplement of bundle `number` of a log of `size` apart.
 *
 * @throws {LedgerError} `supplement_invalid`
 */
export function decodeSupplement(bytes: Uint8Array, number: number, size: number): Supplement {
  const first = number * BUNDLE_ENTRIES
  const end = Math.min(first + BUNDLE_ENTRIES, size)
  try {
    const [version, records, disclosures, ...rest] = cborArray(
      decodeCbor(bytes, DECODE_LIMITS),
      'supplement',
    )
    const known = cborUint(version, 'version') === SUPPLEMENT_VERSION && rest.length === 0
    if (!known) throw invalid(number, 'it is of another form')
    return {
      records: readRecords(cborArray(records, 'records'), first, end, number),
      disclosures: readDisclosures(cborArray(disclosures, 'disclosures'), first, end, number),
    }
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw invalid(number, cause.message, cause)
  }
}

/** Indexes of the entries whose disclosures an entry at or above `from` erased, ascending. */
export async function erasedSince(database: Database, from: number): Promise<readonly number[]> {
  const indexes: number[] = []
  for await (const { key, value } of database.folds.reader(FOLDS.erasures.id).scan(INDEX_PREFIX)) {
    if (key.length === INDEX_BYTES && u64At(value, 0) >= from) indexes.push(u64At(key, 0))
  }
  return indexes
}

function readRecords(
  rows: readonly CborValue[],
  first: number,
  end: number,
  number: number,
): Supplement['records'] {
  let before = first
  return rows.map((row) => {
    const [size, bytes, ...rest] = cborArray(row, 'record')
    const at = cborUint(size, 'record size')
    const follows = at > before && at <= end && rest.length === 0
    if (!follows) throw invalid(number, `record ${at} is out of order`)
    before = at
    const encoded = cborBytes(bytes, 'record')
    return { record: decodeBatchRecord(encoded, at), bytes: encoded }
  })
}

function readDisclosures(
  rows: readonly CborValue[],
  first: number,
  end: number,
  number: number,
): Supplement['disclosures'] {
  const found = new Map<number, StoredDisclosure[]>()
  let before = -1
  for (const row of rows) {
    const fields = cborArray(row, 'disclosure')
    const index = cborUint(fields[0], 'index')
    const ordinal = cborUint(fields[1], 'ordinal')
    // Ordinals are u16.
    const place = index * 65_536 + ordinal
    const follows = place > before && index >= first && index < end && fields.length === 3
    if (!follows || ordinal > 65_535)
      throw invalid(number, `disclosure of entry ${index} is out of order`)
    before = place
    const one = { ordinal, bytes: cborBytes(fields[2], 'disclosure') }
    const ofEntry = found.get(index)
    if (ofEntry === undefined) found.set(index, [one])
    else ofEntry.push(one)
  }
  return found
}

function invalid(number: number, why: string, cause?: unknown): LedgerError {
  return new LedgerError('supplement_invalid', `supplement ${number}: ${why}`, { cause })
}
