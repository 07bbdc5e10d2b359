/**
 * @module A service over the log of a data directory: the one place where its parts are put together.
 */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import {
  ENTRY_LENGTH_MAX,
  formatVkey,
  type Genesis,
  type Hash,
  type JsonObject,
  STATEMENT_BYTES_MAX,
  toBase64url,
} from '@trustwarden/proofs'
import type { FastifyInstance } from 'fastify'
import { type Clock, systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { databasePath, readDescription } from './directory.ts'
import { PolicyShelf } from './gate/policies.ts'
import { DENIES_NOTHING_KNOWN } from './gate/policy-host.ts'
import { anchorOf, readGenesis } from './genesis.ts'
import { REQUEST_BYTES_MAX, REQUEST_STATEMENTS_MAX } from './http/body.ts'
import type { Metrics } from './http/metrics.ts'
import type { LogStream } from './http/parts.ts'
import { agentReader } from './identity/agents.ts'
import { spiffeBundle } from './identity/spiffe-bundle.ts'
import { ClockGuard } from './ledger/clock-guard.ts'
import { Log } from './ledger/log.ts'
import { refusesData } from './ledger/recovery.ts'
import { Quotas } from './ledger/quotas.ts'
import { foldSpecs } from './ledger/rebuild.ts'
import { RotationProofs } from './ledger/rotation-proofs.ts'
import { ROTATE_KIND, readRotations } from './ledger/rotations.ts'
import { CommittedView } from './ledger/state.ts'
import { VerifyPool } from './ledger/verify-pool.ts'
import {
  gatherLines,
  openTls,
  readings,
  startTls,
  timed,
  type Voice,
  watchClock,
} from './operation.ts'
import { ALL_FOLDS, composeRules, type Rules } from './rules.ts'
import { damageFile, scrubPlace } from './scrub-files.ts'
import { openServiceKeys } from './service-keys.ts'
import { refreshTrustFile } from './trust-file.ts'
import { revocationReader } from './revocation/revocations.ts'
import { type DiskSpace, openDiskSpace } from './space.ts'
import { Database } from './store/database.ts'
import { FoldTables } from './store/fold-tables.ts'
import { HeadRecord } from './store/head-record.ts'
import { checkKeepingJournals, listCopies, openKeepingJournals } from './store/journals.ts'
import type { CheckProgress } from './store/start-checks.ts'
import { type Reload, TLS_OPTIONS, type TlsKeeper } from './tls.ts'

/** Milliseconds that one policy evaluation may take. */
const POLICY_DEADLINE_MS = 50

/** Bytes of a MiB. */
const MIB = 1_048_576

/** How long open connections may keep a service that ends from ending; a batch takes far less. */
const DRAIN_MS_MAX = 10_000

/** Size and root (32 bytes) of a head that somebody holds elsewhere. */
export interface AcceptedHead {
  readonly size: number
  readonly root: Uint8Array
}

/** What a start may be given besides its settings. */
export interface ServiceOptions {
  readonly clock?: Clock
  /** Called once after a fatal error: the process is to end, and the next start decides. */
  readonly onFatal: (error: Error) => void
  readonly onProgress?: (progress: CheckProgress) => void
  /** Told what an operator should know of a start that goes on. */
  readonly onWarning?: (message: string) => void
  /** A head that the operator vouches for, in place of a lost or contradicting head record. */
  readonly acceptHead?: AcceptedHead
  /** How far the clock may be ahead of the last ledger time, ms, because the operator says so. Default: 24 h. */
  readonly acceptClockAheadMs?: number
  /** Where the log of the process goes; stderr by default. */
  readonly logStream?: LogStream
  /** Bytes of tables of folds from which on they are compared behind the start (`FoldTablesOptions`). */
  readonly heldBytes?: number
}

/** A running service. */
export interface Service {
  readonly app: FastifyInstance
  readonly log: Log
  readonly anchor: string
  readonly genesis: Genesis
  /** Of this package. */
  readonly version: string
  /** Listens, and returns the URL. */
  listen(): Promise<string>
  /** Reads the certificate again; undefined if the listener has none. */
  reload(): Reload | undefined
  /** Resolves once tables are compared, or damaged: a service that is closed before waits for it, and answers no more. */
  compared(): Promise<void>
  /** Says that it is not ready from now on, and goes on answering. */
  drain(): void
  /** Stops taking requests, answers those under way, releases everything. */
  close(): Promise<void>
}

/** Version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { readonly version?: unknown }).version)
}

/**
 * Opens the log of a data directory and builds the service over it. It does not listen yet.
 *
 * @throws DirectoryError, KeyError, StoreError, LedgerError: why it does not start, and what to do
 */
export async function openService(config: Config, options: ServiceOptions): Promise<Service> {
  const clock = options.clock ?? systemClock
  const description = readDescription(config.data)
  const { origin, trustDomain } = description
  const resources = new Resources()
  const voice: Voice = { tell: (_level, message) => options.onWarning?.(message) }
  let fatal: Error | undefined
  const onFatal = (error: Error): void => {
    if (fatal !== undefined) return
    fatal = error
    options.onFatal(error)
  }
  try {
    const tls = openTls(config, clock, voice)
    // First of all, since on a full disk neither head record nor database opens.
    const space = await openDiskSpace(config, (message) => voice.tell('warn', message))
    resources.add(() => space.close())
    const headRecord = await openHeadRecord(config.head, origin, options.acceptHead)
    resources.add(() => headRecord.close())
    const directory = databasePath(config.data)
    // Said before the database opens: over some damage LevelDB ends the process itself, with no word of ours.
    for (const path of await listCopies(directory))
      options.onWarning?.(
        `an earlier start did not finish; the journals as they were are in ${path}`,
      )
    const { createMetrics } = await import('./http/metrics.ts')
    const metrics = createMetrics()
    const onWrite = (ms: number) => metrics.fsyncs.observe({ file: 'database' }, ms / 1000)
    // Nobody else has it open: the head record is held.
    const damage = damageFile(config.data)
    const { onProgress } = options
    const tables = await FoldTables.open(directory, origin, {
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(options.heldBytes === undefined ? {} : { heldBytes: options.heldBytes }),
    })
    resources.add(() => tables.close())
    if (damage.wasLeft())
      options.onWarning?.(
        'the last run stopped over damage, or before it knew that there is none: everything is checked before the first answer',
      )
    // What a crash or damage leaves from here on is the mark: the start that finds it compares first.
    if (damage.wasLeft() || (!tables.isCompared && !damage.set())) await tables.begin(onProgress)
    const opening = openKeepingJournals(directory, { onWrite })
    // Node loads what `serve` needs while LevelDB reads its journals: each takes a third of a second. Who awaits it is `serve`.
    void import('./http/app.ts').catch(() => undefined)
    const { store, journals } = await opening
    resources.add(() => store.close())
    // Only now: the mark may be that of a process which has the database open. One that was found goes when all is checked.
    if (!damage.wasLeft())
      void tables.compared.then(
        () => fatal === undefined && damage.clear(),
        () => undefined,
      )
    // A refusal about what is stored keeps the copy of the journals and names it; any other (a wrong passphrase) does not.
    return await checkKeepingJournals(
      journals,
      async () => {
        const database = await Database.open({
          store,
          origin,
          folds: foldSpecs(ALL_FOLDS),
          tables,
        })
        const { genesis, hash } = readGenesis(database, description)
        const keys = openServiceKeys(config, genesis, {
          state: new CommittedView(database.folds, database.size, 0),
          onWarning: (message) => options.onWarning?.(message),
        })
        const shelf = new PolicyShelf({
          pinned: (digest) => database.pinned(digest),
          host: {
            workers: config.policyWorkers,
            deadlineMs: POLICY_DEADLINE_MS,
            selfTest: [DENIES_NOTHING_KNOWN],
          },
        })
        resources.add(() => shelf.close())
        const verifier = new VerifyPool(config.verifyWorkers)
        resources.add(() => verifier.close())
        // The rules read the clock that the guard vouches for, never the machine's behind its back.
        const guard = new ClockGuard(clock)
        const rules = composeRules({
          origin,
          trustDomain,
          serviceSpki: genesis.keys.service,
          logKeys: keys.log,
          authority: keys.authority,
          permitSigner: keys.permit,
          policies: shelf,
          clock: guard,
        })
        const { agentQuota: agent, ownerQuota: owner } = config
        const quotas = new Quotas({ agent, owner }, () => clock.bootMs())
        const { acceptHead, acceptClockAheadMs } = options
        const log = await Log.open({
          database,
          headRecord: timed(headRecord, metrics),
          keys: keys.log,
          origin,
          ...rules,
          clock,
          guard,
          journals,
          verifier,
          onFatal,
          ...(config.scrubRate === 0
            ? {}
            : { scrub: { bytesPerS: config.scrubRate * MIB, place: scrubPlace(config.data) } }),
          damage,
          onStartChecked: (tookMs) =>
            voice.tell(
              'info',
              `the folds, and the last disclosures, were checked behind the start in ${Math.round(tookMs)} ms`,
            ),
          space: space.guard,
          ...(agent === undefined && owner === undefined ? {} : { quotas }),
          onCommitted: ({ entries, tookMs }) => {
            metrics.batches.observe(entries.length)
            metrics.commits.observe(tookMs / 1000)
            // The file is derived: what a crash before it leaves, the next start writes.
            if (entries.some(({ entry }) => entry.kind === ROTATE_KIND))
              refreshTrustFile(config.data, anchorOf(genesis, hash), readRotations(log.view()))
          },
          ...(acceptHead === undefined ? {} : { acceptHead: true }),
          ...(acceptClockAheadMs === undefined ? {} : { acceptClockAheadMs }),
          ...(onProgress === undefined ? {} : { onProgress }),
        })
        resources.add(() => log.close())
        await space.watch(store)
        const { notAfterMs: caNotAfterMs } = keys.authority
        refreshTrustFile(config.data, anchorOf(genesis, hash), readRotations(log.view()))
        const parts = { config, options, genesis, hash, log, rules, clock, resources }
        const operation = { guard, metrics, space, quotas, tls, voice, caNotAfterMs }
        const service = await serve({ ...parts, ...operation, tables, onFatal, fatal: () => fatal })
        // Not before: it would take the processor from the first answer.
        void tables.begin().catch(() => undefined)
        return service
      },
      refusesData,
    )
  } catch (error) {
    await resources.release()
    throw error
  }
}

/** Opens the record, or writes it anew from the head that the operator names: the start then holds the log against it. */
function openHeadRecord(
  path: string,
  origin: string,
  accepted: AcceptedHead | undefined,
): Promise<HeadRecord> {
  if (accepted === undefined) return HeadRecord.open(path, { origin })
  return HeadRecord.replace(path, { origin, head: { ...accepted, timeMs: 0 } })
}

/** What is released in the reverse of the order in which it was taken. */
class Resources {
  readonly #releases: (() => Promise<void>)[] = []

  add(release: () => Promise<void>): void {
    this.#releases.push(release)
  }

  /** Releases all of it, whatever becomes of one. @throws the first error */
  async release(): Promise<void> {
    const errors: unknown[] = []
    for (let next = this.#releases.pop(); next !== undefined; next = this.#releases.pop()) {
      await next().catch((error: unknown) => errors.push(error))
    }
    if (errors.length > 0) throw errors[0]
  }
}

interface Parts {
  readonly config: Config
  readonly options: ServiceOptions
  readonly genesis: Genesis
  readonly hash: Hash
  readonly log: Log
  readonly rules: Rules
  readonly clock: Clock
  readonly guard: ClockGuard
  readonly resources: Resources
  readonly tables: FoldTables
  readonly onFatal: (error: Error) => void
  readonly fatal: () => Error | undefined
  readonly metrics: Metrics
  readonly space: DiskSpace
  readonly quotas: Quotas
  readonly tls: TlsKeeper | undefined
  readonly voice: Voice
  readonly caNotAfterMs: number
}

async function serve(parts: Parts): Promise<Service> {
  // Only here: init, audit and rebuild put the same rules together, and answer nobody.
  const [{ buildApp }, { watch }] = await Promise.all([
    import('./http/app.ts'),
    import('./http/metrics.ts'),
  ])
  const { config, genesis, guard, log, rules, clock, resources, metrics, space, tls, voice } = parts
  const anchor = anchorOf(genesis, parts.hash)
  let url = config.url ?? ''
  let closing: Promise<void> | undefined
  let draining = false
  const version = packageVersion()
  const stopped = (): string | undefined => {
    if (closing !== undefined) return 'the service is stopping'
    return parts.fatal() === undefined ? undefined : 'the log stopped after a fatal error'
  }
  const unready = (): string | undefined =>
    stopped() ??
    (draining ? 'the service is stopping' : undefined) ??
    clockStop(log) ??
    space.guard.reason()
  const app = buildApp({
    log,
    logName: genesis.origin.slice(genesis.origin.lastIndexOf('/') + 1),
    clock,
    principals: rules.principals,
    agents: agentReader,
    revocations: revocationReader,
    roots: genesis.ca,
    openReads: config.openReads,
    openMetrics: config.openMetrics,
    ...(tls === undefined ? {} : { tls: { ...TLS_OPTIONS, ...pemOf(tls) } }),
    wellKnown: wellKnownOf(parts, anchor),
    publicKeys: {
      time: formatVkey(genesis.keys.time),
      service: toBase64url(genesis.keys.service),
      permit: toBase64url(genesis.keys.permit),
      heartbeat: toBase64url(genesis.keys.heartbeat),
    },
    rotations: new RotationProofs(log.reader),
    spiffeBundle: spiffeBundle(genesis.ca, 1),
    url: () => url,
    metrics,
    unready,
    stopped,
    onFatal: parts.onFatal,
    version,
    logLevel: config.logLevel,
    logStream: parts.options.logStream ?? gatherLines(process.stderr),
  })
  voice.tell = (level, message) => app.log[level](message)
  const isReady = (): boolean => unready() === undefined
  const watched = { ...parts, version, isReady }
  watch(metrics, () => readings(watched))
  startTls(tls, app)
  const stopWatching = watchClock(guard, voice)
  resources.add(async () => {
    stopWatching()
    tls?.stop()
    await closeApp(app)
  })
  return {
    app,
    log,
    anchor,
    genesis,
    version,
    listen: async () => {
      await app.listen({ host: config.host, port: config.port })
      const { port } = app.server.address() as AddressInfo
      const host = config.host.includes(':') ? `[${config.host}]` : config.host
      if (url === '') url = `${tls === undefined ? 'http' : 'https'}://${host}:${port}`
      return url
    },
    reload: () => tls?.reload(),
    compared: () =>
      parts.tables.compared.then(
        () => undefined,
        () => undefined,
      ),
    drain: () => {
      draining = true
    },
    close: () => {
      closing ??= resources.release()
      return closing
    },
  }
}

/** Answers what is under way; a client that sends or takes nothing does not keep the process from ending. */
async function closeApp(app: FastifyInstance): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS_MAX)
  try {
    await app.close()
  } finally {
    clearTimeout(timer)
  }
}

const pemOf = ({ pair: { cert, key } }: TlsKeeper) => ({ cert, key })

function clockStop(log: Log): string | undefined {
  return log.stats().clockStopped
    ? 'the clock left the time since boot by more than 10 s'
    : undefined
}

function wellKnownOf({ config, genesis, log }: Parts, anchor: string): JsonObject {
  const { agentQuota, ownerQuota } = config
  return {
    origin: genesis.origin,
    trust_domain: genesis.trustDomain,
    development: genesis.development,
    anchor,
    // The entry that the anchor names by its hash: whoever has the anchor from elsewhere checks everything below by it.
    genesis: toBase64url(log.reader.entryBytes(0) ?? new Uint8Array(0)),
    limits: {
      request_bytes: REQUEST_BYTES_MAX,
      request_statements: REQUEST_STATEMENTS_MAX,
      statement_bytes: STATEMENT_BYTES_MAX,
      entry_bytes: ENTRY_LENGTH_MAX,
      ...(agentQuota === undefined ? {} : { agent_quota: { ...agentQuota } }),
      ...(ownerQuota === undefined ? {} : { owner_quota: { ...ownerQuota } }),
    },
  }
}
