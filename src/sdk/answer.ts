/**
 * @module Answers: strict JSON, and RFC 9457 problem documents as errors.
 */
import {
  ENTRY_LENGTH_MAX,
  EVIDENCE_BYTES_MAX,
  expandReceipts,
  HEAD_LENGTH_MAX,
  jsonArray,
  jsonInteger,
  jsonObject,
  type JsonObject,
  jsonString,
  type JsonValue,
  LINEAGE_BYTES_MAX,
  parseJson,
  printable,
  ProofError,
  receiptObject,
} from '@trustwarden/proofs'
import { inSdkWords, isServiceCode, TrustWardenError } from './errors.ts'
import type { HttpAnswer } from './transport.ts'

/** Bytes of any answer: one entry is 64 KiB, a batch of a thousand receipts far below. */
export const ANSWER_BYTES_MAX = 33_554_432

/** Greatest lengths of what a GET answers, by what it asks for: more is not read. */
export const BYTES_MAX: Readonly<
  Record<
    'service' | 'checkpoint' | 'rotations' | 'entry' | 'agent' | 'proof' | 'chain' | 'pinned',
    number
  >
> = {
  service: 262_144,
  checkpoint: HEAD_LENGTH_MAX,
  rotations: EVIDENCE_BYTES_MAX,
  // Entry and head as text, and disclosures.
  entry: 262_144,
  agent: LINEAGE_BYTES_MAX + 262_144,
  proof: 65_536,
  chain: 65_536,
  pinned: 4_194_304,
}

/** Bytes of a tile of `width` hashes. */
export function tileBytes(width: number): number {
  return width * 32
}

/** Greatest length of a bundle of `width` entries. */
export function bundleBytesMax(width: number): number {
  return width * (2 + ENTRY_LENGTH_MAX)
}

/** Reads an answer as one JSON object. @throws ProofError */
export function objectOf(bytes: Uint8Array): JsonObject {
  return jsonObject(parseJson(bytes, { maxBytes: ANSWER_BYTES_MAX }), 'answer')
}

/**
 * Reads the results of many statements, and gives each its own receipt out of the set beside them.
 *
 * @param statements - The bytes of what was sent.
 * @throws {ProofError} also for another number of results than of statements
 */
export function readResults(
  answer: JsonObject,
  statements: readonly Uint8Array[],
): readonly JsonObject[] {
  const results = jsonArray(answer['results'], 'results').map((one) => jsonObject(one, 'result'))
  if (results.length !== statements.length) {
    const wrong = `results: ${results.length}, not ${statements.length}`
    throw new ProofError('malformed', wrong)
  }
  const isRegistered = (at: number): boolean => results[at]?.['status'] !== 'refused'
  const sent = statements.filter((_, at) => isRegistered(at))
  const receipts = expandReceipts(answer['receipts'], sent).map(receiptObject)
  let place = 0
  return results.map((result, at) => {
    if (!isRegistered(at)) return result
    const receipt = receipts[place]
    const isNext = jsonInteger(result['receipt'], 'receipt') === place && receipt !== undefined
    if (!isNext) throw new ProofError('malformed', 'receipt: not the next one of the set')
    place += 1
    return { ...result, receipt }
  })
}

/** The receipt in an answer, unread; undefined for an answer that has none. */
export function receiptIn(bytes: Uint8Array): JsonValue | undefined {
  try {
    return objectOf(bytes)['receipt']
  } catch {
    return undefined
  }
}

/**
 * Turns an answer that is no success into an error: an RFC 9457 document under its own code; anything else, which may
 * come from whatever stands before the service and says nothing about the log, as `answer_unexpected`.
 */
export function problemOf({ status, bytes }: HttpAnswer): TrustWardenError {
  try {
    return problemIn(objectOf(bytes), status)
  } catch (cause) {
    const why = `status ${status} and no problem document`
    return new TrustWardenError('answer_unexpected', why, { status, cause })
  }
}

/** Characters of what the service says that a message shows. */
const SAID_LENGTH_MAX = 300

/** The service's own words in a message: marked as such, cut, and none of them moves the cursor. */
function said(words: string): string {
  return `the service says: ${printable(words, SAID_LENGTH_MAX)}`
}

/** Turns a problem document into an error. @throws TrustWardenError `answer_malformed` for what is none */
export function problemIn(value: JsonValue | undefined, httpStatus?: number): TrustWardenError {
  return inSdkWords('answer_malformed', 'problem', () => {
    const problem = jsonObject(value, 'problem')
    const code = jsonString(problem['code'], 'code')
    const detail = typeof problem['detail'] === 'string' ? problem['detail'] : code
    const own = typeof problem['status'] === 'number' ? problem['status'] : undefined
    const status = httpStatus ?? own
    if (isServiceCode(code)) return new TrustWardenError(code, said(detail), { status })
    return new TrustWardenError('service_refused', said(`${code}: ${detail}`), { status })
  })
}
