/**
 * @module The numbers that an operator alarms on, for Prometheus. `prometheus/` beside this file has alerts and a
 * dashboard over them; a test holds the three against each other.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { LogStats } from '../ledger/log.ts'

/** What is counted and timed as it happens. */
export interface Metrics {
  readonly registry: Registry
  /** Statements answered, by kind and outcome word or error code. */
  readonly statements: Counter<'kind' | 'result'>
  readonly requests: Histogram<'route' | 'status'>
  /** Problem documents, of whole requests and of single statements, by code. */
  readonly refusals: Counter<'code'>
  /** Entries of a batch. */
  readonly batches: Histogram
  /** A batch from its first decision until its head may leave. */
  readonly commits: Histogram
  /** Synced writes of the database and of the head record. */
  readonly fsyncs: Histogram<'file'>
}

/** What is read when Prometheus asks. */
export interface Readings {
  readonly log: LogStats
  readonly nowMs: number
  readonly version: string
  readonly origin: string
  readonly ready: boolean
  /** Days until the CA's certificate ends. */
  readonly caExpiryDays: number
  /** Absent where the listener has no TLS. */
  readonly tls?: { readonly expiryDays: number; readonly failed: boolean }
  readonly quotaRefusals: Readonly<Record<string, number>>
  readonly disk: {
    readonly floorBytes: number
    readonly reserveBytes: number
    readonly low: boolean
    /** Bytes left by disk. */
    readonly free: Readonly<Record<'data' | 'head', number>>
  }
}

const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const WRITE_BUCKETS = [0.0001, 0.00025, 0.0005, ...REQUEST_BUCKETS]
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** Makes what counts and times; process and event loop are in it. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  return {
    registry,
    statements: new Counter({
      name: 'trustwarden_statements_total',
      help: 'Statements answered, by kind and outcome word or error code',
      labelNames: ['kind', 'result'],
      registers,
    }),
    requests: new Histogram({
      name: 'trustwarden_request_seconds',
      help: 'Requests, by route and status',
      labelNames: ['route', 'status'],
      buckets: REQUEST_BUCKETS,
      registers,
    }),
    refusals: new Counter({
      name: 'trustwarden_refusals_total',
      help: 'Problem documents, of whole requests and of single statements, by code',
      labelNames: ['code'],
      registers,
    }),
    batches: new Histogram({
      name: 'trustwarden_batch_entries',
      help: 'Entries of a batch',
      buckets: BATCH_BUCKETS,
      registers,
    }),
    commits: new Histogram({
      name: 'trustwarden_commit_seconds',
      help: 'A batch from its first decision until its head may leave',
      buckets: WRITE_BUCKETS,
      registers,
    }),
    fsyncs: new Histogram({
      name: 'trustwarden_fsync_seconds',
      help: 'Synced writes, of the database batch and of the head record',
      labelNames: ['file'],
      buckets: WRITE_BUCKETS,
      registers,
    }),
  }
}

/** Adds what is read when Prometheus asks. */
export function watch({ registry }: Metrics, readOnce: () => Promise<Readings>): void {
  const registers = [registry]
  let reading: Promise<Readings> | undefined
  // The metrics of one answer are all asked within one turn of the event loop, and show one reading.
  const read = (): Promise<Readings> => {
    if (reading === undefined) {
      reading = readOnce()
      queueMicrotask(() => {
        reading = undefined
      })
    }
    return reading
  }
  const gauge = (name: string, help: string, value: (readings: Readings) => number | undefined) =>
    new Gauge({
      name: `trustwarden_${name}`,
      help,
      registers,
      async collect() {
        const now = value(await read())
        if (now === undefined) this.remove()
        else this.set(now)
      },
    })
  const labelled = <L extends string>(
    Metric: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    labels: readonly L[],
    values: (readings: Readings) => readonly (readonly [Readonly<Record<L, string>>, number])[],
  ) =>
    new Metric<L>({
      name: `trustwarden_${name}`,
      help,
      labelNames: labels,
      registers,
      async collect() {
        const now = values(await read())
        this.reset()
        for (const [of, value] of now) this.inc(of, value)
      },
    })

  labelled(Gauge, 'info', 'Which release serves which log', ['version', 'origin'], (now) => [
    [{ version: now.version, origin: now.origin }, 1],
  ])
  gauge('ready', '1 while statements are taken', ({ ready }) => Number(ready))
  gauge('log_size', 'Leaves under the current head', ({ log }) => log.size)
  gauge('head_age_seconds', 'Time since the last head', ({ log, nowMs }) =>
    Math.max(0, (nowMs - log.timeMs) / 1000),
  )
  labelled(
    Gauge,
    'queue_submissions',
    'Submissions under way, by lane, before and after their signature is verified',
    ['lane', 'stage'],
    ({ log: { lanes } }) =>
      (['normal', 'urgent'] as const).flatMap((lane) => [
        [{ lane, stage: 'unverified' }, lanes[lane].unverified],
        [{ lane, stage: 'verified' }, lanes[lane].submissions],
      ]),
  )
  labelled(Gauge, 'queue_bytes', 'Bytes of verified submissions', ['lane'], ({ log }) =>
    (['normal', 'urgent'] as const).map((lane) => [{ lane }, log.lanes[lane].bytes]),
  )
  labelled(
    Counter,
    'overload_refusals_total',
    'Submissions, and requests that were not parsed, for which there was no room, by lane',
    ['lane'],
    ({ log }) =>
      (['normal', 'urgent'] as const).map((lane) => [{ lane }, log.lanes[lane].rejected]),
  )
  labelled(
    Counter,
    'quota_refusals_total',
    'Statements over a quota, by whose it is',
    ['quota'],
    ({ quotaRefusals }) =>
      Object.entries(quotaRefusals).map(([quota, count]) => [{ quota }, count]),
  )
  gauge('clock_stopped', '1 while the clock stops intake', ({ log }) => Number(log.clockStopped))
  gauge(
    'clock_offset_seconds',
    'Wall clock less time since boot, from its anchor',
    ({ log }) => log.clockOffsetMs / 1000,
  )
  labelled(Gauge, 'disk_free_bytes', 'Space left, by disk', ['disk'], ({ disk }) =>
    (['data', 'head'] as const).map((name) => [{ disk: name }, disk.free[name]]),
  )
  gauge(
    'disk_floor_bytes',
    'Space below which only revocations are taken',
    (n) => n.disk.floorBytes,
  )
  gauge(
    'disk_reserve_bytes',
    'Space that the reserve holds for revocations',
    (n) => n.disk.reserveBytes,
  )
  gauge('disk_low', '1 while the floor stops intake', ({ disk }) => Number(disk.low))
  gauge(
    'start_check_position',
    'How far the check that a start left to be done behind it is, 0 to 1; 1: done',
    ({ log }) => log.startChecked,
  )
  gauge('scrub_bytes', 'Bytes read again behind the log by this process', ({ log }) =>
    log.scrub === undefined ? undefined : log.scrub.bytes,
  )
  gauge('scrub_position', 'How far the pass over everything stored is, 0 to 1', ({ log }) =>
    log.scrub === undefined ? undefined : log.scrub.position,
  )
  gauge(
    'scrub_finished_seconds',
    'When everything stored had last been read again; 0 if not since the start',
    ({ log }) => log.scrub && log.scrub.finishedMs / 1000,
  )
  gauge('ca_expiry_days', "Days until the CA's certificate ends", (n) => n.caExpiryDays)
  gauge(
    'tls_expiry_days',
    "Days until the listener's certificate ends",
    ({ tls }) => tls?.expiryDays,
  )
  gauge(
    'tls_reload_failed',
    "1 while the listener's certificate file is wrong and an older pair is served",
    ({ tls }) => tls && Number(tls.failed),
  )
}
