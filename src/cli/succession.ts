/**
 * @module What `init --succeeds` is told of the log that ends: its last known head, the trust under which it verifies, and
 * its head record, which says what was lost.
 */
import { readFileSync } from 'node:fs'
import { openTrustedHead, parseTrust, utf8Encode } from '@trustwarden/proofs'
import { nativePrimitives as p } from '../crypto.ts'
import { DirectoryError } from '../directory.ts'
import type { Succession } from '../init.ts'
import { type RecordedHead, readHeadRecord } from '../store/head-record.ts'
import { type Call, UsageError } from './command.ts'

/** A succession, and what its operator should know of it. */
export interface Succeeds extends Succession {
  readonly lines: readonly string[]
  /** Entries that the old log acknowledged and that the head does not hold; undefined if nothing says. */
  readonly lost: number | undefined
}

/**
 * Reads `--succeeds`, `--predecessor` and `--predecessor-head`.
 *
 * @throws UsageError, DirectoryError if head and head record are of two histories, ProofError, StoreError
 */
export async function readSuccession(call: Call): Promise<Succeeds | undefined> {
  const file = call.optional('succeeds')
  const given = call.optional('predecessor')
  const record = call.optional('predecessor-head')
  if (file === undefined) {
    if (given !== undefined || record !== undefined) throw new UsageError('--succeeds is missing')
    return undefined
  }
  if (given === undefined)
    throw new UsageError('--predecessor is missing: the trust anchor or file of the log that ends')
  const bytes = given.startsWith('twtrust') ? utf8Encode(given) : readFileSync(given)
  const trust = parseTrust(p, bytes)
  const { origin, size, root } = openTrustedHead(p, trust, new Uint8Array(readFileSync(file)))
  const head = { origin, size, root }
  const recorded = record === undefined ? undefined : await readHeadRecord(record, origin)
  const lost = recorded === undefined ? undefined : lostBetween(head, recorded)
  return { head, trust, lost, lines: describe(head, recorded, lost) }
}

function lostBetween(head: Succession['head'], recorded: RecordedHead): number {
  const isFork = recorded.size === head.size && Buffer.compare(recorded.root, head.root) !== 0
  if (isFork)
    throw new DirectoryError(
      `the head record of ${head.origin} has another root at size ${head.size} than the head given: find out which of ` +
        'the two histories was acknowledged before you found a successor on either',
    )
  return Math.max(0, recorded.size - head.size)
}

function describe(
  { origin, size }: Succession['head'],
  recorded: RecordedHead | undefined,
  lost: number | undefined,
): readonly string[] {
  const named = `succeeds ${origin}, whose last known head has ${size} entries; it stays closed`
  if (recorded === undefined || lost === undefined)
    return [named, 'what it acknowledged above that is not known here: no --predecessor-head given']
  if (lost > 0)
    return [
      named,
      `LOST: entries ${size} to ${recorded.size - 1}, ${lost} in all: acknowledged, and under no head that is known.`,
      'Whoever holds a receipt for one of them can still show it under the old anchor.',
    ]
  if (recorded.size < size)
    return [
      named,
      `its head record is older (${recorded.size} entries); nothing says that more was lost`,
    ]
  return [named, 'its head record says the same: nothing that it acknowledged is lost']
}
