/**
 * Goal: a permit is accepted by the one resource it is for, while it lives, and as its key signed it. Method: each member
 * broken once, by name; each expectation of §10.6 missed once; every bit of a part flipped; arbitrary text.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64url, toBase64url, utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { canonicalJson, type JsonValue } from '../../proofs/json.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { parsePermit, type PermitFields, signPermit, verifyPermit } from '../../proofs/permit.ts'
import { codeOf, flipBit } from '../support/proof-code.ts'
import {
  CHILD,
  compact,
  type JsonRecord,
  ORIGIN,
  patched,
  signer,
} from '../support/statement-signer.ts'

const key = signer('EdDSA', 1)
const other = signer('EdDSA', 2)
const agent = signer('ES256', 3)
const NOW_S = 1_800_000_000
const fields: PermitFields = {
  origin: ORIGIN,
  instance: CHILD,
  instanceKid: agent.kid,
  decisionId: toBase64url(new Uint8Array(16)),
  index: 12,
  action: 'read:reports/2026',
  resource: { type: 'file', id: 'reports/2026.csv' },
  actionDigest: new Uint8Array(32).fill(1),
  salt: new Uint8Array(16).fill(2),
  obligations: ['redact.iban', 'notify'],
  iatS: NOW_S,
}
const good = signPermit(key.kid, fields, key.sign)
const [goodHead = '', goodBody = ''] = good.split('.')
const header = { alg: 'EdDSA', kid: key.kid, typ: 'vnd.trustwarden.permit' }
const claims = JSON.parse(utf8Decode(fromBase64url(goodBody))) as JsonRecord
const canonical = (value: JsonRecord): string =>
  new TextDecoder().decode(canonicalJson(value as Record<string, JsonValue>))
/** So many distinct names, as long as a name can be. */
const longNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => String(at).padStart(128, 'a'))
const expected = { permitSpki: key.spki, origin: ORIGIN, audience: fields.resource.id, nowS: NOW_S }

test('round trip, and the members of FORMAT §10.6', () => {
  const permit = parsePermit(good)
  expect(permit).toMatchObject({ ...fields, expS: NOW_S + 30, kid: key.kid })
  expect(signPermit(permit.kid, permit, () => permit.signature)).toBe(good)
  signPermit(key.kid, fields, (input) => {
    expect(input).toEqual(permit.signingInput)
    return key.sign(input)
  })
  expect(verifyPermit(p, good, expected)).toEqual(permit)
  expect(claims).toEqual({
    iss: ORIGIN,
    sub: CHILD,
    aud: 'reports/2026.csv',
    cnf: { kid: agent.kid },
    decision: 'AAAAAAAAAAAAAAAAAAAAAA',
    index: 12,
    action: 'read:reports/2026',
    resource: { type: 'file', id: 'reports/2026.csv' },
    action_digest: toBase64url(fields.actionDigest),
    salt: toBase64url(fields.salt),
    obligations: ['redact.iban', 'notify'],
    iat: NOW_S,
    exp: NOW_S + 30,
  })
})

describe('claims', () => {
  const codeWith = (patch: JsonRecord) =>
    codeOf(() => parsePermit(compact(key, canonical(header), canonical(patched(claims, patch)))))

  test.each(Object.keys(claims))('%s is required', (name) => {
    expect(codeWith({ [name]: undefined })).toBe('claim_missing')
  })

  test.each([
    ['good', {}, 'accepted'],
    ['iss no origin', { iss: 'x' }, 'claim_invalid'],
    ['sub a name', { sub: 'spiffe://example.com/a' }, 'spiffe_id_invalid'],
    ['aud empty', { aud: '' }, 'claim_invalid'],
    ['aud of 513', { aud: 'x'.repeat(513) }, 'claim_invalid'],
    ['cnf text', { cnf: agent.kid }, 'claim_invalid'],
    ['aud another resource', { aud: 'reports/2025.csv' }, 'claim_invalid'],
    ['resource with another member', { resource: { ...fields.resource, x: 1 } }, 'malformed'],
    ['resource id with a control', { resource: { type: 'file', id: 'a\u0000' } }, 'claim_invalid'],
    ['no obligation', { obligations: [] }, 'accepted'],
    ['obligations text', { obligations: 'redact' }, 'claim_invalid'],
    ['an obligation no name', { obligations: ['redact iban'] }, 'claim_invalid'],
    ['an obligation twice', { obligations: ['a', 'a'] }, 'claim_invalid'],
    ['cnf.kid no key id', { cnf: { kid: 'x' } }, 'claim_invalid'],
    ['cnf.jkt', { cnf: { jkt: agent.kid } }, 'claim_missing'],
    ['decision of 15 bytes', { decision: 'AAAAAAAAAAAAAAAAAAAA' }, 'claim_invalid'],
    ['index negative', { index: -1 }, 'claim_invalid'],
    ['action with a wildcard', { action: 'read:*' }, 'scope_invalid'],
    ['digest of 16 bytes', { action_digest: 'AAAAAAAAAAAAAAAAAAAAAA' }, 'claim_invalid'],
    ['salt of 15 bytes', { salt: 'AAAAAAAAAAAAAAAAAAAA' }, 'claim_invalid'],
    ['31 s of life', { exp: NOW_S + 31 }, 'claim_invalid'],
    ['29 s of life', { exp: NOW_S + 29 }, 'claim_invalid'],
    ['nbf', { nbf: 1 }, 'malformed'],
  ])('%s', (_, patch, code) => expect(codeWith(patch)).toBe(code))

  const unasked = (): Uint8Array => {
    throw new Error('signed what is refused')
  }
  test.each([
    ['action with a wildcard', { action: '*:a' }, 'scope_invalid'],
    ['half a second', { iatS: 0.5 }, 'claim_invalid'],
    ['an obligation twice', { obligations: ['a', 'a'] }, 'claim_invalid'],
    ['a digest of 31 bytes', { actionDigest: new Uint8Array(31) }, 'claim_invalid'],
    ['no resource id', { resource: { type: 'file', id: '' } }, 'claim_invalid'],
    ['longer than a permit', { obligations: longNames(128) }, 'too_large'],
  ])('signPermit makes none that parsePermit refuses: %s', (_, patch, code) => {
    expect(codeOf(() => signPermit(key.kid, { ...fields, ...patch }, unasked))).toBe(code)
  })

  test('signPermit refuses another key id, and what is no signature', () => {
    expect(codeOf(() => signPermit('x', fields, unasked))).toBe('claim_invalid')
    expect(codeOf(() => signPermit(key.kid, fields, () => new Uint8Array(63)))).toBe('malformed')
  })
})

describe('form', () => {
  const text = canonical(claims)
  const withHeader = (patch: JsonRecord) => compact(key, canonical(patched(header, patch)), text)
  test.each([
    ['another alg', withHeader({ alg: 'ES256' }), 'algorithm_unsupported'],
    ['alg none', withHeader({ alg: 'none' }), 'algorithm_unsupported'],
    ['another typ', withHeader({ typ: 'vnd.trustwarden.decision' }), 'type_mismatch'],
    ['no kid', withHeader({ kid: undefined }), 'claim_missing'],
    ['crit', withHeader({ crit: [] }), 'malformed'],
    ['header not canonical', compact(key, `${canonical(header)} `, text), 'not_canonical'],
    ['payload not canonical', compact(key, canonical(header), `${text}\n`), 'not_canonical'],
    ['two parts', `${goodHead}.${goodBody}`, 'malformed'],
    ['empty', '', 'malformed'],
    ['short signature', `${goodHead}.${goodBody}.AAAA`, 'malformed'],
    ['payload no object', compact(key, canonical(header), '[]'), 'claim_invalid'],
    ['too long', `${good}${'A'.repeat(16_384)}`, 'too_large'],
  ])('%s', (_, permit, code) => expect(codeOf(() => parsePermit(permit))).toBe(code))

  test('arbitrary text', () => {
    const part = fc.uint8Array({ maxLength: 40 }).map(toBase64url)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(part, part, part).map((all) => all.join('.')),
        ),
        (any) => {
          expect(codeOf(() => parsePermit(any))).not.toBe('accepted')
        },
      ),
    )
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(claims)), fc.jsonValue(), (name, value) => {
        const permit = compact(key, canonical(header), JSON.stringify({ ...claims, [name]: value }))
        expect(typeof codeOf(() => parsePermit(permit))).toBe('string')
      }),
    )
  })
})

describe('verifying', () => {
  test.each([
    ['good', {}, 'accepted'],
    ['another key', { permitSpki: other.spki }, 'key_mismatch'],
    ['another log', { origin: 'other.example/logs/main' }, 'origin_mismatch'],
    ['another resource', { audience: 'reports/2025.csv' }, 'audience_mismatch'],
    ['in its last second', { nowS: NOW_S + 29 }, 'accepted'],
    ['ended', { nowS: NOW_S + 30 }, 'claim_invalid'],
    ['a clock 5 s behind', { nowS: NOW_S - 5 }, 'accepted'],
    ['a clock 6 s behind', { nowS: NOW_S - 6 }, 'claim_invalid'],
  ])('%s', (_, patch, code) => {
    expect(codeOf(() => verifyPermit(p, good, { ...expected, ...patch }))).toBe(code)
  })

  test('a permit key that is not Ed25519, or no key', () => {
    const byAgent = signPermit(agent.kid, fields, agent.sign)
    const call = () => verifyPermit(p, byAgent, { ...expected, permitSpki: agent.spki })
    expect(codeOf(call)).toBe('algorithm_unsupported')
    const permitSpki = Uint8Array.of(1)
    const byNobody = signPermit(toBase64url(p.sha256(permitSpki)), fields, () => new Uint8Array(64))
    expect(codeOf(() => verifyPermit(p, byNobody, { ...expected, permitSpki }))).toBe('key_invalid')
  })

  test('no bit can change', () => {
    const bytes = utf8Encode(good)
    fc.assert(
      fc.property(fc.nat({ max: bytes.length * 8 - 1 }), (bit) => {
        const flipped = new TextDecoder('latin1').decode(flipBit(bytes, bit))
        expect(codeOf(() => verifyPermit(p, flipped, expected))).not.toBe('accepted')
      }),
      { numRuns: 300 },
    )
  })

  test('another signature', () => {
    const forged = signPermit(key.kid, fields, other.sign)
    expect(codeOf(() => verifyPermit(p, forged, expected))).toBe('signature_invalid')
  })
})
