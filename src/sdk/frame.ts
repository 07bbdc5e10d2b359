/**
 * @module Requests that carry statements: the JSON of one, and many in as few requests as their size permits.
 */
import { MEDIA_JOSE, toBase64url } from '@trustwarden/proofs'
import type { SignedStatement } from './statement.ts'

/** Statements of one request, and bytes of it with room for its frame. */
const BATCH_STATEMENTS_MAX = 1000
const BATCH_BYTES_MAX = 1_000_000

/** What is submitted beside a statement. */
export interface Attachments {
  readonly csr?: Uint8Array
  readonly pinned?: readonly Uint8Array[]
}

/** A statement and its JSON. */
export interface Frame {
  readonly signed: SignedStatement
  readonly json: string
}

/** Writes a statement, and what travels beside it, as the service reads it. */
export function frame(signed: SignedStatement, attachments: Attachments = {}): string {
  const { csr, pinned = [] } = attachments
  return JSON.stringify({
    statement: signed.text,
    ...(signed.statement.media === MEDIA_JOSE ? {} : { media: signed.statement.media }),
    ...(signed.disclosures.length === 0 ? {} : { disclosures: signed.disclosures }),
    ...(pinned.length === 0 ? {} : { attachments: pinned.map(toBase64url) }),
    ...(csr === undefined ? {} : { csr: toBase64url(csr) }),
  })
}

/** Cuts statements into requests of at most 1,000 and 1 MB; their order stays. */
export function* batchesOf(frames: readonly Frame[]): Generator<readonly Frame[]> {
  let batch: Frame[] = []
  let length = 0
  for (const one of frames) {
    const isFull =
      batch.length >= BATCH_STATEMENTS_MAX || length + one.json.length > BATCH_BYTES_MAX
    if (batch.length > 0 && isFull) {
      yield batch
      batch = []
      length = 0
    }
    batch.push(one)
    length += one.json.length + 1
  }
  if (batch.length > 0) yield batch
}
