/**
 * @module Proofs of the rotations that took effect, for whoever knows an earlier key (FORMAT §13.3). Each is made once: it
 * walks the log's own chain back to genesis.
 */
import { equalBytes, formatRotations } from '@trustwarden/proofs'
import type { RotationProof } from '@trustwarden/proofs'
import { LedgerError } from './errors.ts'
import type { Rotation } from './log-keys.ts'
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

  /** The file of the rotations of the log so far, up to the first that cannot be proven (FORMAT §13.3). */
  file(): Uint8Array {
    const proofs: RotationProof[] = []
    for (const rotation of readRotations(this.#reader.view())) {
      const proof = this.#of(rotation)
      if (proof === undefined) break
      proofs.push(proof)
    }
    return formatRotations(proofs)
  }

  #of(rotation: Rotation): RotationProof | undefined {
    const made = this.#proofs.get(rotation.index) ?? prove(this.#reader, rotation)
    if (made !== undefined) this.#proofs.set(rotation.index, made)
    return made
  }
}

/** Under the first head that holds it: the old key has signed it, since no batch reaches beyond the overlap. */
function prove(reader: LogReader, { index, until }: Rotation): RotationProof | undefined {
  const head = headAbove(reader, index, until)
  if (head === undefined) return undefined
  const prover = reader.prover(head.size)
  const entries = needed(reader, index).map((one) => {
    const { entry, path } = reader.receipt(one, head, prover)
    return { index: one, entry, path }
  })
  return { head: head.note, entries }
}

/** Only a log that was recovered from a mirror has batches without a head, perhaps all of an overlap. */
function headAbove(
  reader: LogReader,
  index: number,
  until: number,
): ReturnType<LogReader['headAt']> {
  const last = Math.min(until, reader.head().size)
  for (let size = index + 1; size <= last; size++) {
    const head = reader.headAt(size)
    if (head !== undefined) return head
  }
  return undefined
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
