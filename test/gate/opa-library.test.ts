/**
 * Goal: know how the OPA library fails, so that a new release of it is noticed where the host relies on its failings
 * being met. Method: call the library as one naturally would and record what it answers. Every one of these is an
 * allow that should have been none, or an error in a shape that nobody expects; policy-host.test.ts shows each of them
 * stopped.
 */
import { loadPolicy } from '@open-policy-agent/opa-wasm'
import { expect, test } from 'vitest'
import { readFixture } from './fixtures.ts'

const REVOKED = { id: 'agent-1' }
const ALLOWED = [{ result: { effect: 'allow', reasons: [], matched: [], obligations: [] } }]
const DENIED = [{ result: { effect: 'deny', reasons: ['revoked'], matched: [], obligations: [] } }]

async function loadRevoking() {
  const policy = await loadPolicy(new Uint8Array(readFixture('probe')), {
    initial: 8,
    maximum: 64,
  })
  policy.setData({ revoked: ['agent-1'] })
  expect(policy.evaluate(REVOKED)).toEqual(DENIED)
  return policy
}

function arrayBuffer(text: string): ArrayBuffer {
  const bytes = new TextEncoder().encode(text)
  const own = new ArrayBuffer(bytes.length)
  new Uint8Array(own).set(bytes)
  return own
}

test.each([
  '{"revoked":["agent-1","agent-2","agent-3","agent-4","agent-5","agent-6"',
  '[[[[[[[[[[[',
  `"${'x'.repeat(300)}`,
])('data that does not parse is lost, and a revoked agent allowed: %j', async (data) => {
  const policy = await loadRevoking()
  expect(() => policy.setData(arrayBuffer(data))).toThrow()
  expect(policy.evaluate(REVOKED)).toEqual(ALLOWED)
})

test('data in a Buffer is lost, and a revoked agent allowed', async () => {
  const policy = await loadRevoking()
  policy.setData(Buffer.from('{"revoked":["agent-1"]}') as unknown as object)
  expect(policy.evaluate(REVOKED)).toEqual(ALLOWED)
})

test('input in a Buffer is lost, and a revoked agent allowed', async () => {
  const policy = await loadRevoking()
  expect(policy.evaluate(Buffer.from(JSON.stringify(REVOKED)))).toEqual(ALLOWED)
})

test.each(['{"id":"agent-1"', 'nonsense', ''])('input %j is no input: allowed', async (text) => {
  const policy = await loadRevoking()
  expect(policy.evaluate(arrayBuffer(text))).toEqual(ALLOWED)
})

test.each([null, undefined, '', 0, false])('input %j is no input: allowed', async (input) => {
  const policy = await loadRevoking()
  expect(policy.evaluate(input)).toEqual(ALLOWED)
})

test('text after the input is ignored, and of two equal keys the last counts', async () => {
  const policy = await loadRevoking()
  expect(policy.evaluate(arrayBuffer('{"id":"agent-1"} trailing'))).toEqual(DENIED)
  expect(policy.evaluate(arrayBuffer('{"id":"agent-1","id":"x"}'))).toEqual(ALLOWED)
})

test('an instance that threw often enough fails for ever', async () => {
  const policy = await loadRevoking()
  for (let i = 0; i < 2000; i += 1) {
    expect(() => policy.evaluate({ mode: 'conflict' })).toThrow()
  }
  expect(() => policy.evaluate(REVOKED)).toThrow()
})

test('what is thrown may be a string', async () => {
  const policy = await loadRevoking()
  let thrown: unknown
  try {
    policy.evaluate({ mode: 'conflict' })
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeTypeOf('string')
})

test('a missing builtin is found only when it is called, and thrown as an object', async () => {
  const policy = await loadPolicy(new Uint8Array(readFixture('clock')))
  let thrown: unknown
  try {
    policy.evaluate({})
  } catch (error) {
    thrown = error
  }
  expect(thrown).not.toBeInstanceOf(Error)
  expect(thrown).toMatchObject({ message: expect.stringContaining('not implemented') })
})

test('names of a set come in the order of their hashes', async () => {
  const policy = await loadRevoking()
  const names = Array.from({ length: 40 }, (_, i) => `rule-${i}`).toSorted()
  const [answer] = policy.evaluate({ mode: 'set', names }) as [{ result: { reasons: string[] } }]
  expect(answer.result.reasons).not.toEqual(names)
  expect(answer.result.reasons.toSorted()).toEqual(names)
})
