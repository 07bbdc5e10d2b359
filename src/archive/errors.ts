/**
 * @module The one error class of backups, mirrors and what is made of them, and its closed table of codes.
 */

/** Every code and what it means. */
export const ARCHIVE_ERRORS = {
  archive_missing: 'the directory or URL holds no log',
  archive_incomplete: 'the backup was not finished',
  archive_foreign: 'it is of another log, or of another kind than asked for',
  archive_corrupt: 'what it holds is not what the signed head says',
  archive_forked: 'the signed head does not extend what is there already',
  archive_unreachable: 'it does not answer',
  archive_redirected: 'it names another address, and redirects are not followed',
  archive_encoded: 'it answers in a content encoding, and none was asked for',
  archive_failed: 'it could not be written',
  source_behind:
    'it ends before the last head that was recorded, or has nothing of what is missing',
  target_exists: 'something is there already',
  target_is_mount: 'the directory to be made is where a disk is mounted',
  replay_differs: 'an entry is not what the rules give',
  policy_missing: 'a policy that an entry puts in force is not there',
} as const

/** A stable name for what is wrong; never reused with another meaning. */
export type ArchiveErrorCode = keyof typeof ARCHIVE_ERRORS

/** What is thrown about a backup or mirror. The message names file or entry, never a disclosed value. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
  readonly code: ArchiveErrorCode

  constructor(code: ArchiveErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Throws an `ArchiveError` of `code` unless `condition` holds. */
export function checkArchive(
  condition: boolean,
  code: ArchiveErrorCode,
  message: string,
): asserts condition {
  if (!condition) throw new ArchiveError(code, message)
}
