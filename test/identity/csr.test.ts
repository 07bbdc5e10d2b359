/**
 * @module Goal: a request is opened only if it is one strict PKCS#10 request signed by the P-256 key in it. Method:
 * requests written here and by openssl (where installed), each hostile change made alone and signed anew where the
 * signature covers it, every bit flipped, and arbitrary bytes.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodePublicKey, generateKey, signerFromPrivateKey } from '../../src/crypto.ts'
import { CSR_BYTES_MAX, openCsr } from '../../src/identity/csr.ts'
import { IdentityError } from '../../src/identity/errors.ts'

const key = generateKey('ES256')
const { spki } = encodePublicKey(key)

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts)
  const { length } = body
  const head =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length % 256]
  return Uint8Array.of(tag, ...head, ...body)
}

const VERSION = der(2, Uint8Array.of(0))
const SUBJECT = der(0x30)
const ATTRIBUTES = der(0xa0)
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex')
const ECDSA_SHA384 = Buffer.from('300a06082a8648ce3d040303', 'hex')

interface Parts {
  readonly info?: readonly Uint8Array[]
  readonly algorithm?: Uint8Array
  readonly signer?: KeyObject
  readonly hash?: string
}

/** A request over the given fields, signed over whatever they are. */
function request({ info, algorithm, signer, hash }: Parts = {}): Uint8Array {
  const signed = der(0x30, ...(info ?? [VERSION, SUBJECT, spki, ATTRIBUTES]))
  const signature = sign(hash ?? 'sha256', signed, signer ?? key)
  return der(0x30, signed, algorithm ?? ECDSA_SHA256, der(3, Uint8Array.of(0), signature))
}

function codeOf(bytes: Uint8Array): string {
  try {
    openCsr(bytes)
  } catch (error) {
    if (error instanceof IdentityError) return error.code
    throw error
  }
  return 'opened'
}

describe('a request that holds', () => {
  it('is opened to the key and its id', () => {
    const opened = openCsr(request())
    expect(opened.spki).toEqual(spki)
    expect(opened.kid).toBe(createHash('sha256').update(spki).digest('base64url'))
  })

  it('may ask for anything in subject and attributes: nothing of it comes out', () => {
    const name = der(0x31, der(0x30, der(6, Uint8Array.of(85, 4, 3)), der(12, Buffer.from('root'))))
    // extensionRequest (1.2.840.113549.1.9.14) for basicConstraints with cA.
    const wanted = der(0x30, der(0x30, Buffer.from('0603551d130101ff040530030101ff', 'hex')))
    const oid = Buffer.from('06092a864886f70d01090e', 'hex')
    const attributes = der(0xa0, der(0x30, oid, der(0x31, wanted)))
    const opened = openCsr(request({ info: [VERSION, der(0x30, name), spki, attributes] }))
    expect(Object.keys(opened).toSorted()).toEqual(['kid', 'spki'])
    expect(opened.spki).toEqual(spki)
  })

  it('is opened when openssl wrote it', ({ skip }) => {
    if (spawnSync('openssl', ['version']).error !== undefined) skip('openssl is not installed')
    const folder = mkdtempSync(join(tmpdir(), 'csr-'))
    try {
      const path = join(folder, 'key.pem')
      writeFileSync(path, key.export({ type: 'pkcs8', format: 'pem' }))
      const extra = ['-subj', '/CN=agent', '-addext', 'subjectAltName=URI:spiffe://evil.example/x']
      const command = ['req', '-new', '-key', path, '-outform', 'DER', ...extra]
      const bytes = execFileSync('openssl', command)
      expect(openCsr(new Uint8Array(bytes)).spki).toEqual(spki)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('a request that does not', () => {
  it('is refused for its key: compressed, explicit, hybrid, off the curve, other curves and kinds', () => {
    const [, x, y] = [spki.slice(0, 27), spki.slice(27, 59), spki.slice(59)]
    const head = Buffer.from('301306072a8648ce3d020106082a8648ce3d030107', 'hex')
    const point = (...parts: readonly Uint8Array[]): Uint8Array =>
      der(0x30, head, der(3, Uint8Array.of(0), ...parts))
    const odd = (y[31] ?? 0) % 2
    const offCurve = y.slice()
    offCurve[31] = (offCurve[31] ?? 0) ^ 1
    const explicit = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' })
    const keys = [
      point(Uint8Array.of(2 + odd), x),
      point(Uint8Array.of(6 + odd), x, y),
      point(Uint8Array.of(4), x, offCurve),
      point(Uint8Array.of(4), new Uint8Array(64)),
      point(Uint8Array.of(0)),
      explicit.publicKey.export({ type: 'spki', format: 'der' }),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({
        type: 'spki',
        format: 'der',
      }),
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({
        type: 'spki',
        format: 'der',
      }),
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
        type: 'spki',
        format: 'der',
      }),
      signerFromPrivateKey(generateKey('EdDSA')).spki,
      der(0x30),
    ]
    for (const other of keys) {
      const bytes = request({ info: [VERSION, SUBJECT, other, ATTRIBUTES] })
      expect(codeOf(bytes)).toBe('csr_key_unsupported')
    }
  })

  it('is refused for its signature: another key, another hash, no signature at all', () => {
    expect(codeOf(request({ signer: generateKey('ES256') }))).toBe('csr_signature_invalid')
    expect(codeOf(request({ hash: 'sha384' }))).toBe('csr_signature_invalid')
    const info = der(0x30, VERSION, SUBJECT, spki, ATTRIBUTES)
    const zero = der(2, Uint8Array.of(0))
    const none = der(3, Uint8Array.of(0), der(0x30, zero, zero))
    expect(codeOf(der(0x30, info, ECDSA_SHA256, none))).toBe('csr_signature_invalid')
  })

  it('is refused for its form: version, missing or further fields, algorithm, trailing bytes, BER', () => {
    const version1 = der(2, Uint8Array.of(1))
    const good = request()
    const broken = [
      request({ info: [version1, SUBJECT, spki, ATTRIBUTES] }),
      request({ info: [VERSION, SUBJECT, spki] }),
      request({ info: [VERSION, SUBJECT, spki, ATTRIBUTES, ATTRIBUTES] }),
      request({ info: [VERSION, der(0x31), spki, ATTRIBUTES] }),
      request({ info: [VERSION, SUBJECT, spki, der(0xa1)] }),
      request({ algorithm: ECDSA_SHA384, hash: 'sha384' }),
      request({ algorithm: Buffer.from('300c06082a8648ce3d0403020500', 'hex') }),
      Uint8Array.of(...good, 0),
      good.slice(0, -1),
      Uint8Array.of(0x30, 0x82, 0, ...good.slice(1)),
      Uint8Array.of(0x30, 0x80, ...good.slice(3), 0, 0),
      new Uint8Array(0),
      new TextEncoder().encode('-----BEGIN CERTIFICATE REQUEST-----'),
    ]
    for (const bytes of broken) expect(codeOf(bytes)).toBe('csr_invalid')
  })

  it('is refused for its size before it is read', () => {
    const filler = der(0xa0, der(0x30, der(4, new Uint8Array(CSR_BYTES_MAX))))
    expect(codeOf(request({ info: [VERSION, SUBJECT, spki, filler] }))).toBe('csr_too_large')
    expect(codeOf(new Uint8Array(CSR_BYTES_MAX))).toBe('csr_invalid')
  })

  it('is refused with any one bit flipped, by a code and never another error', () => {
    const good = request()
    for (let bit = 0; bit < good.length * 8; bit++) {
      const broken = good.slice()
      const at = Math.floor(bit / 8)
      broken[at] = (broken[at] ?? 0) ^ (1 << (bit % 8))
      expect(codeOf(broken)).not.toBe('opened')
    }
  })

  it('is refused for arbitrary bytes, by a code and never another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isSequence) => {
        expect(codeOf(isSequence ? der(0x30, bytes) : bytes)).toBe('csr_invalid')
      }),
    )
  })
})
