/**
 * @module The first batch of a log: genesis and the statements that it names, all of the service, under one head.
 */
import { verifyStatement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Database } from '../store/database.ts'
import type { Fold, StatementHandler } from './contract.ts'
import { LedgerError, messageOf } from './errors.ts'
import { openIncoming, readSubmitted } from './prepare.ts'
import type { Submitted } from './prepare.ts'
import { registerSubmission } from './register.ts'
import { BatchState } from './state.ts'
import type { FirstSubmission, Writer } from './writer.ts'

/** A statement of the service for the first batch. */
export type FirstStatement = Pick<Submitted, 'statement' | 'disclosures' | 'pinned'>

/** Kind of entry 0 (FORMAT §6). */
const GENESIS = 'genesis'

/** What the first batch is made of and from. */
export interface FirstBatchOptions {
  readonly firstBatch: readonly FirstStatement[]
  /** The key of the service, SubjectPublicKeyInfo. */
  readonly serviceKey: Uint8Array
  readonly handlers: readonly StatementHandler[]
  readonly folds: readonly Fold[]
  readonly origin: string
  readonly database: Database
  readonly timeMs: number
}

/**
 * Registers the first batch through the writer: all of it or nothing.
 *
 * Their signer is in no fold yet: they are verified under `serviceKey` here, and by every audit under the key that
 * genesis names.
 *
 * @throws {LedgerError} `first_batch_invalid` if one is not accepted, or they are fewer than two; as the writer
 */
export async function writeFirstBatch(writer: Writer, options: FirstBatchOptions): Promise<void> {
  const submissions = readFirstBatch(options)
  tryOut(options, submissions)
  await writer.commitOne(submissions)
}

function readFirstBatch(options: FirstBatchOptions): readonly FirstSubmission[] {
  const { firstBatch, serviceKey: spki, origin } = options
  if (firstBatch.length < 2) {
    throw new LedgerError('first_batch_invalid', `it has ${firstBatch.length} entries, at least 2`)
  }
  const handlers = new Map(options.handlers.map((handler) => [handler.type, handler]))
  return firstBatch.map((submitted, at) => {
    try {
      const { incoming, handler } = readSubmitted(submitted, handlers)
      verifyStatement(nativePrimitives, incoming.statement, { spki, origin })
      const opened = openIncoming(handler, incoming)
      if (at === 0 && handler.type !== GENESIS) {
        throw new LedgerError('first_batch_invalid', 'it does not begin with genesis')
      }
      return { handler, submission: { ...opened, prepared: new Map([[0, 0]]) } }
    } catch (thrown) {
      throw invalid(at, thrown)
    }
  })
}

/** Registers all of them without writing: what is refused must not leave a log without it. */
function tryOut(
  { database, folds, timeMs }: FirstBatchOptions,
  submissions: readonly FirstSubmission[],
): void {
  const batch = database.begin()
  try {
    const state = new BatchState(batch, 0, timeMs)
    for (const [at, { handler, submission }] of submissions.entries()) {
      const decision = registerSubmission(state, handler, folds, submission)
      if (decision.type === 'entry') continue
      throw invalid(at, decision.type === 'refuse' ? decision.error : decision.type)
    }
  } finally {
    database.drop(batch)
  }
}

function invalid(at: number, cause: unknown): LedgerError {
  return new LedgerError('first_batch_invalid', `statement ${at}: ${messageOf(cause)}`, { cause })
}
