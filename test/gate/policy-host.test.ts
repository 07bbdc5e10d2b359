/**
 * Goal: whatever a policy, its data, its input or its worker does wrong is a denial with its own reason, or the policy
 * is not loaded at all; never an allow, never an error, never the end of the host. Method: a real policy that
 * misbehaves on demand (fixtures/probe.rego) in real workers. opa-library.test.ts shows that each of these would fail
 * open, or for ever, without the host.
 */
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import { canonicalJson } from '@trustwarden/proofs'
import type { JsonObject } from '@trustwarden/proofs'
import { afterEach, expect, test, vi } from 'vitest'
import { GateInput, INPUT_BYTES_MAX } from '../../src/gate/gate-input.ts'
import { DENIES_NOTHING_KNOWN, PolicyHost } from '../../src/gate/policy-host.ts'
import type { PolicyHostOptions } from '../../src/gate/policy-host.ts'
import { compilePolicy, OpaInstance } from '../../src/gate/opa-gate.ts'
import { QUEUE_MAX } from '../../src/gate/policy-pool.ts'
import { gateDenial } from '../../src/gate/reasons.ts'
import type { Verdict } from '../../src/gate/reasons.ts'
import { readFixture } from './fixtures.ts'

const probe = new Uint8Array(readFixture('probe'))
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const json = (value: JsonObject): Uint8Array => canonicalJson(value)
const ALLOW = { effect: 'allow', reasons: [], matched: [], obligations: [], reproducible: true }
const REVOKED = json({ id: 'agent-1' })
const OTHER = json({ id: 'agent-2' })
const CONFLICT = json({ mode: 'conflict' })
const RUNAWAY = json({ mode: 'runaway' })

const hosts: PolicyHost[] = []
const spawned: Worker[] = []
process.on('worker', (worker) => spawned.push(worker))

afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
  spawned.length = 0
})

/** A deadline that only a runaway meets, also on a machine that is busy with other tests. */
async function load(options: Partial<PolicyHostOptions> = {}): Promise<PolicyHost> {
  const host = await PolicyHost.load({
    wasm: probe,
    data: utf8('{"revoked": ["agent-1"]}'),
    workers: 1,
    deadlineMs: 1000,
    selfTest: [
      { input: REVOKED, effect: 'deny' },
      { input: OTHER, effect: 'allow' },
    ],
    ...options,
  })
  hosts.push(host)
  return host
}

/** Asks about bytes as somebody else wrote them. */
function ask(host: PolicyHost, input: Uint8Array): Promise<Verdict> {
  return host.evaluate(GateInput.read(input))
}

function invalid(message: RegExp) {
  return expect.objectContaining({
    code: 'policy_invalid',
    message: expect.stringMatching(message),
  })
}

test('a policy is asked and answers', async () => {
  const host = await load()
  expect(await ask(host, REVOKED)).toMatchObject({ effect: 'deny', reasons: ['revoked'] })
  expect(await ask(host, OTHER)).toEqual(ALLOW)
})

// ---------------------------------------------------------------------------------------------------------- loading

test.each([
  '{"revoked":["agent-1","agent-2","agent-3","agent-4","agent-5","agent-6"',
  '[[[[[[[[[[[',
  '{"revoked":["agent-1"]} trailing',
  '{"revoked":["agent-1"],"revoked":[]}',
  '{"revoked":[9007199254740993]}',
  '[]',
  'null',
  '',
])('data %j is refused, and a host that runs is not touched', async (data) => {
  const running = await load()
  await expect(load({ data: utf8(data) })).rejects.toEqual(invalid(/^data: /))
  expect(await ask(running, REVOKED)).toMatchObject({ effect: 'deny', reasons: ['revoked'] })
})

test('data and input in a Buffer are bytes', async () => {
  const host = await load({ data: Buffer.from('{"revoked":["agent-1"]}') })
  expect(await ask(host, Buffer.from(REVOKED))).toMatchObject({ reasons: ['revoked'] })
})

test('a view into a larger buffer is its own bytes only', async () => {
  const host = await load()
  const large = Buffer.concat([Buffer.from('{"id":"agent-2"}'), REVOKED, Buffer.from('}')])
  const view = large.subarray(OTHER.length, OTHER.length + REVOKED.length)
  expect(await ask(host, view)).toMatchObject({ reasons: ['revoked'] })
})

test('a policy that needs a builtin of the host is refused', async () => {
  const loading = load({ wasm: readFixture('clock'), selfTest: [] })
  await expect(loading).rejects.toEqual(invalid(/builtins \[time\.now_ns\]/))
})

test('a policy with more than one entrypoint, or another, is refused', async () => {
  const two = load({ wasm: readFixture('two'), selfTest: [] })
  await expect(two).rejects.toEqual(invalid(/\[gate\/decision,gate\/other\]/))
  const renamed = replaceBytes(probe, 'gate/decision', 'gate/decisiom')
  await expect(load({ wasm: renamed })).rejects.toEqual(invalid(/\[gate\/decisiom\]/))
})

test('a policy with an import beyond the interface of OPA is refused', async () => {
  const wasm = replaceBytes(probe, 'opa_abort', 'opa_about')
  await expect(load({ wasm })).rejects.toEqual(invalid(/imports env\.opa_about/))
})

test.each([
  ['nothing', new Uint8Array()],
  ['no module', utf8('not wasm')],
  ['half a module', probe.subarray(0, probe.length / 2)],
  ['an empty module', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)],
  ['a module over 4 MiB', new Uint8Array(4_194_305)],
])('%s is refused', async (_, wasm) => {
  await expect(load({ wasm })).rejects.toEqual(invalid(/./))
})

test('a policy that fails its self-test is refused, and so is one that denies by failing', async () => {
  const wrong = load({ selfTest: [{ input: REVOKED, effect: 'allow' }] })
  await expect(wrong).rejects.toEqual(invalid(/^self-test 0: deny, must be allow/))
  const failing = load({ selfTest: [{ input: CONFLICT, effect: 'deny' }] })
  await expect(failing).rejects.toEqual(invalid(/^self-test 0: gate_error/))
  const undecided = load({ selfTest: [{ input: json({ mode: 'echo' }), effect: 'deny' }] })
  await expect(undecided).rejects.toEqual(invalid(/^self-test 0: gate_result_count/))
  // The probe allows whom it knows nothing against: just what no policy may do.
  const open = load({ selfTest: [DENIES_NOTHING_KNOWN] })
  await expect(open).rejects.toEqual(invalid(/^self-test 0: allow, must be deny/))
})

test('a module that wants much memory at the start loads, within its bound', async () => {
  // The import of the memory, with its least size (one byte of LEB128) raised to 100 pages.
  const at = Buffer.from(probe).indexOf('\x03env\x06memory\x02')
  expect(at).toBeGreaterThan(0)
  const wasm = Uint8Array.from(probe)
  wasm[at + 13] = 100
  const host = await load({ wasm })
  expect(await ask(host, OTHER)).toEqual(ALLOW)
  await expect(load({ wasm, memoryPages: 99 })).rejects.toEqual(
    invalid(/^the policy does not start/),
  )
})

test.each([{ workers: 0 }, { workers: 1.5 }, { deadlineMs: 0 }, { memoryPages: 65_537 }])(
  'options %j are out of range',
  async (options) => {
    await expect(load(options)).rejects.toThrow(RangeError)
  },
)

// ------------------------------------------------------------------------------------------------------------ input

test.each([
  '{"id":"agent-1"',
  'nonsense',
  '',
  'null',
  '""',
  '0',
  'false',
  '[]',
  '{"id":"agent-1"} trailing',
  '{"id":"agent-1"} ',
  '{ "id":"agent-1"}',
  '{"id":"agent-1","id":"x"}',
  '{"id":"x","\\u0069d":"agent-1"}',
  '{"z":1,"a":1}',
  '{"n":1.}',
  '{"n":1.0}',
  '{"n":9007199254740993}',
  '{"n":9007199254740992}',
  '{"n":1e400}',
  '{"n":1e-400}',
  '{"n":-0}',
  '{"s":"\\ud800"}',
  '{"s":"\\/"}',
  '\ufeff{}',
])('input %j is not evaluated', async (text) => {
  const host = await load()
  expect(await ask(host, utf8(text))).toEqual(gateDenial('gate_input_malformed'))
})

test('input that is not UTF-8 is not evaluated', async () => {
  const host = await load()
  const bytes = Uint8Array.of(...utf8('{"s":"'), 0xff, ...utf8('"}'))
  expect(await ask(host, bytes)).toEqual(gateDenial('gate_input_malformed'))
})

test('input reaches the guest as it is', async () => {
  const texts = ['\u0000', '\u007f', '\u{1f600}', '"\\', '__proto__', 'é', 'e\u0301', '\u2028']
  const numbers = [0.1, 5e-324, 1e-7, 1.5e-300, Number.MAX_SAFE_INTEGER, -1.5]
  const result = { texts, numbers, ['__proto__']: { nested: [null, true, {}] } }
  // Below the host, which takes nothing but verdicts.
  const instance = new OpaInstance(await compilePolicy(probe), utf8('{"revoked":[]}'), 64)
  const [given] = instance.evaluate(json({ mode: 'echo', result })) as readonly JsonObject[]
  expect(json(given ?? {})).toEqual(json({ result }))
})

const ALLOW_RESULT = { effect: 'allow', reasons: [], matched: [], obligations: [] }

test('limits of the input hold', async () => {
  const host = await load()
  const padded = (length: number): Uint8Array => json({ p: 'x'.repeat(length - 8) })
  expect(padded(INPUT_BYTES_MAX).length).toBe(INPUT_BYTES_MAX)
  expect(await ask(host, padded(INPUT_BYTES_MAX))).toEqual(ALLOW)
  const over = gateDenial('gate_input_limit')
  expect(await ask(host, padded(INPUT_BYTES_MAX + 1))).toEqual(over)

  const deep = (depth: number): Uint8Array => utf8(`{"d":${'['.repeat(depth)}${']'.repeat(depth)}}`)
  expect(await ask(host, deep(31))).toEqual(ALLOW)
  expect(await ask(host, deep(32))).toEqual(over)
  expect(await ask(host, deep(20_000))).toMatchObject({ effect: 'deny' })

  const link = (grants: number) => ({ scope: Array<string>(grants).fill('a:b') })
  const chain = (links: number, grants: number): Uint8Array =>
    json({ chain: Array<JsonObject>(links).fill(link(grants)) })
  expect(await ask(host, chain(9, 64))).toEqual(ALLOW)
  expect(await ask(host, chain(10, 1))).toEqual(over)
  expect(await ask(host, chain(1, 65))).toEqual(over)
})

test('what is changed after the call is not evaluated', async () => {
  const host = await load()
  const bytes = Buffer.from(REVOKED)
  const answer = ask(host, bytes)
  bytes.set(OTHER)
  expect(await answer).toMatchObject({ reasons: ['revoked'] })
})

// ----------------------------------------------------------------------------------------------------------- faults

test('a result that is not the agreed document is a denial', async () => {
  const host = await load()
  const echo = (result: JsonObject) => ask(host, json({ mode: 'echo', result }))
  expect(await ask(host, json({ mode: 'echo' }))).toEqual(gateDenial('gate_result_count'))
  expect(await echo({ allow: true })).toEqual(gateDenial('gate_result_shape'))
  const contradictory = await echo({ ...ALLOW_RESULT, reasons: ['but'] })
  expect(contradictory).toEqual(gateDenial('gate_allow_with_reasons'))
})

test('names of a set come sorted', async () => {
  const host = await load()
  const names = Array.from({ length: 40 }, (_, i) => `rule-${i}`).toSorted()
  expect((await ask(host, json({ mode: 'set', names }))).reasons).toEqual(names)
})

test('an error is a denial, and thousands of them poison nothing', async () => {
  const host = await load()
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(host, CONFLICT)))
    for (const answer of answers) expect(answer).toEqual(gateDenial('gate_error'))
  }
  expect(await ask(host, OTHER)).toEqual(ALLOW)
  expect(await ask(host, REVOKED)).toMatchObject({ reasons: ['revoked'] })
  expect(spawned.length).toBe(1)
})

test('memory is bounded, and what exhausts it poisons nothing', async () => {
  const host = await load({ memoryPages: 32 })
  const memory = (count: number) => ask(host, json({ count, mode: 'memory' }))
  expect(await memory(100)).toEqual(ALLOW)
  expect(await memory(1_000_000)).toEqual(gateDenial('gate_memory'))
  expect(await memory(100)).toEqual(ALLOW)
  // An input that fits the limit but not the memory: the library's own growing fails, or the guest's.
  for (const memoryPages of [2, 3]) {
    const small = await load({ memoryPages, selfTest: [] })
    const large = json({ p: 'x'.repeat(65_000) })
    expect(await ask(small, large)).toEqual(gateDenial('gate_memory'))
    expect(await ask(small, OTHER)).toEqual(ALLOW)
  }
})

test('a recursion that exhausts the stack is a denial, and poisons nothing', async () => {
  const host = await load()
  const text = '['.repeat(30_000)
  const answer = await ask(host, json({ mode: 'unmarshal', text: text + ']'.repeat(30_000) }))
  expect(answer).toEqual(gateDenial('gate_stack'))
  expect(await ask(host, OTHER)).toEqual(ALLOW)
})

test('a policy that runs away is stopped, and its neighbours are answered', async () => {
  const host = await load({ deadlineMs: 300 })
  const before = await Promise.all([
    ask(host, OTHER),
    ask(host, RUNAWAY),
    ask(host, REVOKED),
    ask(host, RUNAWAY),
    ask(host, OTHER),
  ])
  expect(before[0]).toEqual(ALLOW)
  expect(before[1]).toEqual(gateDenial('gate_timeout'))
  expect(before[1]?.reproducible).toBe(false)
  expect(before[2]).toMatchObject({ reasons: ['revoked'] })
  expect(before[3]).toEqual(gateDenial('gate_timeout'))
  expect(before[4]).toEqual(ALLOW)
  // One for the start, and one for each that was stopped.
  expect(spawned.length).toBe(3)
  expect(await ask(host, OTHER)).toEqual(ALLOW)
})

// ---------------------------------------------------------------------------------------------------------- workers

test('each of many questions at once gets its own answer', async () => {
  const host = await load({ workers: 2 })
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, i) =>
      ask(host, json({ mode: 'echo', result: { ...ALLOW_RESULT, matched: [`rule-${i}`] } })),
    ),
  )
  expect(answers.map(({ matched }) => matched[0])).toEqual(answers.map((_, i) => `rule-${i}`))
})

test('more questions than may wait are denied at once', async () => {
  const host = await load()
  const answers = Array.from({ length: QUEUE_MAX + 5 }, () => ask(host, OTHER))
  const denied = await Promise.all(answers.slice(QUEUE_MAX))
  for (const answer of denied) expect(answer).toEqual(gateDenial('gate_overload'))
  for (const answer of await Promise.all(answers)) {
    expect(['allow', 'deny']).toContain(answer.effect)
  }
})

test('a worker that ends is replaced; what it was at is a denial', async () => {
  const host = await load({ deadlineMs: 60_000 })
  const running = ask(host, RUNAWAY)
  const waiting = ask(host, OTHER)
  await nextTurn()
  await spawned[0]?.terminate()
  await vi.waitFor(() => expect(spawned.length).toBe(2))
  // Where the first worker had not begun with it, it is asked again, alone, and the second worker ends with it.
  let answered = false
  void running.then(() => {
    answered = true
  })
  const second = spawned[1]
  if (second !== undefined) await once(second, 'message')
  await nextTurn()
  if (!answered) await second?.terminate()
  expect(await running).toEqual(gateDenial('gate_worker'))
  expect(await waiting).toEqual(ALLOW)
  expect(await ask(host, OTHER)).toEqual(ALLOW)
})

test('while no worker can start every answer is a denial; later the host recovers', async () => {
  const host = await load()
  const strangle = (worker: Worker): void => void worker.terminate()
  process.on('worker', strangle)
  try {
    await spawned[0]?.terminate()
    await vi.waitFor(async () => {
      expect(await ask(host, OTHER)).toEqual(gateDenial('gate_worker'))
    })
  } finally {
    process.off('worker', strangle)
  }
  await vi.waitFor(async () => expect(await ask(host, OTHER)).toEqual(ALLOW), 30_000)
})

test('a closed host denies what runs, what waits and what comes', async () => {
  const host = await load({ deadlineMs: 60_000 })
  const running = ask(host, RUNAWAY)
  const waiting = ask(host, OTHER)
  const worker = spawned[0]
  expect(worker).toBeDefined()
  const exited = worker === undefined ? undefined : once(worker, 'exit')
  await host.close()
  await exited
  for (const answer of [running, waiting, ask(host, OTHER)]) {
    expect(await answer).toEqual(gateDenial('gate_not_loaded'))
  }
})

/** Lets the batch of this turn be posted. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

/** The same module with one text in it changed for another of its length. */
function replaceBytes(wasm: Uint8Array, from: string, to: string): Uint8Array {
  const bytes = Buffer.from(wasm)
  const at = bytes.indexOf(from)
  expect(at).toBeGreaterThan(0)
  expect(to.length).toBe(from.length)
  bytes.write(to, at, 'latin1')
  return new Uint8Array(bytes)
}
