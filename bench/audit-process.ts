/**
 * @module Audits a stopped log once, in a process of its own, so that the processor time is the audit's alone.
 */
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
  const { ALL_FOLDS } = await serviceModule<typeof import('../src/build.ts')>('build')
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

/** The part of a log but its first entry: without the state before, register is not run again. */
async function auditPart(
  { database, genesis, hash, rules }: OfflineLog,
  scratch: LevelStore,
): Promise<Report> {
  const { auditEntries } =
    await serviceModule<typeof import('../src/ledger/audit-entries.ts')>('ledger/audit-entries')
  const { openStored } =
    await serviceModule<typeof import('../src/ledger/audit-stored.ts')>('ledger/audit-stored')
  const { agentReader } =
    await serviceModule<typeof import('../src/identity/agents.ts')>('identity/agents')
  const { ALL_FOLDS } = await serviceModule<typeof import('../src/build.ts')>('build')
  const { LogKeys } =
    await serviceModule<typeof import('../src/ledger/log-keys.ts')>('ledger/log-keys')
  const keys = new LogKeys(genesis.keys.log, [], rules.rotations)
  const { head, source } = openStored(database, keys, agentReader)
  return auditEntries({
    source,
    head: { origin: genesis.origin, size: head.size, root: head.root },
    genesis,
    genesisHash: hash,
    from: 1,
    to: head.size,
    handlers: rules.handlers,
    folds: ALL_FOLDS,
    principals: rules.principals,
    scratch,
    verifier: trusting,
  })
}

async function obey({ data, depth }: AuditOrder): Promise<AuditTimes> {
  const { openOffline } = await serviceModule<typeof import('../src/offline.ts')>('offline')
  const { LevelStore } =
    await serviceModule<typeof import('../src/store/level-store.ts')>('store/level-store')
  const { VerifyPool } =
    await serviceModule<typeof import('../src/ledger/verify-pool.ts')>('ledger/verify-pool')
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-scratch-'))
  const log = await openOffline({ data, head: `${data}.head` })
  const scratch = await LevelStore.create(root)
  const verifier = depth === 'signatures' ? new VerifyPool() : trusting
  try {
    const before = process.cpuUsage()
    const start = performance.now()
    const { ok, entries } = await (depth === 'hashes'
      ? auditPart(log, scratch)
      : auditAll(log, scratch, verifier))
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    return { ok, entries, ms, processorUs: user + system }
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
