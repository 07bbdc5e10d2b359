/**
 * @module A stopped log as the source of an audit of its entries: what `audit-entries.ts` reads over HTTP, out of the
 * database. Proofs are made from the stored tiles and held against the signed head like anybody's.
 */
import { TILE_WIDTH } from '../merkle/tree-math.ts'
import type { Database } from '../store/database.ts'
import { Difference } from './audit-difference.ts'
import type { EntrySource } from './audit-entries.ts'
import type { AgentReader } from './contract.ts'
import { LedgerError } from './errors.ts'
import { openStoredHead } from './head-note.ts'
import type { SignedHead } from './head-note.ts'
import type { LogKeys } from './log-keys.ts'
import { LogReader } from './reader.ts'
import { rightEdge } from './recovery.ts'
import { CommittedView } from './state.ts'

/**
 * Opens the last head of a stopped log and a source of what lies under it.
 *
 * @throws {LedgerError} `log_empty`; `head_invalid` unless the head is signed by the keys of its size; as `rightEdge`
 */
export function openStored(
  database: Database,
  keys: LogKeys,
  agents: AgentReader,
): { readonly head: SignedHead; readonly source: EntrySource } {
  const last = database.lastBatch()
  if (last === undefined) throw new LedgerError('log_empty', 'the database holds no entry')
  const view = new CommittedView(database.folds, last.size, last.timeMs)
  const head = openStoredHead(keys.at(view, last.size), last)
  const reader = new LogReader(database, keys, { head, edge: rightEdge(database) })
  const { size } = head
  const source: EntrySource = {
    // As they lie: whoever audits them hashes every entry and compares every tile.
    readBundle: async (index, width) => {
      const entries = await Promise.resolve(database.storedEntries(index))
      return entries.slice(0, width)
    },
    readTile: (level, index, width) => {
      const stored = width === TILE_WIDTH ? database.tile(level, index) : undefined
      const bytes = stored ?? reader.tile(level, index, width)
      return Promise.resolve(bytes).then((found) => there(found, `tile ${level}/${index}`))
    },
    readRangeProof: (start, end) => Promise.resolve(reader.range(start, end, size)),
    findIssuance: async (instance) => {
      const found = await Promise.resolve(agents.find(reader.view(), instance))
      if (found === undefined) return undefined
      const index = found.issuedAt
      const bytes = there(reader.entryBytes(index), `entry ${index}`)
      return { index, bytes, path: reader.inclusion(index, size) }
    },
  }
  return { head, source }
}

function there(bytes: Uint8Array | undefined, what: string): Uint8Array {
  if (bytes === undefined) throw new Difference('missing', `${what} is not there`)
  return bytes
}
