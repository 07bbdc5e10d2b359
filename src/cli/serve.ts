/**
 * @module `trustwarden serve`: serves an initialised directory until SIGTERM or SIGINT, and `trustwarden dev`: makes a
 * development log on loopback by itself and serves that.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedHead, Service, ServiceOptions } from '../build.ts'
import { systemClock } from '../clock.ts'
import { type Config, readConfig, SETTINGS, directoryPath } from '../config.ts'
import { encodePublicKey, generateKey } from '../crypto.ts'
import { writeKeyFile, writePublicKeyFile } from '../keys.ts'
import { type Command, type ExitCode, type Io, readCall, UsageError } from './command.ts'
import { startProgress } from './progress.ts'

const FLAGS = Object.values(SETTINGS).map((setting) => setting.flag)

/** pino's numbers for the levels of a log line. */
const LEVEL = { info: 30, warn: 40, fatal: 60 } as const

/** Writes what the process says of itself as the lines of its log are: stderr of a service is JSON throughout. */
function logLine(io: Io, level: keyof typeof LEVEL, msg: string): void {
  const line = { level: LEVEL[level], time: systemClock.nowMs(), pid: process.pid, msg }
  io.err(`${JSON.stringify(line)}\n`)
}

/** The stable name of what was found, by whoever found it, in front of its message. */
function codeOf(error: Error): string {
  const found = error.cause instanceof Error && 'code' in error.cause ? error.cause : error
  return 'code' in found ? `${String(found.code)}: ` : ''
}

/** How long an end may take once the listener closes: longer than open connections may keep it (build.ts). */
const STOP_MS_MAX = 15_000

/** Which signals end a service. */
const END_SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const

/** Resolves at the first signal; the second one ends the process at once, whatever is under way. */
function untilSignal(io: Io): Promise<NodeJS.Signals> {
  let isEnding = false
  return new Promise((resolve) => {
    for (const [signal, number] of Object.entries(END_SIGNALS) as [NodeJS.Signals, number][])
      process.on(signal, () => {
        if (isEnding) {
          logLine(io, 'warn', `${signal} again: the process ends at once`)
          process.exit(128 + number)
        }
        isEnding = true
        resolve(signal)
      })
  })
}

/**
 * Answers what is under way and releases everything, within a bound: what hangs must not hold up the next start. Tables that
 * are not compared yet come first, while it goes on answering: how long they take is the disk's to say, and the next start
 * would check everything.
 */
async function stop(service: Service, io: Io): Promise<void> {
  await service.compared()
  const timer = setTimeout(() => {
    logLine(io, 'fatal', `the service did not end within ${STOP_MS_MAX} ms: the process ends`)
    process.exit(1)
  }, STOP_MS_MAX)
  timer.unref()
  await service.close()
  clearTimeout(timer)
}

/** Serves until a signal. Resolves with the exit code once everything is answered and released. */
async function serveUntilSignal(
  config: Config,
  io: Io,
  accepted: Pick<ServiceOptions, 'acceptHead' | 'acceptClockAheadMs'> = {},
): Promise<ExitCode> {
  const asLog: Io = { ...io, err: (text) => logLine(io, 'info', text.trim()) }
  const progress = startProgress(io.isTerminal ? io : asLog, 'checking the log')
  // A fatal error: nothing more is answered, the process ends at once, and the next start decides what is on disk.
  const onFatal = (error: Error): void => {
    logLine(
      io,
      'fatal',
      `${codeOf(error)}${error.message}; the process ends, the next start checks what is on disk`,
    )
    process.exitCode = 1
    setImmediate(() => process.exit(1))
  }
  // Without a handler this signal would end the process, during the start too.
  let reload = (): void => undefined
  process.on('SIGHUP', () => reload())
  // Only now: `help`, and a call that is wrong, do without the whole service.
  const { openService } = await import('../build.ts')
  const service = await openService(config, {
    onFatal,
    onProgress: progress.tell,
    onWarning: (message) => logLine(io, 'warn', message),
    ...accepted,
  })
  progress.end()
  const { log } = service.app
  const since = performance.now()
  reload = () => log.info({ certificate: service.reload() ?? 'none' }, 'reload')
  try {
    const signalled = untilSignal(io)
    const url = await service.listen()
    const { version, genesis } = service
    const size = service.log.head().size
    log.info({ version, origin: genesis.origin, url, size }, 'started')
    io.out(`listening on ${url}\n`)
    if (config.openReads)
      log.warn('open-reads: whoever reaches this port reads every entry and agent')
    const signal = await signalled
    // Readiness fails first, so that nobody is sent here any more while requests are still answered.
    service.drain()
    log.info({ signal }, 'stopping: what is under way is answered')
    await sleep(config.drainDelay * 1000)
    return 0
  } finally {
    await stop(service, io)
    const upSeconds = Math.round((performance.now() - since) / 1000)
    log.info({ size: service.log.head().size, up_s: upSeconds }, 'stopped')
  }
}

/** Reads `SIZE:ROOT`, as they stand in a checkpoint. @throws UsageError */
export function readAcceptedHead(text: string | undefined): AcceptedHead | undefined {
  if (text === undefined) return undefined
  const [, size = '', root = ''] = /^([1-9]\d{0,15}):([A-Za-z0-9+/]{43}=)$/.exec(text) ?? []
  const bytes = new Uint8Array(Buffer.from(root, 'base64'))
  if (!Number.isSafeInteger(Number(size)) || bytes.length !== 32)
    throw new UsageError(
      '--accept-head is not SIZE:ROOT, the second and third line of a checkpoint',
    )
  return { size: Number(size), root: bytes }
}

/** See the module. */
export const serve: Command = {
  usage: `serve ${FLAGS.map((flag) => `[--${flag} …]`).join(' ')} [--accept-head SIZE:ROOT] [--accept-clock]`,
  summary: 'serve an initialised log; the README lists every setting',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...FLAGS, 'accept-head'],
      switches: ['accept-clock'],
    })
    const flags = Object.fromEntries(FLAGS.map((flag) => [flag, call.optional(flag)]))
    const acceptHead = readAcceptedHead(call.optional('accept-head'))
    return serveUntilSignal(readConfig(flags), io, {
      ...(acceptHead === undefined ? {} : { acceptHead }),
      ...(call.has('accept-clock') ? { acceptClockAheadMs: Number.POSITIVE_INFINITY } : {}),
    })
  },
}

/** See the module. */
export const dev: Command = {
  usage: 'dev [--data DIR] [--port N] [--log-level LEVEL]',
  summary:
    'make a development log (plain keys, open reads, loopback) if there is none, and serve it',
  run: async (args, io) => {
    const call = readCall(args, { values: ['data', 'port', 'log-level'] })
    const data = directoryPath(call.optional('data') ?? 'data/dev')
    if (!existsSync(data)) await makeDevelopmentLog(data, io)
    const flags: Record<string, string | undefined> = {
      data,
      port: call.optional('port'),
      'log-level': call.optional('log-level'),
      'open-reads': 'true',
      host: '127.0.0.1',
      // A log to try things with leaves the disk to others.
      'disk-reserve': '0',
    }
    return serveUntilSignal(readConfig(flags), io)
  },
}

/** Makes owner, operator and a log beside each other, keys in the clear; its genesis says that it is for development. */
async function makeDevelopmentLog(data: string, io: Io): Promise<void> {
  mkdirSync(dirname(data), { recursive: true })
  const person = (name: string): Uint8Array => {
    const path = `${data}.${name}.key`
    const key = generateKey('EdDSA')
    writeKeyFile(path, key, {})
    writePublicKeyFile(`${path}.pub`, key)
    io.err(`made ${path}, the development ${name}'s key, in the clear\n`)
    return encodePublicKey(key).spki
  }
  const { initLog } = await import('../init.ts')
  const report = await initLog({
    data,
    head: `${data}.head`,
    keys: `${data}.keys`,
    origin: 'localhost/logs/dev',
    trustDomain: 'dev.localhost',
    development: true,
    owner: person('owner'),
    operators: [person('operator')],
    threshold: 1,
    passphrase: undefined,
  })
  io.err(`made a development log in ${data}; its genesis says so\ntrust anchor: ${report.anchor}\n`)
}
