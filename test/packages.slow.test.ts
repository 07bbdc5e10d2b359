/**
 * Goal: what is published works where it is installed. Method: pack the three packages, install the tarballs into an
 * empty folder, and use each as its user would: the kit and the SDK by import, the service by its command. Needs the
 * npm registry, or npm's cache.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'trustwarden-packages-'))
const tarballs = join(folder, 'tarballs')
const consumer = join(folder, 'consumer')

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

beforeAll(() => {
  mkdirSync(tarballs)
  mkdirSync(consumer)
  for (const place of ['proofs', 'src/sdk', '.'])
    run('npm', ['pack', '--silent', '--pack-destination', tarballs], join(root, place))
  writeFileSync(join(consumer, 'package.json'), '{"type":"module","private":true}\n')
  const files = readdirSync(tarballs).map((name) => join(tarballs, name))
  run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...files], consumer)
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function evaluate(source: string): string {
  return run(process.execPath, ['--input-type=module', '-e', source], consumer).trim()
}

test('the kit verifies by import', () => {
  const source = `
    import { noblePrimitives, parseTrustAnchor, ProofError } from '@trustwarden/proofs'
    try { parseTrustAnchor(noblePrimitives, 'nonsense') } catch (e) { console.log(e instanceof ProofError, e.code) }`
  expect(evaluate(source)).toBe('true malformed')
})

test("the SDK loads without the service's dependencies", () => {
  const source = `
    import { PersonKey } from 'trustwarden'
    console.log(PersonKey.generate().principal('owner').startsWith('owner:'))`
  expect(evaluate(source)).toBe('true')
})

test('the service makes a log by its command', () => {
  const bin = join(consumer, 'node_modules/.bin/trustwarden')
  for (const name of ['owner', 'operator'])
    run(bin, ['keygen', '--out', `${name}.key`, '--plain-key'], consumer)
  const args =
    '--data log --origin acme.example/logs/agents --trust-domain acme.example --plain-keys'
  const people = ['--owner', 'owner.key.pub', '--operator', 'operator.key.pub']
  run(bin, ['init', ...args.split(' '), ...people], consumer)
  expect(run(bin, ['audit', '--data', 'log'], consumer)).toMatch(/^holds: 4 of 4 entries/)
})
