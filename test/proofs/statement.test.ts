/**
 * Goal: a statement in JWS is read in one way or not at all, and verifies only as addressed, typed and signed. Method: each rule
 * of FORMAT §3 broken once, by name; the order of §3.4; every bit of the signed bytes flipped; arbitrary bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import { keyId, namedKey, parseSpki } from '../../proofs/key.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { parseKid, parsePrincipal, parseSubject, parseTrustDomain } from '../../proofs/principal.ts'
import {
  checkUnsigned,
  contentDigest,
  formatStatement,
  MEDIA_COSE,
  parseStatement,
  type SigningHeader,
  signingInput,
  verifyStatement,
} from '../../proofs/statement.ts'
import { codeOf, flipBit } from '../support/proof-code.ts'
import {
  CHILD,
  compact,
  headerOf,
  ORIGIN,
  otherSignature,
  patched,
  signer,
} from '../support/statement-signer.ts'

const owner = signer('EdDSA', 1)
const agent = signer('ES256', 2)
const OWNER = `owner:${owner.kid}`
const byOwner = headerOf(owner, 'erasure', OWNER, 'log')
const byAgent = headerOf(agent, 'decision', CHILD, CHILD)
const good = compact(agent, byAgent, '{"a": 1}')
const [HEAD = '', BODY = '', TAIL = ''] = good.split('.')

describe('round trip', () => {
  test.each([
    ['owner', owner, OWNER, undefined],
    ['instance', agent, CHILD, 7],
  ] as const)('%s', (_, by, iss, seq) => {
    const header: SigningHeader = {
      alg: by.alg,
      kid: by.kid,
      type: 'agent.revoke',
      aud: ORIGIN,
      iss,
      sub: `owner:${owner.kid}`,
      iat: 0,
      jti: 'A-z0.9_:',
      ...(seq === undefined ? {} : { seq }),
    }
    const payload = utf8Encode('{ "b": [], "a": 1 }')
    const input = signingInput(header, payload)
    const text = formatStatement(header, payload, by.sign(input))
    const parsed = parseStatement(text)
    expect(parsed.header).toEqual({ ...header, typ: 'vnd.trustwarden.agent.revoke' })
    expect(parsed.payloadBytes).toEqual(payload)
    expect(parsed.payload).toEqual({ a: 1, b: [] })
    expect(parsed.signingInput).toEqual(input)
    expect(parsed.bytes).toEqual(utf8Encode(text))
    expect(parseStatement(utf8Encode(text))).toEqual(parsed)
    expect(contentDigest(p, parsed)).toEqual(p.sha256(input))
    expect(formatStatement(parsed.header, parsed.payloadBytes, parsed.signature)).toBe(text)
    verifyStatement(p, parsed, { spki: by.spki, origin: ORIGIN, type: 'agent.revoke' })
    verifyStatement(p, parsed, { spki: by.spki, origin: ORIGIN })
  })

  test('the bytes of a statement are those received', () => {
    const bytes = utf8Encode(good)
    expect(parseStatement(bytes).bytes).toBe(bytes)
  })

  test('two signatures over one content are one statement', () => {
    const first = parseStatement(good)
    const text = `${HEAD}.${BODY}.${toBase64url(otherSignature(first.signature))}`
    const second = parseStatement(text)
    expect(second.bytes).not.toEqual(first.bytes)
    expect(contentDigest(p, second)).toEqual(contentDigest(p, first))
    verifyStatement(p, second, { spki: agent.spki, origin: ORIGIN })
  })
})

describe('envelope', () => {
  const long = compact(agent, byAgent, { text: 'x'.repeat(32_768) })
  const overhead = good.length - BODY.length
  const room = Math.floor(((32_768 - overhead) * 3) / 4)
  const longest = compact(agent, byAgent, `{"a":"${'x'.repeat(room - 8)}"}`)
  test.each([
    ['good', good, undefined, 'accepted'],
    ['said to be COSE', good, MEDIA_COSE, 'malformed'],
    ['another media type', good, 'text/plain', 'envelope_unsupported'],
    ['over 32 KiB', long, undefined, 'too_large'],
    ['at the limit', longest, undefined, 'accepted'],
    ['empty', '', undefined, 'malformed'],
    ['two parts', `${HEAD}.${BODY}`, undefined, 'malformed'],
    ['four parts', `${good}.AA`, undefined, 'malformed'],
    ['empty payload', `${HEAD}..${TAIL}`, undefined, 'malformed'],
    ['padding', `${good}==`, undefined, 'malformed'],
    ['newline at the end', `${good}\n`, undefined, 'malformed'],
    ['short signature', `${HEAD}.${BODY}.AAAA`, undefined, 'malformed'],
    ['signature with trailing bits', `${good.slice(0, -1)}_`, undefined, 'not_canonical'],
    ['header no JSON', `AAAA.${BODY}.${TAIL}`, undefined, 'malformed'],
    ['payload no JSON', `${HEAD}.AAAA.${TAIL}`, undefined, 'malformed'],
    ['payload no object', compact(agent, byAgent, [1]), undefined, 'malformed'],
    ['payload null', compact(agent, byAgent, 'null'), undefined, 'malformed'],
    ['payload with a key twice', compact(agent, byAgent, '{"a":1,"a":1}'), undefined, 'malformed'],
    [
      'payload with an unsafe integer',
      compact(agent, byAgent, '{"a":9007199254740992}'),
      undefined,
      'malformed',
    ],
    ['header no object', compact(agent, [1], {}), undefined, 'malformed'],
  ])('%s', (_, text, media, code) => {
    expect(codeOf(() => parseStatement(text, media))).toBe(code)
    expect(codeOf(() => parseStatement(utf8Encode(text), media))).toBe(code)
  })

  test('longest is at the limit', () => expect(32_768 - longest.length).toBeLessThan(4))

  test('bytes that are not UTF-8', () => {
    expect(codeOf(() => parseStatement(Uint8Array.of(0xff)))).toBe('malformed')
  })
})

describe('header of an instance', () => {
  test.each([
    ['alg', { alg: 'RS256' }, 'algorithm_unsupported'],
    ['alg none', { alg: 'none' }, 'algorithm_unsupported'],
    ['alg a number', { alg: 7 }, 'claim_invalid'],
    ['no alg', { alg: undefined }, 'claim_missing'],
    ['short kid', { kid: 'AAAA' }, 'claim_invalid'],
    ['kid no base64url', { kid: '='.repeat(43) }, 'malformed'],
    ['kid in a second form', { kid: `${'A'.repeat(42)}B` }, 'not_canonical'],
    ['no kid', { kid: undefined }, 'claim_missing'],
    ['typ of another family', { typ: 'JWT' }, 'claim_invalid'],
    ['typ without a type', { typ: 'vnd.trustwarden.' }, 'claim_invalid'],
    ['typ in capitals', { typ: 'vnd.trustwarden.Genesis' }, 'claim_invalid'],
    ['a type to come', { typ: 'vnd.trustwarden.agent.renew' }, 'accepted'],
    ['no typ', { typ: undefined }, 'claim_missing'],
    ['aud no origin', { aud: 'https://log.example/logs/main' }, 'claim_invalid'],
    ['aud too long', { aud: `${'a'.repeat(128)}/logs/main` }, 'claim_invalid'],
    ['aud a list', { aud: [ORIGIN] }, 'claim_invalid'],
    ['no aud', { aud: undefined }, 'claim_missing'],
    ['iss unknown', { iss: 'somebody' }, 'claim_invalid'],
    ['iss a name', { iss: 'spiffe://example.com/finance' }, 'spiffe_id_invalid'],
    ['no iss', { iss: undefined }, 'claim_missing'],
    ['empty sub', { sub: '' }, 'claim_invalid'],
    ['sub of 2048', { sub: 'x'.repeat(2048) }, 'accepted'],
    ['sub of 2048 outside the plane', { sub: '😀'.repeat(2048) }, 'accepted'],
    ['sub of 2049', { sub: 'x'.repeat(2049) }, 'claim_invalid'],
    ['no sub', { sub: undefined }, 'claim_missing'],
    ['iat negative', { iat: -1 }, 'claim_invalid'],
    ['iat a fraction', { iat: 0.5 }, 'claim_invalid'],
    ['iat text', { iat: '1' }, 'claim_invalid'],
    ['no iat', { iat: undefined }, 'claim_missing'],
    ['empty jti', { jti: '' }, 'claim_invalid'],
    ['jti of 65', { jti: 'x'.repeat(65) }, 'claim_invalid'],
    ['jti with a space', { jti: 'a b' }, 'claim_invalid'],
    ['no jti', { jti: undefined }, 'claim_missing'],
    ['seq 0', { seq: 0 }, 'claim_invalid'],
    ['seq 2^53−1', { seq: Number.MAX_SAFE_INTEGER }, 'accepted'],
    ['no seq', { seq: undefined }, 'claim_missing'],
    ['crit', { crit: ['exp'] }, 'malformed'],
    ['exp', { exp: 1 }, 'malformed'],
  ])('%s', (_, patch, code) => {
    const text = compact(agent, patched(byAgent, patch), {})
    expect(codeOf(() => parseStatement(text))).toBe(code)
  })
})

test.each([
  ['good', {}, 'accepted'],
  ['seq', { seq: 1 }, 'claim_invalid'],
  ['iss of another key', { iss: `owner:${agent.kid}` }, 'key_mismatch'],
])('header of an owner: %s', (_, patch, code) => {
  const text = compact(owner, patched(byOwner, patch), {})
  expect(codeOf(() => parseStatement(text))).toBe(code)
})

test.each([
  ['type', { type: 'Erasure' }, '{}', 'claim_invalid'],
  ['jti', { jti: '' }, '{}', 'claim_invalid'],
  ['payload', {}, '[]', 'malformed'],
  ['seq', { seq: 1 }, '{}', 'claim_invalid'],
  ['length', {}, `{"a":"${'x'.repeat(32_768)}"}`, 'too_large'],
])('formatStatement writes only what parseStatement reads: %s', (_, patch, payload, code) => {
  const header: SigningHeader = {
    alg: 'EdDSA',
    kid: owner.kid,
    type: 'erasure',
    aud: ORIGIN,
    iss: OWNER,
    sub: 'log',
    iat: 1,
    jti: 'a',
  }
  const format = () =>
    formatStatement({ ...header, ...patch }, utf8Encode(payload), new Uint8Array(64))
  expect(codeOf(format)).toBe(code)
  const short = () => formatStatement(header, utf8Encode('{}'), new Uint8Array(63))
  expect(codeOf(short)).toBe('malformed')
})

describe('verifying', () => {
  const parsed = parseStatement(good)
  const expected = { spki: agent.spki, origin: ORIGIN, type: 'decision' }
  const foreign = { origin: 'other.example/logs/main', type: 'action', spki: owner.spki }
  test.each([
    ['all wrong: audience first', foreign, 'audience_mismatch'],
    ['then the type', { ...foreign, origin: ORIGIN }, 'type_mismatch'],
    ['then the key', { ...expected, spki: owner.spki }, 'key_mismatch'],
    ['a key of another length', { ...expected, spki: new Uint8Array(3) }, 'key_mismatch'],
    ['good', expected, 'accepted'],
  ])('%s', (_, expectation, code) => {
    expect(codeOf(() => verifyStatement(p, parsed, expectation))).toBe(code)
  })

  test('all but the signature, with a key that was read before', () => {
    const key = namedKey(p, agent.spki)
    expect(key).toEqual({ ...parseSpki(agent.spki), kid: keyId(p, agent.spki) })
    const unsigned = parseStatement(`${HEAD}.${BODY}.${toBase64url(new Uint8Array(64))}`)
    expect(codeOf(() => verifyStatement(p, unsigned, expected))).toBe('signature_invalid')
    for (const [one, origin, code] of [
      [key, ORIGIN, 'accepted'],
      [key, foreign.origin, 'audience_mismatch'],
      [namedKey(p, owner.spki), ORIGIN, 'key_mismatch'],
      [{ ...key, alg: 'EdDSA' as const }, ORIGIN, 'key_mismatch'],
    ] as const) {
      expect(codeOf(() => checkUnsigned(unsigned, one, origin))).toBe(code)
    }
  })

  test('a key that is named and no key', () => {
    const spki = Uint8Array.of(1, 2, 3)
    const header = patched(byAgent, { kid: toBase64url(p.sha256(spki)) })
    const other = parseStatement(compact(agent, header, {}))
    expect(codeOf(() => verifyStatement(p, other, { ...expected, spki }))).toBe('key_invalid')
  })

  test('alg of the other kind of key', () => {
    const other = parseStatement(compact(agent, patched(byAgent, { alg: 'EdDSA' }), {}))
    expect(codeOf(() => verifyStatement(p, other, expected))).toBe('key_mismatch')
  })

  test.each([
    ['EdDSA', owner, compact(owner, byOwner, {})],
    ['ES256', agent, good],
  ])('no bit of header, payload or signature can change: %s', (_, by, text) => {
    const [head = '', body = '', tail = ''] = text.split('.')
    const bits = (head.length + body.length + tail.length + 2) * 8
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bits - 1 }), (bit) => {
        const code = codeOf(() => {
          const flipped = parseStatement(flipBit(utf8Encode(text), bit))
          verifyStatement(p, flipped, { spki: by.spki, origin: ORIGIN })
        })
        expect(code).not.toBe('accepted')
      }),
      { numRuns: 300 },
    )
  })
})

describe('principals and subjects', () => {
  const kid = owner.kid
  test.each(['service', 'operator', 'owner', 'reader'])('%s', (role) => {
    expect(parsePrincipal(`${role}:${kid}`)).toEqual({ role, text: `${role}:${kid}`, kid })
  })

  test('agent', () => {
    const principal = parsePrincipal(CHILD)
    expect(principal.role).toBe('agent')
    expect(principal.text).toBe(CHILD)
  })

  test.each([
    ['', 'claim_invalid'],
    [kid, 'claim_invalid'],
    [`approver:${kid}`, 'claim_invalid'],
    [`Owner:${kid}`, 'claim_invalid'],
    [`owner:${kid}A`, 'claim_invalid'],
    ['owner:', 'claim_invalid'],
    [`owner:${kid}\n`, 'claim_invalid'],
    ['spiffe://example.com', 'spiffe_id_invalid'],
  ])('principal %j is refused', (text, code) => {
    expect(codeOf(() => parsePrincipal(text))).toBe(code)
  })

  test.each([
    ['log', 'log'],
    ['policy', 'policy'],
    [`owner:${kid}`, 'owner'],
    ['agent:spiffe://example.com/a', 'agent'],
    [`inst:${CHILD}`, 'inst'],
  ])('subject %s', (text, kind) => {
    expect(parseSubject(text)).toMatchObject({ kind, text })
  })

  test.each([
    ['', 'claim_invalid'],
    ['logs', 'claim_invalid'],
    ['log:', 'claim_invalid'],
    [`operator:${kid}`, 'claim_invalid'],
    ['owner:x', 'claim_invalid'],
    [`agent:${CHILD}`, 'spiffe_id_invalid'],
    ['inst:spiffe://example.com/a', 'spiffe_id_invalid'],
    [CHILD, 'claim_invalid'],
  ])('subject %j is refused', (text, code) => {
    expect(codeOf(() => parseSubject(text))).toBe(code)
  })

  test('kid names its field', () => {
    expect(() => parseKid('x')).toThrow(/^kid: /)
    expect(() => parsePrincipal('owner:x')).toThrow(/^kid of the owner: /)
  })

  test.each([
    ['example.com', 'accepted'],
    ['example.com/a', 'spiffe_id_invalid'],
    ['', 'spiffe_id_invalid'],
  ])('trust domain %j', (text, code) => {
    expect(codeOf(() => parseTrustDomain(text))).toBe(code)
  })
})

describe('arbitrary input', () => {
  const total = (call: () => unknown): void => {
    expect(typeof codeOf(call)).toBe('string')
  }

  test('bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => total(() => parseStatement(bytes))),
    )
  })

  test('three parts of base64url', () => {
    const part = fc.uint8Array({ maxLength: 80 }).map(toBase64url)
    const parts = fc.array(part, { minLength: 3, maxLength: 3 })
    fc.assert(fc.property(parts, (all) => total(() => parseStatement(all.join('.')))))
  })

  test('headers with arbitrary members', () => {
    const name = fc.constantFrom(...Object.keys(byAgent), '__proto__', 'crit')
    const property = fc.property(name, fc.jsonValue(), (member, value) => {
      const header = JSON.stringify({ ...byAgent, [member]: value })
      total(() => parseStatement(compact(agent, header, {})))
    })
    fc.assert(property)
  })

  test('principals and subjects', () => {
    const start = fc.constantFrom('', 'owner:', 'agent:', 'inst:', 'spiffe://')
    const property = fc.property(start, fc.string(), (prefix, rest) => {
      total(() => parsePrincipal(prefix + rest))
      total(() => parseSubject(prefix + rest))
    })
    fc.assert(property)
  })
})
