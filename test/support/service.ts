/**
 * @module The real service as its users meet it: a process of its own, over a log that the real CLI made, reached over
 * HTTP.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { generateKey } from '../../src/crypto.ts'
import { writeKeyFile, writePublicKeyFile } from '../../src/keys.ts'

const execFileAsync = promisify(execFile)

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const START_MS_MAX = 30_000

/** Where a log and its people's keys lie. */
export interface LogDirectory {
  readonly root: string
  readonly data: string
  readonly head: string
  readonly keys: string
  readonly owner: string
  readonly operator: string
  readonly anchor: string
}

/** A service that answers. */
export interface RunningService extends LogDirectory {
  readonly url: string
  readonly process: ChildProcess
  /** What it wrote to stderr so far. */
  readonly stderr: () => string
  /** Sends a signal and waits for the end. Resolves with the exit code, or the signal's name. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | string>
}

/** Options of a start. */
export interface StartOptions {
  readonly flags?: readonly string[]
  /** A command that runs node, such as a tracer: its arguments come before node's. */
  readonly wrapper?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** Runs the CLI to its end. @throws with its stderr if it fails. */
export function runCli(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = cleanEnvironment(),
): string {
  return execFileSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** As `runCli`, beside whatever else is under way. */
export async function runCliAsync(args: readonly string[]): Promise<string> {
  const options = { encoding: 'utf8', env: cleanEnvironment() } as const
  return (await execFileAsync(process.execPath, [MAIN, ...args], options)).stdout
}

/** The environment without what only tests read, so that a service under test sees what an operator's would. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('TRUSTWARDEN_'))
  return Object.fromEntries(entries)
}

/** Makes an owner's or operator's key in the clear, as `keygen` does. */
function makePerson(path: string): void {
  const key = generateKey('EdDSA')
  writeKeyFile(path, key, {})
  writePublicKeyFile(`${path}.pub`, key)
}

/** Makes keys and a log by `init`, in a new temporary directory. */
export function makeLog(options: { readonly origin?: string } = {}): LogDirectory {
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-test-'))
  const owner = join(root, 'owner.key')
  const operator = join(root, 'operator.key')
  const data = join(root, 'log')
  makePerson(owner)
  makePerson(operator)
  runCli([
    'init',
    '--data',
    data,
    '--origin',
    options.origin ?? 'acme.example/logs/agents',
    '--trust-domain',
    'acme.example',
    '--owner',
    `${owner}.pub`,
    '--operator',
    `${operator}.pub`,
    '--plain-keys',
  ])
  const anchor = readFileSync(join(data, 'trust-anchor'), 'utf8').trim()
  return { root, data, head: `${data}.head`, keys: `${data}.keys`, owner, operator, anchor }
}

/** Removes what `makeLog` made. */
export function removeLog({ root }: LogDirectory): void {
  rmSync(root, { recursive: true, force: true })
}

/** What a service of the tests is started with, unless a test says otherwise. */
const USUAL_FLAGS = [
  ['--port', '0'],
  ['--log-level', 'warn'],
  // Without the reserve: hundreds of logs of tests would fill the disk with it.
  ['--disk-reserve', '0'],
] as const

/** Starts the service over a log; resolves when it answers. @throws with its stderr if it ends first. */
export async function startService(
  log: LogDirectory = makeLog(),
  options: StartOptions = {},
): Promise<RunningService> {
  const [command, ...before] = [...(options.wrapper ?? []), process.execPath]
  const { flags = [] } = options
  const usual = USUAL_FLAGS.filter(([flag]) => !flags.includes(flag)).flat()
  const args = [MAIN, 'serve', '--data', log.data, ...usual, ...flags]
  const child = spawn(command ?? process.execPath, [...before, ...args], {
    env: { ...cleanEnvironment(), ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const exited = new Promise<number | string>((resolve) => {
    // 'close' and not 'exit': what it wrote last is then there too.
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  const url = await new Promise<string>((resolve, reject) => {
    let stdout = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the service did not start within ${START_MS_MAX} ms: ${stderr}`))
    }, START_MS_MAX)
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      const found = /^listening on (\S+)$/m.exec(stdout)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    void exited.then((code) => {
      clearTimeout(timer)
      reject(new Error(`the service ended with ${code}: ${stdout}${stderr}`))
    })
  })
  return {
    ...log,
    url,
    process: child,
    stderr: () => stderr,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal)
      return exited
    },
  }
}
