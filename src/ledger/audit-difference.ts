/**
 * @module How an audit names what differs.
 */

/** What was checked when the difference showed. */
export type AuditCheck =
  | 'batch_record'
  | 'set_digest'
  | 'entry'
  | 'time'
  | 'genesis'
  | 'handler'
  | 'signer'
  | 'signature'
  | 'dedup'
  | 'chain'
  | 'outcome'
  | 'tile'
  | 'root'
  | 'head'
  | 'disclosure'
  | 'pinned'
  | 'fold'
  | 'head_record'

/** The first thing that is not as it must be. */
export interface AuditDifference {
  readonly check: AuditCheck
  /** Index of the entry at which it showed. */
  readonly index?: number
  readonly message: string
}

/** Carries a difference to where it is reported. */
export class Difference extends Error {
  override readonly name = 'Difference'
  readonly difference: AuditDifference

  constructor(check: AuditCheck, message: string, index?: number) {
    super(message)
    this.difference = index === undefined ? { check, message } : { check, index, message }
  }
}

/** Throws a `Difference` unless `same` holds. */
export function differ(
  same: boolean,
  check: AuditCheck,
  message: string,
  index?: number,
): asserts same {
  if (!same) throw new Difference(check, message, index)
}
