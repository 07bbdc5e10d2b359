/** @module Reading one entry: what it says, proven, and what is still disclosed beside it. */
import {
  disclosureDigest,
  type Entry,
  jsonArray,
  type JsonObject,
  jsonString,
  parseEntryStatement,
  parseReceipt,
  readCommitments,
  type Receipt,
} from '@trustwarden/proofs'
import { BYTES_MAX } from './answer.ts'
import { type CallOptions, outcomeWord, type TrustWarden } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { StatementSigner } from './statement.ts'

/** An entry that was read, its inclusion verified. */
export interface ReadEntry {
  readonly index: number
  readonly kind: string
  /** Ledger time, ms. */
  readonly timeMs: number
  /** The result word of FORMAT §6. */
  readonly outcome: string
  readonly entry: Entry
  readonly receipt: Receipt
  /** What is still disclosed; each has its digest in the statement. Erased ones are missing. */
  readonly disclosures: readonly string[]
}

/** Reads one entry and opens its receipt. @throws TrustWardenError `receipt_invalid`, and as a read */
export async function readEntry(
  client: TrustWarden,
  signer: StatementSigner | undefined,
  index: number,
  options: CallOptions = {},
): Promise<ReadEntry> {
  checkIndex(index)
  const { entry: bytesMax } = BYTES_MAX
  const answer = await client.read(signer, `/v1/entries/${index}`, { ...options, bytesMax })
  const receipt = inSdkWords('receipt_invalid', 'receipt', () =>
    parseReceipt(answer['receipt'] ?? null),
  )
  if (receipt.index !== index)
    throw new TrustWardenError('receipt_mismatch', `receipt: of entry ${receipt.index}`)
  const { entry } = client.open(receipt)
  return {
    index,
    kind: entry.kind,
    timeMs: entry.timeMs,
    outcome: outcomeWord(entry.outcome),
    entry,
    receipt,
    disclosures: disclosuresOf(client, entry, answer),
  }
}

/** @throws TrustWardenError `argument_invalid` for what is no index */
export function checkIndex(index: number): void {
  if (!Number.isSafeInteger(index) || index < 0)
    throw new TrustWardenError('argument_invalid', 'index: must be an integer from 0')
}

/** The disclosures of an answer, each held against the statement's digests. */
function disclosuresOf(client: TrustWarden, entry: Entry, answer: JsonObject): readonly string[] {
  return inSdkWords('answer_malformed', 'disclosures', () => {
    const known = new Set(readCommitments(parseEntryStatement(entry).payload))
    return jsonArray(answer['disclosures'] ?? [], 'disclosures').map((value) => {
      const text = jsonString(value, 'disclosure')
      if (!known.has(disclosureDigest(client.primitives, text)))
        throw new TrustWardenError('answer_malformed', 'disclosures: one that was not committed to')
      return text
    })
  })
}
