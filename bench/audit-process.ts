/**
 * @module Audits a stopped log once, in a process of its own, so that the processor time is the audit's alone.
 */
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuditOrder, AuditTimes } from './audit.ts'
import { serviceModule } from './service-module.ts'

type OfflineLog = import('../src/offline.ts').OfflineLog
type LevelStore = import('../src/store/level-store.ts').LevelStore
type SignatureVerifier = import('../src/ledger/verify.ts').SignatureVerifier

/** What the bench reads of a report. */
interface Report {
  readonly ok: boolean
  readonly entries: number
}

/** Takes every signature for good. */
const trusting: SignatureVerifier = {
  verify: () => Promise.resolve(true),
  close: () => Promise.resolve(),
}

async function auditAll(
  { database, headRecord, genesis, hash, rules }: OfflineLog,
  scratch: LevelStore,
  verifier: SignatureVerifier,
): Promise<Report> {
  const { audit } = await serviceModule<typeof import('../src/ledger/audit.ts')>('ledger/audit')
  const { ALL_FOLDS } = await serviceModule<typeof import('../src/rules.ts')>('rules')
  return audit({
    database,
    headRecord,
    origin: genesis.origin,
    key: genesis.keys.log,
    genesis: hash,
    handlers: rules.handlers,
    folds: ALL_FOLDS,
    principals: rules.principals,
    rotations: rules.rotations,
    scratch,
    verifier,
  })
}

/** Hashes, tiles and chains alone. */
async function auditHashes(
  { database, genesis, hash, rules }: OfflineLog,
  scratch: LevelStore,
): Promise<Report> {
  const { auditEntries } =
    await serviceModule<typeof import('../src/ledger/audit-entries.ts')>('ledger/audit-entries')
  const { openStored } =
    await serviceModule<typeof import('../src/ledger/audit-stored.ts')>('ledger/audit-stored')
  const { agentReader } =
    await serviceModule<typeof import('../src/identity/agents.ts')>('identity/agents')
  const { ALL_FOLDS } = await serviceModule<typeof import('../src/rules.ts')>('rules')
  const { LogKeys } =
    await serviceModule<typeof import('../src/ledger/log-keys.ts')>('ledger/log-keys')
  const keys = new LogKeys(genesis.keys.log, [], rules.rotations)
  const { head, source } = openStored(database, keys, agentReader)
  return auditEntries({
    source,
    head: { origin: genesis.origin, size: head.size, root: head.root },
    genesis,
    genesisHash: hash,
    from: 0,
    to: head.size,
    hashesOnly: true,
    handlers: rules.handlers,
    folds: ALL_FOLDS,
    principals: rules.principals,
    scratch,
    verifier: trusting,
  })
}

/** Bundles whose entries are taken for those of the log. */
const BUNDLES_LOOKED_AT = 8
const HASHES = 100_000

/** Processor time of SHA-256 over as many bytes as an entry has, in µs. */
function hashTime(database: OfflineLog['database']): number {
  const last = Math.floor((database.size - 1) / 256)
  const entries = Array.from({ length: BUNDLES_LOOKED_AT }, (_, at) =>
    database.storedEntries(Math.floor((last * at) / BUNDLES_LOOKED_AT)),
  ).flat()
  const length = entries.reduce((sum, entry) => sum + entry.length, 0) / entries.length
  const bytes = new Uint8Array(Math.round(length))
  const before = process.cpuUsage()
  for (let turn = 0; turn < HASHES; turn++) hash('sha256', bytes)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / HASHES
}

async function obey({ data, depth }: AuditOrder): Promise<AuditTimes> {
  const { openOffline } = await serviceModule<typeof import('../src/offline.ts')>('offline')
  const { LevelStore } =
    await serviceModule<typeof import('../src/store/level-store.ts')>('store/level-store')
  const { VerifyPool } =
    await serviceModule<typeof import('../src/ledger/verify-pool.ts')>('ledger/verify-pool')
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-scratch-'))
  const log = await openOffline({ data, head: `${data}.head` })
  const scratch = await LevelStore.create(root, { durable: false })
  const verifier = depth === 'signatures' ? new VerifyPool() : trusting
  try {
    const before = process.cpuUsage()
    const start = performance.now()
    const { ok, entries } = await (depth === 'hashes'
      ? auditHashes(log, scratch)
      : auditAll(log, scratch, verifier))
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    return { ok, entries, ms, processorUs: user + system, hashUs: hashTime(log.database) }
  } finally {
    await verifier.close()
    await scratch.close()
    await log.close()
    rmSync(root, { recursive: true, force: true })
  }
}

process.on('message', (order) => {
  void obey(order as AuditOrder).then(
    (times) => process.send?.(times, () => process.exit()),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exit(1)
    },
  )
})
