/**
 * Goal: a policy has one encoding and one digest, and nothing else is read. Method: a known vector, every single
 * changed byte of it, limits, and what leaves as an error.
 */
import { createHash } from 'node:crypto'
import { encodeCbor } from '@trustwarden/proofs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import {
  decodePolicy,
  encodePolicy,
  POLICY_BYTES_MAX,
  policyDigest,
} from '../../src/gate/policy-pack.ts'
import { workerUrl } from '../../src/worker-url.ts'

const small = { wasm: Uint8Array.of(0, 0x61), data: Uint8Array.of(0x7b, 0x7d), revision: 'r1' }
const invalid = expect.objectContaining({ code: 'policy_invalid' })

test('a policy is the CBOR of FORMAT §10.5', () => {
  const bytes = encodePolicy(small)
  expect(Buffer.from(bytes).toString('hex')).toBe('a4000101420061' + '02427b7d' + '03627231')
  expect(decodePolicy(bytes)).toEqual(small)
  const digest = createHash('sha256').update(bytes).digest()
  expect(Buffer.from(policyDigest(bytes)).equals(digest)).toBe(true)
})

test('the shipped policy survives', () => {
  const policy = readDefaultPolicy()
  const decoded = decodePolicy(encodePolicy(policy))
  expect(Buffer.compare(decoded.wasm, policy.wasm)).toBe(0)
  expect(Buffer.compare(decoded.data, policy.data)).toBe(0)
  expect(decoded.revision).toMatch(/^default-[0-9a-f]{12}$/)
})

test('every changed byte is refused or is another policy', () => {
  const bytes = encodePolicy(small)
  for (let at = 0; at < bytes.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      let decoded: ReturnType<typeof decodePolicy>
      try {
        decoded = decodePolicy(changed)
      } catch (error) {
        expect(error).toEqual(invalid)
        continue
      }
      expect(encodePolicy(decoded)).toEqual(changed)
    }
  }
})

test('arbitrary bytes give policy_invalid and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(() => decodePolicy(bytes)).toThrow(invalid)
    }),
  )
})

test.each([
  [
    'another version',
    [
      [0, 2],
      [1, small.wasm],
      [2, small.data],
      [3, 'r'],
    ],
  ],
  [
    'another key',
    [
      [0, 1],
      [1, small.wasm],
      [2, small.data],
      [3, 'r'],
      [4, 0],
    ],
  ],
  [
    'a missing key',
    [
      [0, 1],
      [1, small.wasm],
      [2, small.data],
    ],
  ],
  [
    'text for bytes',
    [
      [0, 1],
      [1, 'wasm'],
      [2, small.data],
      [3, 'r'],
    ],
  ],
  [
    'an empty revision',
    [
      [0, 1],
      [1, small.wasm],
      [2, small.data],
      [3, ''],
    ],
  ],
  [
    'a revision of two lines',
    [
      [0, 1],
      [1, small.wasm],
      [2, small.data],
      [3, 'a\nb'],
    ],
  ],
] as const)('%s is refused', (_, entries) => {
  const bytes = encodeCbor(new Map<number, number | string | Uint8Array>(entries))
  expect(() => decodePolicy(bytes)).toThrow(invalid)
})

test('limits hold in both directions', () => {
  const fits = { ...small, wasm: new Uint8Array(POLICY_BYTES_MAX - 17) }
  expect(decodePolicy(encodePolicy(fits)).wasm.length).toBe(fits.wasm.length)
  const over = { ...small, wasm: new Uint8Array(POLICY_BYTES_MAX) }
  expect(() => encodePolicy(over)).toThrow(invalid)
  expect(() => decodePolicy(new Uint8Array(POLICY_BYTES_MAX + 1))).toThrow(invalid)
  expect(() => encodePolicy({ ...small, revision: 'r'.repeat(129) })).toThrow(invalid)
  expect(() => encodePolicy({ ...small, revision: '\ud800' })).toThrow(invalid)
})

test('a worker is always compiled JavaScript', () => {
  const source = 'file:///a/src/b/src/gate/policy-pool.ts'
  expect(workerUrl(source, './w.ts').href).toBe('file:///a/src/b/dist/gate/w.js')
  expect(workerUrl('file:///a/dist/gate/policy-pool.js', './w.ts').href).toBe(
    'file:///a/dist/gate/w.js',
  )
  expect(() => workerUrl('file:///a/b.ts', './w.ts')).toThrow('not under src')
})
