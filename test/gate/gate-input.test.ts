/**
 * Goal: a policy is asked about the one canonical form of a document within the gate's limits, whoever wrote it. Method:
 * what is written here is read again as what others wrote would be, at each limit and one beyond.
 */
import { policyInput, type PolicyInput } from '@trustwarden/proofs'
import { expect, test } from 'vitest'
import {
  CHAIN_LINKS_MAX,
  GateInput,
  INPUT_BYTES_MAX,
  LINK_GRANTS_MAX,
} from '../../src/gate/gate-input.ts'

const asked: PolicyInput = {
  agent: { identity: 'spiffe://a.example/b', instance: 'i', owner: 'owner:x', depth: 0 },
  chain: [{ instance: 'i', scope: ['read:**'] }],
  action: 'read:reports',
  actionProperties: {},
  resource: { type: 'file', id: 'r' },
  resourceProperties: {},
  context: {},
  nowMs: 1,
  stateSize: 2,
}

function chain(links: number, grants: number): PolicyInput['chain'] {
  const scope = Array.from({ length: grants }, (_, at) => `read:a${at}`)
  return Array.from({ length: links }, (_, at) => ({ instance: `i${at}`, scope }))
}

/** The request, padded to this length. */
function long(length: number): PolicyInput {
  const padding = length - policyInput({ ...asked, context: { x: '' } }).length
  return { ...asked, context: { x: 'x'.repeat(padding) } }
}

test.each<[string, PolicyInput, string | undefined]>([
  ['usual', asked, undefined],
  ['the longest', long(INPUT_BYTES_MAX), undefined],
  ['a byte longer', long(INPUT_BYTES_MAX + 1), 'gate_input_limit'],
  ['most links', { ...asked, chain: chain(CHAIN_LINKS_MAX, 1) }, undefined],
  ['a link more', { ...asked, chain: chain(CHAIN_LINKS_MAX + 1, 1) }, 'gate_input_limit'],
  ['most grants', { ...asked, chain: chain(1, LINK_GRANTS_MAX) }, undefined],
  ['a grant more', { ...asked, chain: chain(1, LINK_GRANTS_MAX + 1) }, 'gate_input_limit'],
  ['text beyond ASCII', { ...asked, context: { ü: '\u{1f600}"\\\n' } }, undefined],
])('%s: written and read alike', (_, input, fault) => {
  const written = GateInput.write(input)
  expect(written.fault).toBe(fault)
  expect(written.bytes).toEqual(policyInput(input))
  const read = GateInput.read(written.bytes)
  expect(read.fault).toBe(fault)
  expect(read.bytes).toEqual(written.bytes)
})

test('what others wrote is copied', () => {
  const bytes = new TextEncoder().encode('{}')
  const read = GateInput.read(bytes)
  bytes.fill(0)
  expect(new TextDecoder().decode(read.bytes)).toBe('{}')
})
