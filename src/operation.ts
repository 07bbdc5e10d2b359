/**
 * @module What an operator sees and turns while the service runs: its figures, its certificate, what it says.
 */
import type { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { Clock } from './clock.ts'
import { clientHost, type Config } from './config.ts'
import type { Metrics, Readings } from './http/metrics.ts'
import type { LogStream } from './http/parts.ts'
import type { ClockGuard } from './ledger/clock-guard.ts'
import type { Log } from './ledger/log.ts'
import type { Quotas } from './ledger/quotas.ts'
import type { HeadRecordWriter } from './ledger/writer.ts'
import type { DiskSpace } from './space.ts'
import { freeBytes } from './store/disk-space.ts'
import type { HeadRecord } from './store/head-record.ts'
import { TLS_OPTIONS, TlsKeeper } from './tls.ts'

const DAY_MS = 86_400_000

/** Whom the parts tell what an operator should know: the caller of the start, then the log of the process. */
export interface Voice {
  tell: (level: 'info' | 'warn' | 'error', message: string) => void
}

/**
 * Lines of one turn of the event loop in one write: a line of each request costs a system call only where there is
 * one request a turn. What is left when the process ends is written then.
 */
export function gatherLines(to: LogStream): LogStream {
  let lines = ''
  const flush = (): void => {
    const text = lines
    lines = ''
    if (text !== '') to.write(text)
  }
  process.once('exit', flush)
  return {
    write: (line) => {
      if (lines === '') setImmediate(flush)
      lines += line
    },
  }
}

/** The certificate of the listener, or undefined if it has none. @throws KeyError, TlsError */
export function openTls(config: Config, clock: Clock, voice: Voice): TlsKeeper | undefined {
  const { tlsCert: cert, tlsKey: key } = config
  if (cert === undefined || key === undefined) return undefined
  return new TlsKeeper({ cert, key }, clientHost(config), clock, (level, message) =>
    voice.tell(level, message),
  )
}

/** Serves what the files hold from now on. */
export function startTls(tls: TlsKeeper | undefined, { server }: FastifyInstance): void {
  if (!('setSecureContext' in server)) return
  const listener = server as unknown as TlsServer
  tls?.start(({ cert, key }) => listener.setSecureContext({ ...TLS_OPTIONS, cert, key }))
}

/** How often it is looked whether the clock stops intake, ms. */
const CLOCK_POLL_MS = 1000

/** Looks every second whether the clock stops intake, and says when that changes. @returns What ends it */
export function watchClock(guard: ClockGuard, voice: Voice): () => void {
  let wasStopped = false
  const timer = setInterval(() => {
    const isStopped = guard.isStopped()
    if (isStopped === wasStopped) return
    wasStopped = isStopped
    if (isStopped) voice.tell('warn', `intake stops: ${guard.parted()}`)
    else voice.tell('warn', 'intake goes on: the wall clock is right again, or was accepted')
  }, CLOCK_POLL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** The head record, each write timed. */
export function timed(headRecord: HeadRecord, { fsyncs }: Metrics): HeadRecordWriter {
  return {
    current: () => headRecord.current(),
    write: async (head) => {
      const since = performance.now()
      await headRecord.write(head)
      fsyncs.observe({ file: 'head_record' }, (performance.now() - since) / 1000)
    },
  }
}

/** What the gauges are read from. */
export interface Watched {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly quotas: Quotas
  readonly space: DiskSpace
  readonly tls: TlsKeeper | undefined
  readonly caNotAfterMs: number
  readonly version: string
  readonly isReady: () => boolean
}

/** Reads the gauges. */
export async function readings(watched: Watched): Promise<Readings> {
  const { config, clock, log, quotas, tls, caNotAfterMs, version, isReady } = watched
  const { guard } = watched.space
  const nowMs = clock.nowMs()
  return {
    log: log.stats(),
    nowMs,
    version,
    origin: log.origin,
    ready: isReady(),
    caExpiryDays: (caNotAfterMs - nowMs) / DAY_MS,
    ...(tls === undefined ? {} : { tls: { expiryDays: tls.expiryDays(), failed: tls.failed } }),
    quotaRefusals: quotas.refused,
    disk: {
      floorBytes: config.freeSpaceFloor,
      reserveBytes: guard.reserveBytes,
      low: guard.reason() !== undefined,
      free: {
        data: guard.freeBytes,
        head: await freeBytes(config.head).catch(() => Number.NaN),
      },
    },
  }
}
