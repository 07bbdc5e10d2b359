/**
 * @module Small compiled policies for the tests of the gate, and the compiler where it is installed.
 *
 * The modules are committed beside their sources, so the tests need no OPA; with it, a test builds them again and
 * compares. `TRUSTWARDEN_UPDATE_FIXTURES=1` writes what was built.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The release of OPA that built what is committed. */
const OPA_VERSION = '1.22.2'
const opa = process.env['TRUSTWARDEN_OPA'] ?? 'opa'
const folder = fileURLToPath(new URL('./fixtures', import.meta.url))

/** Fixture → the rules that are its entrypoints. */
export const FIXTURES: Readonly<Record<string, readonly string[]>> = {
  probe: ['gate/decision'],
  clock: ['gate/decision'],
  two: ['gate/decision', 'gate/other'],
}

/** How to get OPA, for a test that is skipped without it; undefined where it is there. */
export const opaMissing: string | undefined = findOpa()

function findOpa(): string | undefined {
  try {
    const text = execFileSync(opa, ['version'], { encoding: 'utf8', stdio: 'pipe' })
    if (text.startsWith(`Version: ${OPA_VERSION}\n`)) return undefined
  } catch {
    // Not there.
  }
  return `needs OPA: go install github.com/open-policy-agent/opa@v${OPA_VERSION}, or TRUSTWARDEN_OPA`
}

export function runOpa(...args: readonly string[]): string {
  return execFileSync(opa, args, { encoding: 'utf8', cwd: folder })
}

export function readFixture(name: string): Buffer {
  return readFileSync(join(folder, `${name}.wasm`))
}

export function writeFixture(name: string, wasm: Uint8Array): void {
  writeFileSync(join(folder, `${name}.wasm`), wasm)
}

/** Compiles Rego files, paths relative to the fixtures, with every builtin that OPA has. */
export function compileRego(files: readonly string[], entrypoints: readonly string[]): Buffer {
  const work = mkdtempSync(join(tmpdir(), 'trustwarden-fixture-'))
  try {
    const bundle = join(work, 'bundle.tar.gz')
    const entries = entrypoints.flatMap((name) => ['-e', name])
    runOpa('build', '-t', 'wasm', ...entries, '-o', bundle, ...files)
    return execFileSync('tar', ['-xzOf', bundle, '/policy.wasm'], {
      stdio: 'pipe',
      maxBuffer: 16 * 2 ** 20,
    })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
