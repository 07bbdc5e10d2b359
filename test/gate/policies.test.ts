/**
 * Goal: what is committed under policies/ and as fixtures is what its sources give, and the default policy passes its
 * own tests in both of OPA's evaluators. Method: build again with OPA where it is installed and compare bytes; compile
 * the Rego tests to WebAssembly, one entrypoint each, and evaluate them there.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadPolicy } from '@open-policy-agent/opa-wasm'
import { expect, test } from 'vitest'
import { compileRego, FIXTURES, opaMissing, readFixture, runOpa, writeFixture } from './fixtures.ts'

const policies = fileURLToPath(new URL('../../policies/', import.meta.url))
const [rego, tests, data] = ['gate.rego', 'gate_test.rego', 'data.json'].map((f) => policies + f)

test('gate.wasm is what gate.rego gives', () => {
  const said = execFileSync(process.execPath, [`${policies}build.js`, '--check'], {
    encoding: 'utf8',
  })
  expect(said.trim()).toMatch(opaMissing === undefined ? /^rebuilt/ : /^source hash only/)
})

test('every builtin that a policy may use is known to the compiler', (context) => {
  if (opaMissing !== undefined) return context.skip(opaMissing)
  const known = JSON.parse(runOpa('capabilities', '--current')) as { builtins: { name: string }[] }
  const names = known.builtins.map(({ name }) => name)
  const permitted = JSON.parse(readFileSync(`${policies}builtins.json`, 'utf8')) as string[]
  expect(names).toEqual(expect.arrayContaining(permitted))
  for (const name of ['time.now_ns', 'http.send', 'rand.intn', 'opa.runtime', 'io.jwt.decode']) {
    expect(permitted).not.toContain(name)
  }
})

test('the fixtures are what their sources give', (context) => {
  if (opaMissing !== undefined) return context.skip(opaMissing)
  for (const [name, entrypoints] of Object.entries(FIXTURES)) {
    const wasm = compileRego([`${name}.rego`], entrypoints)
    if (process.env['TRUSTWARDEN_UPDATE_FIXTURES'] === '1') writeFixture(name, wasm)
    expect(wasm.equals(readFixture(name)), name).toBe(true)
  }
})

test('the default policy passes its tests in the interpreter', (context) => {
  if (opaMissing !== undefined) return context.skip(opaMissing)
  expect(runOpa('test', `${rego}`, `${tests}`, `${data}`)).toMatch(/^PASS: (\d+)\/\1$/m)
})

test('the default policy passes its tests in WebAssembly', async (context) => {
  if (opaMissing !== undefined) return context.skip(opaMissing)
  const names = readFileSync(`${tests}`, 'utf8').match(/^test_\w+/gm) ?? []
  expect(names.length).toBeGreaterThan(30)
  const entrypoints = names.map((name) => `gate_test/${name}`)
  const wasm = compileRego([`${rego}`, `${tests}`], entrypoints)
  const policy = await loadPolicy(new Uint8Array(wasm), { initial: 64 })
  for (const entrypoint of entrypoints) {
    expect(policy.evaluate({}, entrypoint), entrypoint).toEqual([{ result: true }])
  }
})
