/**
 * @module `trustwarden entries`: what the log holds about an agent, an instance or an owner, newest first.
 */
import { parseEntryStatement, parseSubject } from '@trustwarden/proofs'
import type { ChainEntry } from 'trustwarden'
import { type Command, readCall, UsageError } from './command.ts'
import { COMMON, COMMON_USAGE, connect, readerOf } from './people.ts'
import { startProgress } from './progress.ts'

const LIMIT = 20
const LIMIT_MAX = 100_000

/** One line about an entry, as data. */
interface Row {
  readonly seq: number
  readonly index: number
  readonly time: string
  readonly kind: string
  readonly outcome: string
  /** What an action or a decision is about. */
  readonly about?: string
}

function rowOf({ seq, index, kind, timeMs, outcome, entry }: ChainEntry): Row {
  const { header, payload } = parseEntryStatement(entry)
  const action = header.type === 'decision' ? payload['action'] : undefined
  const name =
    typeof action === 'object' && action !== null && !Array.isArray(action)
      ? (action as { readonly name?: unknown }).name
      : payload['action']
  const about = typeof name === 'string' ? name : header.sub
  return { seq, index, time: new Date(timeMs).toISOString(), kind, outcome, about }
}

/** A subject as it stands in a chain link; SPIFFE ids may come without `inst:` or `agent:`. */
function subjectOf(given: string): string {
  const isInstance = /\/inst-[^/]*$/.test(given)
  const subject = given.startsWith('spiffe://')
    ? `${isInstance ? 'inst' : 'agent'}:${given}`
    : given
  return parseSubject(subject).text
}

function limitOf(text: string): number {
  const limit = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > LIMIT_MAX)
    throw new UsageError(`--limit is "${text}", 1 to ${LIMIT_MAX} is needed`)
  return limit
}

/** See the module. */
export const entries: Command = {
  usage:
    'entries spiffe://…/inst-… | spiffe://… | owner:KID  [--limit N] [--as reader|operator|owner] ' +
    COMMON_USAGE,
  summary: 'list what the log holds about an instance, an agent by name or an owner, newest first',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'as', 'limit'],
      switches: ['json'],
      operands: [1, 1],
    })
    const limit = limitOf(call.optional('limit') ?? String(LIMIT))
    const subject = subjectOf(call.operands[0] ?? '')
    const reader = readerOf(call, await connect(call))
    const asJson = call.has('json')
    const progress = startProgress(io, 'reading')
    const rows: Row[] = []
    let older = 0
    try {
      for await (const read of reader.chain(subject)) {
        const row = rowOf(read)
        rows.push(row)
        older = read.seq
        progress.update(rows.length, Math.min(limit, rows.length + older))
        if (!asJson) {
          const { index, time, kind, outcome, about } = row
          io.out(
            `${String(index).padStart(7)}  ${time}  ${kind.padEnd(13)} ${outcome.padEnd(11)} ${about}\n`,
          )
        }
        if (rows.length === limit) break
      }
    } finally {
      progress.end()
    }
    if (asJson) io.out(`${JSON.stringify({ subject, entries: rows, older })}\n`)
    else if (older > 0) io.out(`${older} older ones: --limit ${rows.length + older} shows all\n`)
    return 0
  },
}
