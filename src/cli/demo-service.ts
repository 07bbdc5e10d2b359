/**
 * @module The service of the demo: made by `init`, served by a process of its own, as an operator would.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../worker-url.ts'

const MAIN = fileURLToPath(workerUrl(import.meta.url, './main.ts'))
const START_MS_MAX = 30_000
const STOP_MS_MAX = 10_000

/** A process of the demo failed. */
export class DemoError extends Error {
  override readonly name = 'DemoError'
}

/** A service that answers. */
export interface DemoService {
  readonly url: string
  readonly pid: number
  /** Ends it as an operator would, by SIGTERM, and waits. */
  readonly stop: () => Promise<void>
}

/** The environment without settings of somebody else's service. */
function environment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('TRUSTWARDEN_'))
  return Object.fromEntries(entries)
}

function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Runs one command of `trustwarden` to its end and returns what it printed. @throws DemoError with its complaint */
export async function runCommand(args: readonly string[]): Promise<string> {
  const child = start(args)
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new DemoError(`trustwarden ${args[0]} failed: ${err || out}`)
  return out
}

/** Serves a log on a free port of this machine. @throws DemoError if it does not answer */
export async function startDemoService(data: string): Promise<DemoService> {
  const quiet = ['--log-level', 'error', '--disk-reserve', '0']
  const child = start(['serve', '--data', data, '--port', '0', ...quiet])
  let err = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  // Whatever ends the demo ends its service too.
  const endWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', endWithUs)
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new DemoError(`the service did not start within ${START_MS_MAX} ms: ${err}`))
    }, START_MS_MAX)
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      const found = /^listening on (\S+)$/m.exec(out)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    void ended.then(() => {
      clearTimeout(timer)
      reject(new DemoError(`the service ended before it answered: ${err}`))
    })
  })
  return {
    url,
    pid: child.pid ?? 0,
    stop: async () => {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
      child.kill('SIGTERM')
      await ended
      clearTimeout(timer)
      process.removeListener('exit', endWithUs)
    },
  }
}
