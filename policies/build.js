/**
 * @module Builds gate.rego into gate.wasm, the same bytes every time, or checks that the committed bytes are those.
 *
 *     node policies/build.js                      builds gate.wasm and gate.wasm.json
 *     node policies/build.js --check              says whether they are what gate.rego gives; exit code 1 if not
 *     node policies/build.js mine.rego mine.wasm  builds another policy under the same restrictions
 *
 * Needs OPA: the path in TRUSTWARDEN_OPA, or `opa` on the PATH. Without it `--check` compares the hash of the source
 * only, and says so. Plain JavaScript, so that it runs without a build.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

const OPA_VERSION = '1.22.2'
const ENTRYPOINT = 'gate/decision'
const folder = dirname(fileURLToPath(import.meta.url))
const opa = process.env['TRUSTWARDEN_OPA'] || 'opa'

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const read = (name) => readFileSync(join(folder, name))

/** The version of OPA that is installed, or null. */
function installedOpa() {
  try {
    return /^Version: (\S+)/.exec(execFileSync(opa, ['version'], { encoding: 'utf8' }))?.[1] ?? null
  } catch {
    return null
  }
}

/**
 * What the compiler may use: the builtins that OPA's WebAssembly runtime itself contains. Everything else (the clock,
 * the network, random numbers, whatever a host would have to implement) is then an undefined function to it, where
 * `opa build` alone would accept it and the policy would fail when it is asked.
 */
function capabilities() {
  const all = JSON.parse(execFileSync(opa, ['capabilities', '--current'], { encoding: 'utf8' }))
  const permitted = new Set(JSON.parse(read('builtins.json').toString()))
  return JSON.stringify({
    ...all,
    builtins: all.builtins.filter(({ name }) => permitted.has(name)),
  })
}

/** The contents of one file of an uncompressed tar archive. */
function untar(archive, name) {
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const header = archive.subarray(at, at + 512)
    const length = Number.parseInt(header.toString('latin1', 124, 136), 8)
    const path = header.toString('latin1', 0, 100).replace(/\0.*$/s, '')
    if (path === name) return archive.subarray(at + 512, at + 512 + length)
    at += 512 * (1 + Math.ceil(length / 512))
  }
  throw new Error(`opa build wrote no ${name}`)
}

/** Compiles one Rego file. Runs in its folder: the compiler writes the name it was given into the module. */
function compile(path) {
  const work = mkdtempSync(join(tmpdir(), 'trustwarden-policy-'))
  const [permitted, bundle] = [join(work, 'capabilities.json'), join(work, 'bundle.tar.gz')]
  const name = basename(path)
  try {
    writeFileSync(permitted, capabilities())
    execFileSync(
      opa,
      [
        'build',
        '-t',
        'wasm',
        '-e',
        ENTRYPOINT,
        '-O',
        '0',
        '--capabilities',
        permitted,
        '-o',
        bundle,
        name,
      ],
      { cwd: dirname(path), stdio: ['ignore', 'inherit', 'inherit'] },
    )
    return untar(gunzipSync(readFileSync(bundle)), '/policy.wasm')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** What gate.wasm.json says of a build. The revision follows from the source, so it cannot lag behind it. */
function describe(source, wasm) {
  const sourceSha256 = sha256(source)
  return {
    sourceSha256,
    wasmSha256: sha256(wasm),
    opaVersion: OPA_VERSION,
    entrypoint: ENTRYPOINT,
    revision: `default-${sourceSha256.slice(0, 12)}`,
  }
}

const format = (described) => `${JSON.stringify(described, null, 2)}\n`

function demandOpa(found) {
  if (found === OPA_VERSION) return
  const get = `go install github.com/open-policy-agent/opa@v${OPA_VERSION}`
  throw new Error(`${found ? `opa is ${found}` : 'opa is missing'}, needs ${OPA_VERSION}: ${get}`)
}

function checkCommitted() {
  const found = installedOpa()
  const source = read('gate.rego')
  const committed = read('gate.wasm')
  if (format(describe(source, committed)) !== read('gate.wasm.json').toString()) {
    throw new Error('gate.wasm.json does not describe gate.rego and gate.wasm: build them again')
  }
  if (found !== OPA_VERSION) return `source hash only: opa ${OPA_VERSION} is not installed`
  if (!compile(join(folder, 'gate.rego')).equals(committed)) {
    throw new Error('gate.wasm is not what gate.rego gives: build it again')
  }
  return 'rebuilt: the same bytes'
}

function main(args) {
  if (args[0] === '--check') return checkCommitted()
  demandOpa(installedOpa())
  const [from, to] = args
  if (from !== undefined && to !== undefined) {
    writeFileSync(resolve(to), compile(resolve(from)))
    return `built ${to}`
  }
  if (from !== undefined) throw new Error('usage: build.js [--check | <policy.rego> <policy.wasm>]')
  const wasm = compile(join(folder, 'gate.rego'))
  const described = describe(read('gate.rego'), wasm)
  writeFileSync(join(folder, 'gate.wasm'), wasm)
  writeFileSync(join(folder, 'gate.wasm.json'), format(described))
  return `built gate.wasm, revision ${described.revision}`
}

try {
  console.log(main(process.argv.slice(2)))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
