/**
 * @module The numbers that an operator alarms on, for Prometheus.
 */
import type { LogStats } from '../ledger/log.ts'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** The metrics of one service. */
export interface Metrics {
  readonly registry: Registry
  /** Statements answered, by kind and outcome word or error code. */
  readonly statements: Counter<'kind' | 'result'>
  readonly requests: Histogram<'route' | 'status'>
}

/** Makes the metrics; `stats` and `nowMs` are read at each scrape. */
export function createMetrics(stats: () => LogStats, nowMs: () => number): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string, read: (n: LogStats) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(stats()))
      },
    })
  gauge('trustwarden_log_size', 'Leaves under the current head', (n) => n.size)
  gauge('trustwarden_queue_length', 'Submissions being prepared or waiting', (n) => n.queued)
  gauge('trustwarden_batches', 'Batches committed by this process', (n) => n.batches)
  gauge('trustwarden_batch_entries', 'Entries of the last batch', (n) => n.lastBatchSize)
  gauge(
    'trustwarden_rejected',
    'Submissions that found a full queue',
    (n) => n.lanes.normal.rejected + n.lanes.urgent.rejected,
  )
  gauge('trustwarden_clock_stopped', '1 while the clock stops intake', (n) =>
    n.clockStopped ? 1 : 0,
  )
  gauge(
    'trustwarden_clock_offset_seconds',
    'Wall clock less time since boot, from its anchor',
    (n) => n.clockOffsetMs / 1000,
  )
  gauge('trustwarden_head_age_seconds', 'Time since the last head', (n) =>
    Math.max(0, (nowMs() - n.timeMs) / 1000),
  )
  gauge('trustwarden_scrub_bytes', 'Bytes read again behind the log by this process', (n) =>
    n.scrub === undefined ? 0 : n.scrub.bytes,
  )
  gauge('trustwarden_scrub_position', 'How far the pass over everything stored is, 0 to 1', (n) =>
    n.scrub === undefined ? 0 : n.scrub.position,
  )
  gauge(
    'trustwarden_scrub_finished_seconds',
    'When everything stored had last been read again; 0 if not since the start',
    (n) => (n.scrub === undefined ? 0 : n.scrub.finishedMs / 1000),
  )
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
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
  }
}
