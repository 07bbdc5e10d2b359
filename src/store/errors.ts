/**
 * @module The one error class of the store and its closed table of codes.
 *
 * A caller acts on `code` and `fatal`, never on the message. `fatal` means that disk and memory may disagree, or that
 * what is on disk is not what was written: nothing more is answered, the process ends, start-up decides (DESIGN §1).
 */

/** Every code of the store: what it means, and whether it ends the process. */
export const STORE_ERRORS = {
  store_locked: { fatal: true, meaning: 'another process has the database open' },
  store_missing: { fatal: true, meaning: 'there is no database at the path' },
  store_exists: {
    fatal: true,
    meaning: 'there is a database at the path already, or it is not empty',
  },
  store_open_failed: { fatal: true, meaning: 'the database cannot be opened' },
  store_failed: {
    fatal: true,
    meaning: 'a write failed, so what is on disk is unknown until the next start',
  },
  store_moved: {
    fatal: true,
    meaning: 'the database does not lie at its path any more: it was moved, replaced or removed',
  },
  store_closed: { fatal: true, meaning: 'the store was closed' },
  store_version_unknown: {
    fatal: true,
    meaning: 'the database has a format that this release does not read',
  },
  store_origin_mismatch: { fatal: true, meaning: 'the database is of another log' },
  journals_not_kept: {
    fatal: true,
    meaning: 'the journals could not be copied aside before opening',
  },
  meta_missing: { fatal: true, meaning: 'the database does not name its format and log' },
  value_corrupt: { fatal: true, meaning: 'a value is not the one that was written under its key' },
  set_digest_mismatch: {
    fatal: true,
    meaning: 'a fold does not hold the keys and values that were written to it',
  },
  set_digest_missing: { fatal: true, meaning: 'the set digests are not those of the last batch' },
  fold_key_lost: {
    fatal: true,
    meaning: 'a scan shows a key of a fold that get does not find, or that was taken for new',
  },
  fold_unknown: {
    fatal: true,
    meaning: 'a fold that this release does not know, or of another kind than asked for',
  },
  fold_missing: { fatal: true, meaning: 'the database lacks a fold that this release has' },
  entry_missing: { fatal: true, meaning: 'an entry below the size is not there' },
  entry_mismatch: { fatal: true, meaning: 'an entry does not have its leaf hash' },
  bundle_corrupt: { fatal: true, meaning: 'a run or bundle of entries cannot be taken apart' },
  tile_corrupt: { fatal: true, meaning: 'a tile is missing or not of 8,192 bytes' },
  table_corrupt: {
    fatal: true,
    meaning: 'a table of LevelDB does not have the checksums that were written with it',
  },
  batch_record_corrupt: {
    fatal: true,
    meaning: 'a batch record cannot be read, or what it covers has changed',
  },
  batch_record_chain: {
    fatal: true,
    meaning: 'a batch record does not follow from the one before',
  },
  batch_invalid: {
    fatal: true,
    meaning: 'the batch to be committed contradicts itself or the database',
  },
  erasable_mismatch: {
    fatal: true,
    meaning: 'an erasable value is not the one that its leaf commits to',
  },
  erasable_missing: {
    fatal: true,
    meaning: 'an erasable value is not there, and no erasure ordered that',
  },
  files_unreadable: { fatal: false, meaning: 'a file of the database cannot be searched' },
  head_record_missing: { fatal: true, meaning: 'there is no head record at the path' },
  head_record_exists: { fatal: true, meaning: 'there is a head record at the path already' },
  head_record_corrupt: {
    fatal: true,
    meaning: 'no slot of the head record can be read, or its file has another length',
  },
  head_record_locked: { fatal: true, meaning: 'another process holds the head record' },
  head_record_foreign: {
    fatal: true,
    meaning: 'the head record is not what this process wrote last',
  },
  head_record_origin: { fatal: true, meaning: 'the head record is of another log' },
  head_record_failed: { fatal: true, meaning: 'the head record could not be written or read' },
  head_record_backwards: {
    fatal: true,
    meaning: 'size or time of the head to be recorded goes back',
  },
  store_behind_record: { fatal: true, meaning: 'the database is older than its head record' },
  store_differs_from_record: {
    fatal: true,
    meaning: 'the database has another root than its head record at that size',
  },
} as const

/** A stable name for what is wrong; never reused with another meaning. */
export type StoreErrorCode = keyof typeof STORE_ERRORS

/**
 * What every function of the store throws.
 *
 * The message names key, rule and limit, never a value: values may be personal.
 */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  /** Whether the process must end: see the module's comment. */
  readonly fatal: boolean

  constructor(code: StoreErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
    this.fatal = STORE_ERRORS[code].fatal
  }
}

/** Throws a `StoreError` of `code` unless `condition` holds. */
export function checkStore(
  condition: boolean,
  code: StoreErrorCode,
  message: string,
): asserts condition {
  if (!condition) throw new StoreError(code, message)
}
