/**
 * @module The entries of a subject, by its chain: from the newest that the service names back, each by the link that
 * the entry after it holds (FORMAT §5.3). None can be left out between two that are shown; that there is none newer
 * than the first, the service alone says.
 */
import {
  equalBytes,
  type Hash,
  jsonInteger,
  type Link,
  leafHash,
  parseSubject,
  type Receipt,
} from '@trustwarden/proofs'
import { BYTES_MAX } from './answer.ts'
import type { CallOptions, TrustWarden } from './client.ts'
import { type ReadEntry, readEntry } from './entry.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { StatementSigner } from './statement.ts'

/** One entry of a chain, its receipt verified. */
export interface ChainEntry extends ReadEntry {
  /** Its place in the chain: 0 is the oldest. */
  readonly seq: number
}

/**
 * Reads the entries of a chain, newest first.
 *
 * @param subject - `inst:…`, `agent:…`, `owner:…`, `policy` or `log`.
 * @throws TrustWardenError `argument_invalid`; `not_found`; `chain_broken` for an entry that does not continue the chain;
 *   `receipt_invalid`, and as a read.
 */
export async function* readChain(
  client: TrustWarden,
  signer: StatementSigner | undefined,
  subject: string,
  options: CallOptions = {},
): AsyncGenerator<ChainEntry, void> {
  inSdkWords('argument_invalid', 'subject', () => parseSubject(subject))
  const path = `/v1/chains/${encodeURIComponent(subject)}`
  const end = await client.read(signer, path, { ...options, bytesMax: BYTES_MAX.chain })
  let [seq, index] = inSdkWords('answer_malformed', path, () => [
    jsonInteger(end['length'], 'length') - 1,
    jsonInteger(end['newest'], 'newest'),
  ])
  let expected: Hash | undefined
  for (;;) {
    const read = await readEntry(client, signer, index, options)
    const link = linkOf(read, subject)
    check(link.seq === seq, `${subject} #${seq}: entry ${index} is #${link.seq}`)
    const found = expected === undefined || equalBytes(expected, leafOf(client, read.receipt))
    check(found, `${subject} #${seq}: entry ${index} is not the one that #${seq + 1} names`)
    yield { ...read, seq }
    if (link.previous === null) return
    expected = link.previous.leafHash
    index = link.previous.index
    seq--
  }
}

function linkOf({ index, entry }: ReadEntry, subject: string): Link {
  const link = entry.links.find((one) => one.subject === subject)
  if (link !== undefined) return link
  throw new TrustWardenError('chain_broken', `${subject}: entry ${index} is not about it`)
}

function leafOf({ primitives }: TrustWarden, { entry }: Receipt): Hash {
  return leafHash(primitives, entry)
}

function check(condition: boolean, message: string): void {
  if (!condition) throw new TrustWardenError('chain_broken', message)
}
