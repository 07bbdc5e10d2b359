/** @module The built CLI, run to its end: what it printed and how it ended, right or wrong. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanEnvironment } from './service.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** How a command ended. */
export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs `trustwarden ARGS`. `input` is stdin, which is empty and no terminal without it. */
export function trustwarden(
  args: readonly string[],
  options: {
    readonly input?: string
    readonly environment?: Readonly<Record<string, string>>
    readonly cwd?: string
  } = {},
): Ended {
  const ended = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    input: options.input ?? '',
    env: { ...cleanEnvironment(), ...options.environment },
    timeout: 60_000,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  return { code: ended.status, out: ended.stdout, err: ended.stderr }
}

/** As `trustwarden`, beside whatever else is under way in this process. */
export async function trustwardenAsync(args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}

/** A new temporary directory, and how it goes again. */
export function scratchDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'trustwarden-cli-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Writes a file that its owner alone may read. */
export function writeSecret(path: string, text: string): string {
  writeFileSync(path, text, { mode: 0o600 })
  return path
}
