/**
 * @module Proofs of the rotations that took effect, for whoever knows an earlier key (FORMAT §13.3). Each is made once: it
 * walks the log's own chain back to genesis.
 */
import { equalBytes, formatRotations } from '@trustwarden/proofs'
import type { RotationProof } from '@trustwarden/proofs'
import { BATCH_SUBMISSIONS_MAX } from './writer.ts'
import { LedgerError } from './errors.ts'
import type { LogReader } from './reader.ts'
import { ROTATE_KIND, readRotations } from './rotations.ts'

const LOG_SUBJECT = 'log'
const ENROLL_KIND = 'operator.enroll'

/** Proves rotations, and remembers the proofs. */
export class RotationProofs {
  readonly #reader: LogReader
  readonly #proofs = new Map<number, RotationProof>()

  constructor(reader: LogReader) {
    this.#reader = reader
  }

  /** The file of all rotations of the log so far (FORMAT §13.3). */
  file(): Uint8Array {
    return formatRotations(readRotations(this.#reader.view()).map(({ index }) => this.#of(index)))
  }

  #of(index: number): RotationProof {
    const known = this.#proofs.get(index)
    if (known !== undefined) return known
    const made = prove(this.#reader, index)
    this.#proofs.set(index, made)
    return made
  }
}

/** Under the head of the batch that holds it, which the old key has signed: no batch reaches beyond the overlap. */
function prove(reader: LogReader, index: number): RotationProof {
  const head = headAbove(reader, index)
  const prover = reader.prover(head.size)
  const entries = needed(reader, index).map((one) => {
    const { entry, path } = reader.receipt(one, head, prover)
    return { index: one, entry, path }
  })
  return { head: head.note, entries }
}

function headAbove(reader: LogReader, index: number): ReturnType<LogReader['head']> {
  for (let size = index + 1; size <= index + BATCH_SUBMISSIONS_MAX; size++) {
    const head = reader.headAt(size)
    if (head !== undefined) return head
  }
  throw new LedgerError('state_damaged', `no batch ends above entry ${index}`)
}

/** Genesis, every enrolment of an operator, and the signatures of the proposal: all are in the chain of the log. */
function needed(reader: LogReader, index: number): readonly number[] {
  const rotation = reader.registered(index)
  const indexes: number[] = []
  for (let at: number | undefined = index; at !== undefined; ) {
    const found = reader.registered(at)
    const link = found?.entry.links.find(({ subject }) => subject === LOG_SUBJECT)
    if (found === undefined || rotation === undefined || link === undefined) {
      throw new LedgerError('state_damaged', `the chain of the log breaks at entry ${at}`)
    }
    const { kind } = found.entry
    const { payloadBytes } = rotation.statement
    const isSignature =
      kind === ROTATE_KIND && equalBytes(found.statement.payloadBytes, payloadBytes)
    if (at === 0 || kind === ENROLL_KIND || isSignature) indexes.push(at)
    at = link.previous?.index
  }
  return indexes.toReversed()
}
