/**
 * @module Following a log to its successor: the anchor of the new log comes from elsewhere, and its genesis says where the
 * old one ended (FORMAT §13.4).
 */
import { equalBytes } from './bytes.ts'
import { decodeEntry, parseEntryStatement } from './entry.ts'
import { check, ProofError } from './errors.ts'
import { leafHash } from './merkle.ts'
import type { Primitives } from './primitives.ts'
import { openGenesis } from './proven-log.ts'
import { checkEnd, type Trust, type TrustAnchor, type TrustedLog } from './trust.ts'

/**
 * Follows a trusted log to its successor.
 *
 * @param anchor - Of the successor, from elsewhere: that it names a predecessor makes nobody its successor.
 * @param genesis - Entry 0 of the successor.
 * @returns The trust with the old log ended at the head that the genesis names, and the new log.
 * @throws {ProofError} `genesis_mismatch` for another entry than the anchor's; `link_missing` if it names no predecessor;
 *   `trust_mismatch` if the predecessor is not trusted, ended elsewhere, or has another successor's anchor in its place;
 *   `key_mismatch` for a key that was the predecessor's; else as `decodeEntry` and `parseGenesis`.
 * @see FORMAT §13.4
 */
export function followSuccessor(
  p: Primitives,
  trust: Trust,
  anchor: TrustAnchor,
  genesis: Uint8Array,
): Trust {
  const genuine = equalBytes(leafHash(p, genesis), anchor.genesisHash)
  check(genuine, 'genesis_mismatch', 'genesis: not the entry that the trust anchor names')
  const { predecessor } = openGenesis(p, parseEntryStatement(decodeEntry(genesis)), anchor)
  if (predecessor === null) throw new ProofError('link_missing', 'genesis: names no predecessor')
  const { origin, size, root } = predecessor
  const old = trust.logs.find((log) => log.origin === origin)
  if (old === undefined) {
    throw new ProofError('trust_mismatch', `predecessor: ${origin} is not a trusted log`)
  }
  const end = { size, root }
  checkEnd(old, end)
  const used = old.keys.some(({ key }) => equalBytes(key.publicKey, anchor.key.publicKey))
  check(!used, 'key_mismatch', "anchor: the log key was the predecessor's")
  const next: TrustedLog = {
    origin: anchor.key.name,
    anchor,
    keys: [{ key: anchor.key, from: 0, to: null }],
  }
  const known = trust.logs.find((log) => log.origin === next.origin)
  const same = known === undefined || equalBytes(known.anchor.genesisHash, anchor.genesisHash)
  check(same, 'trust_mismatch', `${next.origin}: trusted with another genesis`)
  const logs = trust.logs.map((log) => (log === old ? { ...log, end } : log))
  return { logs: known === undefined ? [...logs, next] : logs }
}
