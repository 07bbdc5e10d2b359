/**
 * @module A log that no process serves, for the commands that read it again: its rules without its keys.
 */
import {
  type Genesis,
  type Hash,
  parseCertificate,
  parseTrustAnchor,
  type Trust,
} from '@trustwarden/proofs'
import { anchorOf, readGenesis, rootOf } from './genesis.ts'
import { ALL_FOLDS, composeRules, type Rules } from './rules.ts'
import { systemClock } from './clock.ts'
import { nativePrimitives, type Signer } from './crypto.ts'
import { databasePath, DirectoryError, type Paths, readDescription } from './directory.ts'
import { LogKeys } from './ledger/log-keys.ts'
import { foldSpecs } from './ledger/rebuild.ts'
import { readRotations } from './ledger/rotations.ts'
import { CommittedView } from './ledger/state.ts'
import { Database } from './store/database.ts'
import { HeadRecord } from './store/head-record.ts'
import { checkTables } from './store/fold-tables.ts'
import { type KeptJournals, openKeepingJournals } from './store/journals.ts'
import type { CheckProgress } from './store/start-checks.ts'
import { keyRanges } from './trust-file.ts'

/** What an offline command needs of a log that no process serves. */
export interface OfflineLog {
  readonly database: Database
  readonly headRecord: HeadRecord
  readonly journals: KeptJournals
  readonly genesis: Genesis
  readonly hash: Hash
  readonly rules: Rules
  /** The log's keys by its own entries: genesis is not held against anything. */
  trust(): Trust
  close(): Promise<void>
}

const NO_KEYS: Signer = {
  alg: 'EdDSA',
  spki: new Uint8Array(0),
  publicKey: new Uint8Array(0),
  sign: () => {
    throw new DirectoryError('an offline command has no keys')
  },
}

/** The rules of a log, without its keys: they register and rebuild, and nothing in them signs. */
export function keylessRules(genesis: Genesis): Rules {
  const unavailable = () => Promise.reject(new DirectoryError('an offline command has no keys'))
  return composeRules({
    origin: genesis.origin,
    trustDomain: genesis.trustDomain,
    serviceSpki: genesis.keys.service,
    logKeys: new LogKeys(genesis.keys.log, [], readRotations),
    authority: {
      notAfterMs: parseCertificate(rootOf(genesis)).notAfterMs,
      issueSvid: unavailable,
    },
    permitSigner: NO_KEYS,
    policies: { find: () => Promise.resolve(undefined), tryOut: unavailable },
    clock: systemClock,
  })
}

/**
 * Opens a log without its keys: rules that register and rebuild, and nothing that signs.
 *
 * @param onTables - Told how far the tables are compared; without it they are not.
 * @throws DirectoryError, StoreError (`store_locked`, `head_record_locked` while a service runs; `table_corrupt`)
 */
export async function openOffline(
  paths: Pick<Paths, 'data' | 'head'>,
  onTables?: (progress: CheckProgress) => void,
): Promise<OfflineLog> {
  const description = readDescription(paths.data)
  const { origin } = description
  const headRecord = await HeadRecord.open(paths.head, { origin })
  let closeStore = (): Promise<void> => Promise.resolve()
  const close = async (): Promise<void> => {
    try {
      await closeStore()
    } finally {
      await headRecord.close()
    }
  }
  try {
    const directory = databasePath(paths.data)
    if (onTables !== undefined) await checkTables(directory, onTables)
    const { store, journals } = await openKeepingJournals(directory)
    closeStore = () => store.close()
    const database = await Database.open({ store, origin, folds: foldSpecs(ALL_FOLDS) })
    const { genesis, hash } = readGenesis(database, description)
    const rules = keylessRules(genesis)
    const trust = (): Trust => {
      const anchor = parseTrustAnchor(nativePrimitives, anchorOf(genesis, hash))
      const rotations = readRotations(new CommittedView(database.folds, database.size, 0))
      return { logs: [{ origin, anchor, keys: keyRanges(anchor.key, rotations) }] }
    }
    return { database, headRecord, journals, genesis, hash, rules, trust, close }
  } catch (error) {
    await close()
    throw error
  }
}
