/**
 * @module The service that is measured: a fresh log made by the real CLI, served by a process of its own on loopback.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Profiler } from './profile.ts'

/** The command line. */
export const MAIN: string = fileURLToPath(new URL('../cli/main.js', import.meta.url))
const PROFILE_HOOK = new URL('./profile-hook.js', import.meta.url).href
const CLOCK_HOOK = new URL('./clock-hook.js', import.meta.url).href
const START_MS_MAX = 120_000

/** A log of the bench. */
export interface BenchLog {
  readonly data: string
  /** Private key files. */
  readonly owner: string
  readonly operator: string
  readonly anchor: string
  readonly origin: string
  readonly trustDomain: string
  readonly remove: () => void
}

/** A service that answers. */
export interface BenchService {
  readonly url: string
  readonly pid: number
  /** From the start of its process to where it said that it listens. */
  readonly startMs: number
  readonly profiler: Profiler
  readonly isRunning: () => boolean
  /** Sets its wall clock so far from the machine's; of one that was started as `settable`. */
  readonly setClock: (offsetMs: number) => void
  /** Ends it by SIGTERM and waits. */
  readonly stop: () => Promise<void>
}

/** The environment without settings of somebody else's service. */
export function serviceEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('TRUSTWARDEN_'))
  return Object.fromEntries(entries)
}

function run(...args: readonly string[]): void {
  execFileSync(process.execPath, [MAIN, ...args], {
    env: serviceEnvironment(),
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

const ORIGIN = 'bench.example/logs/agents'
const TRUST_DOMAIN = 'bench.example'

/** The log of the bench that lies in a folder. */
export function benchLogIn(root: string): BenchLog {
  const data = join(root, 'log')
  return {
    data,
    owner: join(root, 'owner.key'),
    operator: join(root, 'operator.key'),
    anchor: readFileSync(join(data, 'trust-anchor'), 'utf8').trim(),
    origin: ORIGIN,
    trustDomain: TRUST_DOMAIN,
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}

/** Makes people's keys and a log, by default in a new temporary directory. */
export function makeBenchLog(
  root: string = mkdtempSync(join(tmpdir(), 'trustwarden-bench-')),
): BenchLog {
  const [owner, operator] = [join(root, 'owner.key'), join(root, 'operator.key')]
  const data = join(root, 'log')
  for (const key of [owner, operator]) run('keygen', '--out', key, '--plain-key')
  const origin = ['--origin', ORIGIN, '--trust-domain', TRUST_DOMAIN]
  const people = ['--owner', `${owner}.pub`, '--operator', `${operator}.pub`]
  run('init', '--data', data, ...origin, ...people, '--plain-keys')
  return benchLogIn(root)
}

/** How a service of the bench is started. */
export interface StartOptions {
  /** Whether its threads can be sampled. */
  readonly profiled?: boolean
  /** Whether its wall clock can be set. */
  readonly settable?: boolean
  /** Default: any that is free. */
  readonly port?: number
  /** Further flags of `serve`. */
  readonly flags?: readonly string[]
}

/**
 * Serves a log with default settings, but that anybody may read it: `--open-reads`. A kept log may be days old, so the
 * clock is accepted as it is.
 *
 * @throws if it does not answer
 */
export async function startBenchService(
  { data }: Pick<BenchLog, 'data'>,
  { profiled = false, settable = false, port = 0, flags = [] }: StartOptions = {},
): Promise<BenchService> {
  const args = [
    ...(profiled ? ['--import', PROFILE_HOOK] : []),
    ...(settable ? ['--import', CLOCK_HOOK] : []),
    MAIN,
    'serve',
    '--data',
    data,
    '--port',
    String(port),
    '--log-level',
    'error',
    '--open-reads',
    'true',
    '--accept-clock',
    ...flags,
  ]
  const start = performance.now()
  const child = spawn(process.execPath, args, {
    env: serviceEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit', ...(profiled || settable ? (['ipc'] as const) : [])],
  })
  const { stdout } = child
  if (stdout === null) throw new Error('the service has no output')
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const endWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', endWithUs)
  const url = await new Promise<string>((resolve, reject) => {
    let out = ''
    const timer = setTimeout(
      () => reject(new Error(`the service did not start within ${START_MS_MAX} ms`)),
      START_MS_MAX,
    )
    stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      const found = /^listening on (\S+)$/m.exec(out)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    void ended.then(() => {
      clearTimeout(timer)
      const how = child.signalCode ?? `exit code ${child.exitCode}`
      reject(new Error(`the service ended before it answered: ${how}`))
    })
  })
  return {
    url,
    pid: child.pid ?? 0,
    startMs: performance.now() - start,
    profiler: new Profiler(child),
    isRunning: () => child.exitCode === null && child.signalCode === null,
    setClock: (offsetMs) => void child.send({ offsetMs }),
    stop: async () => {
      child.kill('SIGTERM')
      await ended
      process.removeListener('exit', endWithUs)
    },
  }
}

/** A port that is free now: a service that is started again has to be where it was. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
