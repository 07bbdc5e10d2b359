/**
 * Goal: a payload is accepted with exactly the disclosures that it commits to. Method: each rule of FORMAT §4 broken once,
 * by name; the digest of RFC 9901's own example; random values that must come back; arbitrary text.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import {
  checkDisclosures,
  disclosableNames,
  disclosureDigest,
  makeDisclosure,
  parseDisclosure,
  readCommitments,
} from '../../proofs/disclosure.ts'
import type { JsonObject, JsonValue } from '../../proofs/json.ts'
import { KINDS } from '../../proofs/kinds.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { codeOf } from '../support/proof-code.ts'
import { commitmentsTo, disclosure } from '../support/statement-signer.ts'

const SALT = new Uint8Array(16).fill(9)
const details = disclosure('details', { a: 1 })
const salt = disclosure('salt', 'x', 2)
const both = commitmentsTo(details, salt) as JsonObject
const NAMES = ['details', 'salt']

test('the example of RFC 9901 §4.2.1 and §4.2.3', () => {
  const text = 'WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0'
  expect(parseDisclosure(text)).toMatchObject({ name: 'family_name', value: 'Möbius' })
  expect(disclosureDigest(p, text)).toBe('X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0')
})

function encoded(value: unknown): string {
  return toBase64url(utf8Encode(typeof value === 'string' ? value : JSON.stringify(value)))
}

function nested(depth: number): JsonValue {
  let value: JsonValue = 1
  for (let level = 0; level < depth; level += 1) value = [value]
  return value
}

describe('one disclosure', () => {
  const s = toBase64url(SALT)
  test.each([
    ['good', encoded([s, 'details', null]), 'accepted'],
    ['with white space', encoded(`[ "${s}", "details", {} ]`), 'accepted'],
    ['over 16 KiB', 'A'.repeat(16_385), 'too_large'],
    ['no base64url', '=', 'malformed'],
    ['no JSON', encoded('['), 'malformed'],
    ['no array', encoded({}), 'malformed'],
    ['two elements', encoded([s, 'a']), 'malformed'],
    ['four elements', encoded([s, 'a', 1, 2]), 'malformed'],
    ['salt no text', encoded([1, 'a', 1]), 'malformed'],
    ['salt no base64url', encoded(['.'.repeat(22), 'a', 1]), 'malformed'],
    ['salt of 15 bytes', encoded([toBase64url(SALT.subarray(1)), 'a', 1]), 'claim_invalid'],
    ['name no text', encoded([s, 1, 1]), 'malformed'],
    ['name _sd', encoded([s, '_sd', 1]), 'claim_invalid'],
    ['name _sd_alg', encoded([s, '_sd_alg', 1]), 'claim_invalid'],
    ['name ...', encoded([s, '...', 1]), 'claim_invalid'],
    ['30 levels', encoded([s, 'a', nested(30)]), 'accepted'],
    ['31 levels', encoded([s, 'a', nested(31)]), 'too_large'],
  ])('%s', (_, text, code) => {
    expect(codeOf(() => parseDisclosure(text))).toBe(code)
  })

  test('makeDisclosure writes only what parseDisclosure reads', () => {
    expect(codeOf(() => makeDisclosure(SALT.subarray(1), 'a', 1))).toBe('claim_invalid')
    expect(codeOf(() => makeDisclosure(SALT, '_sd', 1))).toBe('claim_invalid')
    expect(codeOf(() => makeDisclosure(SALT, 'a', 'x'.repeat(12_289)))).toBe('too_large')
  })

  test('random values come back', () => {
    const value = fc.jsonValue({ maxDepth: 3 }).filter((one) => !JSON.stringify(one).includes('-0'))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 40 }), value, (bytes, any) => {
        const plain = JSON.parse(JSON.stringify(any)) as JsonValue
        let text: string
        try {
          text = makeDisclosure(bytes, 'name', plain)
        } catch {
          return
        }
        const parsed = parseDisclosure(text)
        expect(parsed).toMatchObject({ text, salt: bytes, name: 'name' })
        expect(JSON.parse(JSON.stringify(parsed.value))).toEqual(plain)
      }),
    )
  })
})

describe('commitments', () => {
  const { _sd: digests, _sd_alg: alg } = both
  const [first, second] = digests as string[]
  test.each([
    ['none', {}, 'accepted'],
    ['good', both, 'accepted'],
    ['no _sd_alg', { _sd: digests }, 'claim_missing'],
    ['no _sd', { _sd_alg: alg }, 'claim_missing'],
    ['another algorithm', { ...both, _sd_alg: 'sha-512' }, 'claim_invalid'],
    ['no array', { ...both, _sd: first }, 'claim_invalid'],
    ['empty', { ...both, _sd: [] }, 'claim_invalid'],
    ['a digest twice', { ...both, _sd: [first, first] }, 'claim_invalid'],
    ['out of order', { ...both, _sd: [second, first] }, 'not_canonical'],
    ['a digest of 31 bytes', { ...both, _sd: [toBase64url(new Uint8Array(31))] }, 'claim_invalid'],
    ['a second form of a digest', { ...both, _sd: [`${'A'.repeat(42)}B`] }, 'not_canonical'],
    ['no text', { ...both, _sd: [1] }, 'claim_invalid'],
    ['17 digests', commitmentsTo(...manyDisclosures(17)), 'too_large'],
    ['16 digests', commitmentsTo(...manyDisclosures(16)), 'accepted'],
  ])('%s', (_, payload, code) => {
    expect(codeOf(() => readCommitments(payload as JsonObject))).toBe(code)
  })
})

function manyDisclosures(count: number): string[] {
  return Array.from({ length: count }, (_, at) => disclosure(`n${at}`, at))
}

describe('disclosures of a payload', () => {
  const large = Array.from({ length: 4 }, (_, at) => disclosure(`n${at}`, 'x'.repeat(6_200)))
  const again = disclosure('details', 2, 3)
  const other = disclosure('other', 1)
  test.each([
    ['good', both, [details, salt], 'accepted'],
    ['in another order', both, [salt, details], 'accepted'],
    ['none', {}, [], 'accepted'],
    ['one missing', both, [details], 'disclosure_missing'],
    ['all missing', both, [], 'disclosure_missing'],
    ['one more', commitmentsTo(details), [details, salt], 'disclosure_unmatched'],
    ['one without a digest', {}, [details], 'disclosure_unmatched'],
    ['one twice', commitmentsTo(details), [details, details], 'disclosure_unmatched'],
    ['name twice', commitmentsTo(details, again), [details, again], 'claim_invalid'],
    ['name not allowed', commitmentsTo(other), [other], 'claim_invalid'],
    ['in the clear', { details: 1 }, [], 'clear_detail'],
    ['in the clear and disclosed', { ...both, details: 1 }, [details, salt], 'clear_detail'],
    ['not a disclosure', {}, ['='], 'malformed'],
    ['17', {}, manyDisclosures(17), 'too_large'],
    ['over 32 KiB together', commitmentsTo(...large), large, 'too_large'],
  ])('%s', (_, payload, given, code) => {
    const call = () => checkDisclosures(p, payload as JsonObject, given, NAMES)
    expect(codeOf(call)).toBe(code)
  })

  test('values by name', () => {
    const values = checkDisclosures(p, both, [details, salt], NAMES)
    expect([...values.keys()]).toEqual(['details', 'salt'])
    expect(values.get('salt')).toBe('x')
  })

  test('arbitrary payloads and texts are refused with a code', () => {
    const payload = fc.dictionary(fc.constantFrom('_sd', '_sd_alg', 'details', 'a'), fc.jsonValue())
    fc.assert(
      fc.property(payload, fc.array(fc.string()), (object, texts) => {
        const call = () => checkDisclosures(p, object as JsonObject, texts, NAMES)
        expect(typeof codeOf(call)).toBe('string')
      }),
    )
  })

  test('arbitrary arrays are read or refused with a code', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(typeof codeOf(() => parseDisclosure(encoded(JSON.stringify(value))))).toBe('string')
      }),
    )
  })
})

test('what each type may disclose', () => {
  const types = new Set([...KINDS.values()].map(({ type }) => type))
  const disclosing = [...types].filter((type) => disclosableNames(type).length > 0)
  expect(disclosing.sort()).toEqual([
    'action',
    'agent.revoke',
    'decision',
    'member.enroll',
    'owner.enroll',
  ])
})
