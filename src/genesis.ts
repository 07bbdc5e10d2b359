/**
 * @module The first entry of an open log, and the trust anchor that is made of it.
 */
import {
  bundleHash,
  formatTrustAnchor,
  type Genesis,
  type Hash,
  leafHash,
  parseGenesis,
} from '@trustwarden/proofs'
import { nativePrimitives } from './crypto.ts'
import { DirectoryError, type LogDescription } from './directory.ts'
import { readRegistered } from './ledger/register.ts'
import type { Database } from './store/database.ts'

/** Genesis of an open database, and its leaf hash. @throws DirectoryError if it is not that of the description. */
export function readGenesis(
  database: Database,
  description: LogDescription,
): { readonly genesis: Genesis; readonly hash: Hash } {
  const bytes = database.entry(0)
  if (bytes === undefined)
    throw new DirectoryError(
      'the log has no genesis: init was cut off. Remove its three directories and run it again',
    )
  const genesis = parseGenesis(nativePrimitives, readRegistered(bytes, 0).statement)
  if (genesis.origin !== description.origin || genesis.trustDomain !== description.trustDomain)
    throw new DirectoryError('log.json names another origin or trust domain than genesis')
  return { genesis, hash: leafHash(nativePrimitives, bytes) }
}

/** The trust anchor of a log (FORMAT §13.1). */
export function anchorOf(genesis: Genesis, hash: Hash): string {
  return formatTrustAnchor(nativePrimitives, {
    key: genesis.keys.log,
    genesisHash: hash,
    bundleHash: bundleHash(nativePrimitives, genesis.ca),
  })
}

/** The certificate of the root that signs, DER. @throws DirectoryError if genesis names none */
export function rootOf(genesis: Genesis): Uint8Array {
  const [certificateDer] = genesis.ca
  if (certificateDer === undefined) throw new DirectoryError('genesis names no root certificate')
  return certificateDer
}
