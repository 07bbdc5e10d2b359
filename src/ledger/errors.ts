/**
 * @module The ledger's own error class and its closed table of codes: what stops a log from opening, running or being
 * audited. Errors that a caller of `submit` gets are `ServiceError`s; these are for the process and its operator.
 */

/** Every code: what it means, and whether the process must end (disk and memory may disagree, or a defect shows). */
export const LEDGER_ERRORS = {
  commit_failed: {
    fatal: true,
    meaning: 'a batch could not be committed: what is on disk is unknown',
  },
  head_record_failed: {
    fatal: true,
    meaning: 'the batch is on disk and its head record may not be',
  },
  writer_defect: {
    fatal: true,
    meaning: 'a handler or fold failed on a submission that was prepared',
  },
  state_damaged: { fatal: true, meaning: 'what is on disk is not what was written' },
  log_stopped: { fatal: true, meaning: 'the log stopped: start-up decides what was recorded' },
  log_exists: { fatal: true, meaning: 'there is a log already' },
  log_empty: { fatal: true, meaning: 'the log has no first batch' },
  first_batch_invalid: { fatal: true, meaning: 'the first batch is not one that opens a log' },
  head_invalid: { fatal: true, meaning: 'a stored head does not verify under the log key' },
  root_mismatch: { fatal: true, meaning: 'a stored head has another root than the entries' },
  history_mismatch: { fatal: true, meaning: 'the stored head does not extend the recorded tree' },
  clock_behind: {
    fatal: true,
    meaning: 'the clock is behind the last ledger time by more than 5 s',
  },
  clock_ahead: {
    fatal: true,
    meaning: 'the clock is ahead of the last ledger time by more than 24 h at start',
  },
  record_far_behind: {
    fatal: true,
    meaning: 'the head record lies more than one batch behind the database',
  },
  log_key_missing: {
    fatal: true,
    meaning: 'a log key that signs the next heads is not held by this process',
  },
  entry_invalid: { fatal: true, meaning: 'an entry of the log cannot be read' },
  folds_differ: {
    fatal: true,
    meaning: 'the rebuilt folds are not those of the last batch record',
  },
  supplement_invalid: {
    fatal: false,
    meaning: 'what came beside a bundle of entries cannot be read',
  },
  recovery_unfinished: {
    fatal: true,
    meaning: 'a recover was cut off: the last batch has no signed head',
  },
  start_refused: {
    fatal: true,
    meaning: 'the start was refused; the message says why and the way on',
  },
  verifier_failed: { fatal: false, meaning: 'a thread that verifies signatures ended' },
} as const

/** A stable name for what is wrong; never reused with another meaning. */
export type LedgerErrorCode = keyof typeof LEDGER_ERRORS

/** What the ledger throws at its operator. The message says what is wrong and what to do, never a secret. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError'
  readonly code: LedgerErrorCode
  /** Whether the process must end. */
  readonly fatal: boolean

  constructor(code: LedgerErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
    this.fatal = LEDGER_ERRORS[code].fatal
  }
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
