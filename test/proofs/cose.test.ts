/**
 * Goal: a statement in COSE is read in one way or not at all, means what the same claims mean in JWS, is never the same
 * statement as that JWS, and keeps nothing that no signature covers. Method: each rule of FORMAT §3.1 broken once is in
 * vectors/statement (`cose-…`) and vectors/received; here what no file can say: round trips of any claims, every bit
 * flipped, any bytes, any unprotected header, and both envelopes beside each other.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, toBase64url, toHex, utf8Encode } from '../../proofs/bytes.ts'
import { type CborValue, decodeCbor, encodeCbor } from '../../proofs/cbor.ts'
import { canonicalJson } from '../../proofs/json.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import {
  contentDigest,
  formatCoseStatement,
  formatStatement,
  MEDIA_COSE,
  parseStatement,
  receiveStatement,
  type SigningHeader,
  signingInput,
  type Statement,
  verifyStatement,
} from '../../proofs/statement.ts'
import { coseBytes, coseHeader, signCose } from '../../proofs/vectors/generate-cose.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'
import {
  CHILD,
  headerOf,
  ORIGIN,
  otherSignature,
  type Signer,
  signer,
} from '../support/statement-signer.ts'

const owner = signer('EdDSA', 1)
const agent = signer('ES256', 2)
const OWNER = `owner:${owner.kid}`

function headerBy(by: Signer, iss: string, patch: Partial<SigningHeader> = {}): SigningHeader {
  return {
    alg: by.alg,
    kid: by.kid,
    type: 'agent.revoke',
    aud: ORIGIN,
    iss,
    sub: OWNER,
    iat: 1_800_000_000,
    jti: 'A-z0.9_:',
    ...(iss.startsWith('spiffe:') ? { seq: 7 } : {}),
    ...patch,
  }
}

function signed(by: Signer, header: SigningHeader, payload: Uint8Array): Uint8Array {
  return formatCoseStatement(header, payload, by.sign(signingInput(header, payload, MEDIA_COSE)))
}

const byAgent = headerBy(agent, CHILD)
const payload = utf8Encode('{ "b": [], "a": 1 }')
const good = signed(agent, byAgent, payload)

function verifiedBy({ spki }: Signer, statement: Statement): void {
  verifyStatement(p, statement, { spki, origin: ORIGIN, type: 'agent.revoke' })
}

describe('round trip', () => {
  test.each([
    ['owner', owner, headerBy(owner, OWNER)],
    ['instance', agent, byAgent],
  ] as const)('%s: the same claims as in JWS, over the Sig_structure', (_, by, header) => {
    const bytes = signed(by, header, payload)
    const parsed = parseStatement(bytes, MEDIA_COSE)
    const text = formatStatement(header, payload, by.sign(signingInput(header, payload)))
    const jws = parseStatement(text)
    expect(parsed.header).toEqual(jws.header)
    expect(parsed.issuer).toEqual(jws.issuer)
    expect(parsed.payload).toEqual(jws.payload)
    expect(parsed.payloadBytes).toEqual(payload)
    expect(parsed.media).toBe(MEDIA_COSE)
    const [protectedHeader, unprotected, body, signature] = decodeCbor(
      bytes.subarray(1),
    ) as CborValue[]
    expect([unprotected, body]).toEqual([new Map(), payload])
    expect(parsed.signature).toEqual(signature)
    const structure = ['Signature1', protectedHeader ?? null, new Uint8Array(), payload]
    expect(parsed.signingInput).toEqual(encodeCbor(structure))
    expect(parsed.signingInput).toEqual(signingInput(header, payload, MEDIA_COSE))
    expect(contentDigest(p, parsed)).toEqual(p.sha256(parsed.signingInput))
    expect(formatCoseStatement(parsed.header, parsed.payloadBytes, parsed.signature)).toEqual(bytes)
    verifiedBy(by, parsed)
    verifiedBy(by, jws)
  })

  test('nothing is copied but what was signed', () => {
    const parsed = parseStatement(good, MEDIA_COSE)
    expect(parsed.bytes).toBe(good)
    expect(parsed.payloadBytes.buffer).toBe(good.buffer)
    expect(parsed.signature.buffer).toBe(good.buffer)
  })

  test('any claims and any payload', () => {
    const claims = fc.record({
      sub: fc
        .string({ unit: 'binary', minLength: 1, maxLength: 40 })
        .filter((text) => !/\p{Noncharacter_Code_Point}/u.test(text)),
      iat: fc.maxSafeNat(),
      jti: fc.stringMatching(/^[A-Za-z0-9._:-]{1,64}$/),
      seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    })
    const body = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ unit: 'grapheme' }))
    fc.assert(
      fc.property(claims, body, (patch, object) => {
        const header = headerBy(agent, CHILD, patch)
        const said = canonicalJson(object)
        const bytes = formatCoseStatement(header, said, new Uint8Array(64))
        const parsed = parseStatement(bytes, MEDIA_COSE)
        expect(parsed.header).toEqual({ ...header, typ: 'vnd.trustwarden.agent.revoke' })
        expect(parsed.payload).toEqual(object)
        expect(receiveStatement(bytes, MEDIA_COSE).statement.bytes).toBe(bytes)
      }),
    )
  })

  test.each([
    ['type', { type: 'Erasure' }, '{}', 64, 'claim_invalid'],
    ['jti', { jti: '' }, '{}', 64, 'claim_invalid'],
    ['iat', { iat: 0.5 }, '{}', 64, 'malformed'],
    ['sub', { sub: 'inst:\uffff' }, '{}', 64, 'malformed'],
    ['kid', { kid: 'AAAA' }, '{}', 64, 'claim_invalid'],
    ['payload', {}, '[]', 64, 'malformed'],
    ['length', {}, `{"a":"${'x'.repeat(32_768)}"}`, 64, 'too_large'],
    ['signature', {}, '{}', 63, 'malformed'],
  ])(
    'formatCoseStatement writes only what parseStatement reads: %s',
    (_, patch, body, length, code) => {
      const header = headerBy(agent, CHILD, patch)
      const format = () => formatCoseStatement(header, utf8Encode(body), new Uint8Array(length))
      expect(codeOf(format)).toBe(code)
    },
  )

  test('signingInput signs for nobody what no reader reads', () => {
    const wrong = headerBy(agent, OWNER)
    expect(codeOf(() => signingInput(wrong, payload, MEDIA_COSE))).toBe('key_mismatch')
  })
})

describe('one content', () => {
  const vectorSigner = { ...agent, publicKey: new Uint8Array() }
  const claims = coseHeader(headerOf(agent, 'agent.revoke', CHILD, OWNER) as never)

  test.each([
    ['ES256 by both its names', agent, claims, [-7, -9]],
    [
      'EdDSA by both its names',
      owner,
      coseHeader(headerOf(owner, 'agent.revoke', OWNER, OWNER) as never),
      [-8, -19],
    ],
  ] as const)('%s verifies, and is two contents', (_, by, header, algorithms) => {
    const digests = algorithms.map((alg) => {
      const labels = new Map([...header, [1, alg]])
      const bytes = coseBytes(signCose({ ...by, publicKey: by.spki }, labels, payload))
      const parsed = parseStatement(bytes, MEDIA_COSE)
      expect(parsed.header.alg).toBe(by.alg)
      verifiedBy(by, parsed)
      return toHex(contentDigest(p, parsed))
    })
    expect(new Set(digests).size).toBe(2)
  })

  test('a second signature over it is the same statement', () => {
    const parts = signCose(vectorSigner, claims, payload)
    const first = parseStatement(coseBytes(parts), MEDIA_COSE)
    const signature = otherSignature(first.signature)
    const second = parseStatement(coseBytes({ ...parts, signature }), MEDIA_COSE)
    expect(second.bytes).not.toEqual(first.bytes)
    expect(contentDigest(p, second)).toEqual(contentDigest(p, first))
    verifiedBy(agent, second)
  })

  test('in the other envelope it is another statement, and no signature fits both', () => {
    const signature = agent.sign(signingInput(byAgent, payload))
    const jws = parseStatement(formatStatement(byAgent, payload, signature))
    const cose = parseStatement(good, MEDIA_COSE)
    expect(contentDigest(p, cose)).not.toEqual(contentDigest(p, jws))
    const crossed = formatCoseStatement(byAgent, payload, signature)
    expect(codeOf(() => verifiedBy(agent, parseStatement(crossed, MEDIA_COSE)))).toBe(
      'signature_invalid',
    )
    const back = parseStatement(formatStatement(byAgent, payload, cose.signature))
    expect(codeOf(() => verifiedBy(agent, back))).toBe('signature_invalid')
  })

  test('is not read as the other envelope, as text or as a Signed Statement of another log', () => {
    expect(codeOf(() => parseStatement(good))).toBe('malformed')
    expect(codeOf(() => parseStatement(toBase64url(good), MEDIA_COSE))).toBe('malformed')
    expect(codeOf(() => receiveStatement(toBase64url(good), MEDIA_COSE))).toBe('malformed')
    expect(codeOf(() => receiveStatement(good, 'application/cbor'))).toBe('envelope_unsupported')
    const elsewhere = { spki: agent.spki, origin: 'other.example/logs/main' }
    const parsed = parseStatement(good, MEDIA_COSE)
    expect(codeOf(() => verifyStatement(p, parsed, elsewhere))).toBe('audience_mismatch')
  })

  test('a JWS is received as it is', () => {
    const signature = agent.sign(signingInput(byAgent, payload))
    const text = formatStatement(byAgent, payload, signature)
    expect(receiveStatement(text)).toEqual({ statement: parseStatement(text), emptied: false })
  })
})

describe('the unprotected header', () => {
  const start = 2 + encodeCbor(decodeProtected()).length

  function decodeProtected(): Uint8Array {
    const [header] = decodeCbor(good.subarray(1)) as CborValue[]
    return header as Uint8Array
  }

  /** The good statement with this in the place of its unprotected header. */
  function withUnprotected(bytes: Uint8Array): Uint8Array {
    return concatBytes(good.subarray(0, start), bytes, good.subarray(start + 1))
  }

  test('is emptied on receipt, and it is said; nothing else is touched', () => {
    const received = withUnprotected(encodeCbor(new Map([[394, [Uint8Array.of(1)]]])))
    expect(codeOf(() => parseStatement(received, MEDIA_COSE))).toBe('not_canonical')
    const { statement, emptied } = receiveStatement(received, MEDIA_COSE)
    expect(emptied).toBe(true)
    expect(statement.bytes).toEqual(good)
    expect(receiveStatement(good, MEDIA_COSE).emptied).toBe(false)
    verifiedBy(agent, statement)
  })

  test('counts as long as it is there', () => {
    const room =
      32_768 - good.length - encodeCbor(new Map([[4, new Uint8Array(30_000)]])).length + 1
    const fits = withUnprotected(encodeCbor(new Map([[4, new Uint8Array(30_000 + room)]])))
    expect(fits).toHaveLength(32_768)
    expect(codeOf(() => receiveStatement(fits, MEDIA_COSE))).toBe('accepted')
    const over = withUnprotected(encodeCbor(new Map([[4, new Uint8Array(30_001 + room)]])))
    expect(codeOf(() => receiveStatement(over, MEDIA_COSE))).toBe('too_large')
  })

  test('any map leaves the same statement; any other bytes leave none or the same', () => {
    const label = fc.oneof(fc.maxSafeNat(), fc.string({ unit: 'grapheme' }))
    const leaf = fc.oneof(
      fc.integer(),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array(),
      fc.boolean(),
    )
    const value: fc.Arbitrary<CborValue> = fc.oneof(leaf, fc.array(leaf))
    fc.assert(
      fc.property(fc.array(fc.tuple(label, value)), (entries) => {
        const received = withUnprotected(encodeCbor(new Map(entries)))
        expect(receiveStatement(received, MEDIA_COSE).statement.bytes).toEqual(good)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const received = withUnprotected(bytes)
        const code = codeOf(() => {
          const { statement } = receiveStatement(received, MEDIA_COSE)
          expect(statement.bytes).toEqual(good)
        })
        expect(typeof code).toBe('string')
      }),
    )
  })
})

describe('any bytes', () => {
  test.each([
    ['EdDSA', owner, signed(owner, headerBy(owner, OWNER), payload)],
    ['ES256', agent, good],
  ])('no bit of a statement can change: %s', (_, by, bytes) => {
    const expected = { spki: by.spki, origin: ORIGIN }
    let count = 0
    for (const flipped of bitFlips(bytes)) {
      count += 1
      for (const read of [parseStatement, received]) {
        const code = codeOf(() =>
          verifyStatement(nativePrimitives, read(flipped, MEDIA_COSE), expected),
        )
        expect(code).not.toBe('accepted')
      }
    }
    expect(count).toBe(bytes.length * 8)
  })

  test('are refused with a code', () => {
    const total = (bytes: Uint8Array): void => {
      expect(typeof codeOf(() => parseStatement(bytes, MEDIA_COSE))).toBe('string')
      expect(typeof codeOf(() => receiveStatement(bytes, MEDIA_COSE))).toBe('string')
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), total))
    const tagged = fc
      .uint8Array({ maxLength: 200 })
      .map((rest) => concatBytes(Uint8Array.of(0xd2, 0x84), rest))
    fc.assert(fc.property(tagged, total))
    const damaged = fc
      .tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 6 }), fc.nat(8))
      .map(([at, bytes, gap]) =>
        concatBytes(good.subarray(0, at), bytes, good.subarray(Math.min(at + gap, good.length))),
      )
    fc.assert(fc.property(damaged, total), { numRuns: 1000 })
  })

  test('cut anywhere they are refused', () => {
    for (let length = 0; length < good.length; length += 1) {
      const cut = good.subarray(0, length)
      expect(codeOf(() => parseStatement(cut, MEDIA_COSE))).not.toBe('accepted')
      expect(codeOf(() => receiveStatement(cut, MEDIA_COSE))).not.toBe('accepted')
    }
  })

  test('protected headers of any value', () => {
    const label = fc.oneof(
      fc.constantFrom<string | number>(1, 4, 15, 16, 'seq', 2, 3, 33),
      fc.maxSafeNat(),
    )
    const value: fc.Arbitrary<CborValue> = fc.oneof(
      fc.integer(),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array({ maxLength: 70 }),
      fc.boolean(),
      fc.constant(null),
      fc
        .dictionary(fc.string({ unit: 'grapheme' }), fc.integer())
        .map((o) => new Map(Object.entries(o))),
    )
    const [header] = decodeCbor(good.subarray(1)) as CborValue[]
    const right = decodeCbor(header as Uint8Array) as ReadonlyMap<string | number, CborValue>
    const claims = right.get(15) as ReadonlyMap<string | number, CborValue>
    fc.assert(
      fc.property(label, value, fc.boolean(), (at, one, isClaim) => {
        const labels = isClaim
          ? new Map([...right, [15, new Map([...claims, [at, one]])] as const])
          : new Map([...right, [at, one]])
        const by = { ...agent, publicKey: agent.spki }
        const bytes = coseBytes(
          signCose({ ...by, sign: () => new Uint8Array(64) }, labels, payload),
        )
        expect(typeof codeOf(() => parseStatement(bytes, MEDIA_COSE))).toBe('string')
      }),
    )
  })
})

function received(bytes: Uint8Array, media: string): Statement {
  return receiveStatement(bytes, media).statement
}
