/**
 * @module How an audit names what differs.
 */

import { ProofError } from '@trustwarden/proofs'
import { MerkleError } from '../merkle/errors.ts'
import { StoreError } from '../store/errors.ts'
import { LedgerError, messageOf } from './errors.ts'

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
  | 'checkpoint'
  | 'missing'
  | 'malformed'
  | 'inclusion'
  | 'consistency'
  | 'forked'
  | 'rolled_back'

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

/** What was thrown, as a difference; what is a defect of the audit itself goes on its way. */
export function differenceOf(thrown: unknown, check: AuditCheck): AuditDifference {
  if (thrown instanceof Difference) return thrown.difference
  const found =
    thrown instanceof StoreError ||
    thrown instanceof LedgerError ||
    thrown instanceof MerkleError ||
    thrown instanceof ProofError
  if (!found) throw thrown
  return { check, message: messageOf(thrown) }
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
