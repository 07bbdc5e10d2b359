/**
 * Goal: a certificate is an SVID for the kit only if X509-SVID, RFC 5280 and FORMAT §8 say so, and nothing but a
 * ProofError ever leaves.
 * Method: certificates of two foreign makers (@peculiar/x509, openssl) are read and verified; for each rule, a
 * certificate that breaks it and nothing else, written and signed byte by byte here; every bit of one SVID flipped;
 * any bytes at all.
 */
import 'reflect-metadata'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync, type KeyObject, sign, webcrypto } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'
import {
  type Certificate,
  concatBytes,
  fromHex,
  noblePrimitives,
  parseCertificate,
  ProofError,
  toHex,
  verifySvid,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const ID = 'spiffe://acme.example/team/agent/inst-abcde'
const AT = Date.UTC(2026, 5, 1)
const ECDSA_SHA256 = fromHex('300a06082a8648ce3d040302')

function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts)
  const { length } = content
  const header =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return concatBytes(Uint8Array.from([tag, ...header]), content)
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const uri = (value: string): Uint8Array => tlv(0x86, text(value))
const utc = (value: string): Uint8Array => tlv(0x17, text(value))
const nameOf = (value: string): Uint8Array =>
  tlv(0x30, tlv(0x31, tlv(0x30, fromHex('0603550403'), tlv(0x0c, text(value)))))

// The last octet of id-ce (2.5.29.x).
function extension(id: number, value: Uint8Array, critical = false): Uint8Array {
  const flag = critical ? fromHex('0101ff') : new Uint8Array()
  return tlv(0x30, Uint8Array.of(6, 3, 0x55, 0x1d, id), flag, tlv(0x04, value))
}

const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const agent = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spkiOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(key.export({ type: 'spki', format: 'der' }))
const keyIdOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(createHash('sha1').update(spkiOf(key).subarray(26)).digest())

const SAN = 17
const BASIC_CONSTRAINTS = 19
const KEY_USAGE = 15
const EXTENDED_KEY_USAGE = 37
const SKI = 14
const AKI = 35
const NAME_CONSTRAINTS = 30
const SERVER_AUTH = fromHex('06082b06010505070301')
const CLIENT_AUTH = fromHex('06082b06010505070302')

const san = (...names: readonly Uint8Array[]): Uint8Array =>
  extension(SAN, tlv(0x30, ...names), true)
const aki = (key: KeyObject): Uint8Array => extension(AKI, tlv(0x30, tlv(0x80, keyIdOf(key))))
const ski = (key: KeyObject): Uint8Array => extension(SKI, tlv(0x04, keyIdOf(key)))

const leafExtensions: Readonly<Record<string, Uint8Array>> = {
  san: san(uri(ID)),
  basic: extension(BASIC_CONSTRAINTS, tlv(0x30), true),
  usage: extension(KEY_USAGE, fromHex('03020780'), true),
  purposes: extension(EXTENDED_KEY_USAGE, tlv(0x30, SERVER_AUTH, CLIENT_AUTH)),
  ski: ski(agent.publicKey),
  aki: aki(authority.publicKey),
}

const rootExtensions: Readonly<Record<string, Uint8Array>> = {
  basic: extension(BASIC_CONSTRAINTS, tlv(0x30, fromHex('0101ff'), fromHex('020100')), true),
  usage: extension(KEY_USAGE, fromHex('03020106'), true),
  ski: ski(authority.publicKey),
  san: extension(SAN, tlv(0x30, uri('spiffe://acme.example'))),
}

/** The fields of a certificate as DER. Where one is replaced by nothing, it is left out. */
interface Draft {
  readonly fields?: Readonly<Record<string, Uint8Array>>
  readonly extensions?: Readonly<Record<string, Uint8Array>>
  readonly key?: KeyObject
  /** Instead of the algorithm outside of what is signed. */
  readonly algorithm?: Uint8Array
  /** Instead of the BIT STRING of the signature. */
  readonly signature?: Uint8Array
  readonly after?: Uint8Array
}

const none = new Uint8Array()

function write(
  base: Readonly<Record<string, Uint8Array>>,
  list: Draft['extensions'],
  draft: Draft,
): Uint8Array {
  const extensions = Object.values({ ...list, ...draft.extensions })
  const fields = { ...base, extensions: tlv(0xa3, tlv(0x30, ...extensions)), ...draft.fields }
  const tbs = tlv(0x30, ...Object.values(fields))
  const signature = new Uint8Array(sign('sha256', tbs, draft.key ?? authority.privateKey))
  return tlv(
    0x30,
    tbs,
    draft.algorithm ?? ECDSA_SHA256,
    draft.signature ?? tlv(0x03, Uint8Array.of(0), signature),
    draft.after ?? none,
  )
}

const leafFields = {
  version: fromHex('a003020102'),
  serial: fromHex('020211ff'),
  algorithm: ECDSA_SHA256,
  issuer: nameOf('root'),
  validity: tlv(0x30, utc('260101000000Z'), utc('270101000000Z')),
  subject: tlv(0x30),
  spki: spkiOf(agent.publicKey),
}

const rootFields = {
  ...leafFields,
  validity: tlv(0x30, utc('250101000000Z'), utc('280101000000Z')),
  subject: nameOf('root'),
  spki: spkiOf(authority.publicKey),
}

const leafDer = (draft: Draft = {}): Uint8Array => write(leafFields, leafExtensions, draft)
const leaf = (draft: Draft = {}): Certificate => parseCertificate(leafDer(draft))
const root = (draft: Draft = {}): Certificate =>
  parseCertificate(write(rootFields, rootExtensions, draft))

const refused = (run: () => unknown, code: string) =>
  expect(run).toThrow(expect.objectContaining({ name: 'ProofError', code }))
const verify = (one: Certificate, roots: readonly Certificate[] = [root()], atMs = AT) =>
  verifySvid(noblePrimitives, one, roots, atMs)

describe('parseCertificate', () => {
  it('reads every field', () => {
    const der = leafDer()
    const one = parseCertificate(der)
    expect(one.der).toEqual(der)
    expect(one.serial).toBe('11ff')
    expect(one.issuer).toEqual(nameOf('root'))
    expect(one.subject).toEqual(fromHex('3000'))
    expect(one.notBeforeMs).toBe(Date.UTC(2026, 0, 1))
    expect(one.notAfterMs).toBe(Date.UTC(2027, 0, 1))
    expect(one.spki).toEqual(spkiOf(agent.publicKey))
    expect(one.publicKey).toEqual(spkiOf(agent.publicKey).subarray(26))
    expect(one.uris).toEqual([ID])
    expect(one.subjectAltNameCritical).toBe(true)
    expect(one.basicConstraints).toEqual({
      critical: true,
      isAuthority: false,
      pathLength: undefined,
    })
    expect(one.keyUsage).toEqual({ critical: true, bits: ['digitalSignature'] })
    expect(one.extendedKeyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(one.subjectKeyId).toEqual(keyIdOf(agent.publicKey))
    expect(one.authorityKeyId).toEqual(keyIdOf(authority.publicKey))
    expect([...one.otherExtensions]).toEqual([])
    expect(one.signature).toHaveLength(64)
    const { basicConstraints, keyUsage } = root()
    expect(basicConstraints).toEqual({ critical: true, isAuthority: true, pathLength: 0 })
    expect(keyUsage?.bits).toEqual(['keyCertSign', 'cRLSign'])
  })

  it('keeps a copy, also of a Buffer', () => {
    const given = Buffer.from(leafDer())
    const one = parseCertificate(given)
    given.fill(0)
    expect(verify(one).spiffeId).toBe(ID)
  })

  it('gives what it does not read by OID', () => {
    const delegation = tlv(0x30, fromHex('060a2b0601040181fd58bf2c'), tlv(0x04, fromHex('a0')))
    const one = leaf({ extensions: { delegation } })
    expect([...one.otherExtensions]).toEqual([
      ['1.3.6.1.4.1.32472.8108', { critical: false, value: fromHex('a0') }],
    ])
    expect(verify(one).spiffeId).toBe(ID)
  })

  const invalid: Readonly<Record<string, Draft>> = {
    'version 1': { fields: { version: none } },
    'version 2': { fields: { version: fromHex('a003020101') } },
    'serial 0': { fields: { serial: fromHex('020100') } },
    'a negative serial': { fields: { serial: fromHex('0201ff') } },
    'a serial of 21 bytes': { fields: { serial: tlv(2, new Uint8Array(21).fill(1)) } },
    'another algorithm inside': { fields: { algorithm: fromHex('300a06082a8648ce3d040303') } },
    'another algorithm outside': { algorithm: fromHex('300a06082a8648ce3d040303') },
    'parameters of the algorithm': { algorithm: fromHex('300c06082a8648ce3d0403020500') },
    'a validity that ends before it begins': {
      fields: { validity: tlv(0x30, utc('270101000000Z'), utc('260101000000Z')) },
    },
    'a third time': {
      fields: { validity: tlv(0x30, ...Array(3).fill(utc('260101000000Z'))) },
    },
    'an empty part of a name': { fields: { subject: fromHex('30023100') } },
    'an attribute without a value': { fields: { subject: fromHex('3009310730050603550403') } },
    'an Ed25519 key': {
      fields: { spki: spkiOf(generateKeyPairSync('ed25519').publicKey) },
    },
    'a P-384 key': {
      fields: { spki: spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey) },
    },
    'a compressed key': {
      fields: {
        spki: fromHex(`3039301306072a8648ce3d020106082a8648ce3d03010703220002${'11'.repeat(32)}`),
      },
    },
    'a key that is no point of the curve': {
      fields: { spki: concatBytes(leafFields.spki.subarray(0, 27), new Uint8Array(64).fill(1)) },
    },
    'a unique identifier': { fields: { spki: concatBytes(leafFields.spki, fromHex('820200ff')) } },
    'no extensions': { fields: { extensions: none } },
    'two lists of extensions': { fields: { extensions: tlv(0xa3, tlv(0x30), tlv(0x30)) } },
    'an extension twice': { extensions: { again: leafExtensions['usage'] ?? none } },
    'an unread extension twice': {
      extensions: { one: extension(54, fromHex('0500')), two: extension(54, fromHex('0500')) },
    },
    'a critical flag that is written false': {
      extensions: {
        ski: tlv(0x30, fromHex('0603551d0e010100'), tlv(4, tlv(4, keyIdOf(agent.publicKey)))),
      },
    },
    'an extension without a value': { extensions: { ski: tlv(0x30, fromHex('0603551d0e')) } },
    'an extension of four fields': {
      extensions: { ski: tlv(0x30, fromHex('0603551d0e0101ff04020400'), fromHex('0500')) },
    },
    'an empty subjectAltName': { extensions: { san: san() } },
    'a name of unknown form': { extensions: { san: san(uri(ID), fromHex('8900')) } },
    'a universal tag among the names': { extensions: { san: san(uri(ID), fromHex('0c00')) } },
    'a URI that is not ASCII': { extensions: { san: san(uri('spiffe://acme.example/é')) } },
    'a URI of 2049 bytes': { extensions: { san: san(uri(`spiffe://a/${'p'.repeat(2038)}`)) } },
    'a path length without cA': {
      extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('3003020100'), true) },
    },
    'cA false and a path length': {
      extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('3006010100020100'), true) },
    },
    'a path length over 255': {
      extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('30070101ff02020100'), true) },
    },
    'three fields of basicConstraints': {
      extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('30090101ff020100020100'), true) },
    },
    'a keyUsage without bits': {
      extensions: { usage: extension(KEY_USAGE, fromHex('030100'), true) },
    },
    'a keyUsage with trailing zero bits': {
      extensions: { usage: extension(KEY_USAGE, fromHex('03020080'), true) },
    },
    'a keyUsage with an unknown bit': {
      extensions: { usage: extension(KEY_USAGE, fromHex('0303068040'), true) },
    },
    'an empty extendedKeyUsage': {
      extensions: { purposes: extension(EXTENDED_KEY_USAGE, fromHex('3000')) },
    },
    'a critical key identifier': { extensions: { ski: extension(SKI, fromHex('040101'), true) } },
    'an empty key identifier': { extensions: { ski: extension(SKI, fromHex('0400')) } },
    'a key identifier of 65 bytes': {
      extensions: { ski: extension(SKI, tlv(4, new Uint8Array(65))) },
    },
    'an issuer and serial in authorityKeyIdentifier': {
      extensions: { aki: extension(AKI, tlv(0x30, fromHex('800101'), fromHex('820101'))) },
    },
    'an authorityKeyIdentifier without key identifier': {
      extensions: { aki: extension(AKI, fromHex('3000')) },
    },
    'a value after the end of an extension': {
      extensions: {
        purposes: extension(
          EXTENDED_KEY_USAGE,
          concatBytes(tlv(0x30, SERVER_AUTH, CLIENT_AUTH), fromHex('0500')),
        ),
      },
    },
    'a signature that is no whole number of bytes': { signature: fromHex('03030400f0') },
    'a signature of three numbers': { signature: fromHex('030c003009020101020101020101') },
    'a signature of one number': { signature: fromHex('0306003003020101') },
    'a number of the signature over 32 bytes': {
      signature: tlv(
        3,
        Uint8Array.of(0),
        tlv(0x30, tlv(2, new Uint8Array(33).fill(1)), fromHex('020101')),
      ),
    },
    'a fourth field': { after: fromHex('0500') },
    'more than 16 KiB': {
      extensions: { padding: extension(54, new Uint8Array(16_384)) },
    },
  }

  it.each(Object.entries(invalid))('refuses %s', (_, draft) => {
    refused(() => leaf(draft), 'certificate_invalid')
  })

  it('throws nothing but certificate_invalid on any bytes, and on a certificate with some bytes replaced', () => {
    const der = leafDer()
    const patch = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    })
    const patched = patch.map((changes) => {
      const bytes = new Uint8Array(der)
      for (const [at, byte] of changes) bytes[at] = byte
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), patched), (bytes) => {
        try {
          parseCertificate(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ProofError)
          expect(error).toHaveProperty('code', 'certificate_invalid')
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('verifySvid', () => {
  it('returns the id, in every form that the specification permits', () => {
    const expected = { spiffeId: ID, trustDomain: 'acme.example' }
    expect(verify(leaf())).toEqual(expected)
    const permitted: readonly Draft[] = [
      { extensions: { basic: none } },
      { extensions: { purposes: none } },
      { extensions: { ski: none } },
      { extensions: { san: san(fromHex('820161'), uri(ID)) } },
      { extensions: { usage: extension(KEY_USAGE, fromHex('030203a8'), true) } },
      {
        fields: { subject: nameOf('agent') },
        extensions: { san: extension(SAN, tlv(0x30, uri(ID))) },
      },
    ]
    for (const draft of permitted) expect(verify(leaf(draft))).toEqual(expected)
    expect(verify(leaf(), [root({ extensions: { san: none } })])).toEqual(expected)
    expect(verify(leaf(), [root({ key: stranger.privateKey })])).toEqual(expected)
  })

  it('takes both ends of the validity, and refuses a moment outside', () => {
    const one = leaf()
    expect(verify(one, [root()], one.notBeforeMs).spiffeId).toBe(ID)
    expect(verify(one, [root()], one.notAfterMs).spiffeId).toBe(ID)
    for (const atMs of [one.notBeforeMs - 1, one.notAfterMs + 1, Number.NaN, Infinity, -Infinity]) {
      refused(() => verify(one, [root()], atMs), 'certificate_expired')
    }
  })

  it('needs a root that is valid itself, and finds it beside one that is not', () => {
    const lapsed = root({
      fields: { validity: tlv(0x30, utc('250101000000Z'), utc('260101000000Z')) },
    })
    refused(() => verify(leaf(), [lapsed]), 'certificate_expired')
    expect(verify(leaf(), [lapsed, root()]).spiffeId).toBe(ID)
  })

  const leafRules: Readonly<Record<string, readonly [Draft, string]>> = {
    'no URI': [{ extensions: { san: none } }, 'certificate_invalid'],
    'a DNS name alone': [{ extensions: { san: san(fromHex('820161')) } }, 'certificate_invalid'],
    'two URIs': [{ extensions: { san: san(uri(ID), uri(ID)) } }, 'certificate_invalid'],
    'another scheme': [
      { extensions: { san: san(uri('https://acme.example/a')) } },
      'spiffe_id_invalid',
    ],
    'an id without path': [
      { extensions: { san: san(uri('spiffe://acme.example')) } },
      'certificate_invalid',
    ],
    'an empty subject and a SAN that is not critical': [
      { extensions: { san: extension(SAN, tlv(0x30, uri(ID))) } },
      'certificate_invalid',
    ],
    'cA true': [
      { extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('30030101ff'), true) } },
      'certificate_invalid',
    ],
    'no keyUsage': [{ extensions: { usage: none } }, 'certificate_invalid'],
    'a keyUsage that is not critical': [
      { extensions: { usage: extension(KEY_USAGE, fromHex('03020780')) } },
      'certificate_invalid',
    ],
    'no digitalSignature': [
      { extensions: { usage: extension(KEY_USAGE, fromHex('03020520'), true) } },
      'certificate_invalid',
    ],
    keyCertSign: [
      { extensions: { usage: extension(KEY_USAGE, fromHex('03020284'), true) } },
      'certificate_invalid',
    ],
    cRLSign: [
      { extensions: { usage: extension(KEY_USAGE, fromHex('03020182'), true) } },
      'certificate_invalid',
    ],
    'serverAuth alone': [
      { extensions: { purposes: extension(EXTENDED_KEY_USAGE, tlv(0x30, SERVER_AUTH)) } },
      'certificate_invalid',
    ],
    'clientAuth alone': [
      { extensions: { purposes: extension(EXTENDED_KEY_USAGE, tlv(0x30, CLIENT_AUTH)) } },
      'certificate_invalid',
    ],
    'no authorityKeyIdentifier': [{ extensions: { aki: none } }, 'certificate_invalid'],
    'an unknown critical extension': [
      { extensions: { other: extension(54, fromHex('0500'), true) } },
      'certificate_invalid',
    ],
    'the key identifier of another authority': [
      { extensions: { aki: aki(stranger.publicKey) } },
      'certificate_untrusted',
    ],
    'another issuer': [{ fields: { issuer: nameOf('other') } }, 'certificate_untrusted'],
    'the signature of a stranger': [{ key: stranger.privateKey }, 'certificate_untrusted'],
    'a signature of zeros': [
      { signature: fromHex('030900300602010002 0100'.replace(' ', '')) },
      'certificate_untrusted',
    ],
  }

  it.each(Object.entries(leafRules))('refuses a leaf with %s', (_, [draft, code]) => {
    refused(() => verify(leaf(draft)), code)
  })

  const rootRules: Readonly<Record<string, readonly [Draft, string]>> = {
    'no basicConstraints': [{ extensions: { basic: none } }, 'certificate_invalid'],
    'cA false': [
      { extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('3000'), true) } },
      'certificate_invalid',
    ],
    'basicConstraints that are not critical': [
      { extensions: { basic: extension(BASIC_CONSTRAINTS, fromHex('30030101ff')) } },
      'certificate_invalid',
    ],
    'no keyUsage': [{ extensions: { usage: none } }, 'certificate_invalid'],
    'no keyCertSign': [
      { extensions: { usage: extension(KEY_USAGE, fromHex('03020102'), true) } },
      'certificate_invalid',
    ],
    'no subjectKeyIdentifier': [{ extensions: { ski: none } }, 'certificate_untrusted'],
    'another subject': [{ fields: { subject: nameOf('other') } }, 'certificate_untrusted'],
    'another key under its name and key identifier': [
      { fields: { spki: spkiOf(stranger.publicKey) } },
      'certificate_untrusted',
    ],
    'an id with a path': [
      { extensions: { san: extension(SAN, tlv(0x30, uri('spiffe://acme.example/ca'))) } },
      'certificate_invalid',
    ],
    'two ids': [
      {
        extensions: {
          san: extension(SAN, tlv(0x30, uri('spiffe://acme.example'), uri('spiffe://b'))),
        },
      },
      'certificate_invalid',
    ],
    'an id that is none': [
      { extensions: { san: extension(SAN, tlv(0x30, uri('https://acme.example'))) } },
      'spiffe_id_invalid',
    ],
    'another trust domain': [
      { extensions: { san: extension(SAN, tlv(0x30, uri('spiffe://other.example'))) } },
      'certificate_untrusted',
    ],
    'critical name constraints, which are not read': [
      { extensions: { names: extension(NAME_CONSTRAINTS, fromHex('3000'), true) } },
      'certificate_invalid',
    ],
  }

  it.each(Object.entries(rootRules))('refuses a root with %s', (_, [draft, code]) => {
    refused(() => verify(leaf(), [root(draft)]), code)
  })

  it('trusts nobody where there is no root', () => {
    refused(() => verify(leaf(), []), 'certificate_untrusted')
  })

  it('refuses an SVID with any one of its bits flipped', () => {
    const der = leafDer()
    const roots = [root()]
    const accepted: number[] = []
    for (let bit = 0; bit < der.length * 8; bit += 1) {
      const bytes = new Uint8Array(der)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      try {
        verify(parseCertificate(bytes), roots)
        accepted.push(bit)
      } catch (error) {
        expect(error).toBeInstanceOf(ProofError)
      }
    }
    expect(accepted).toEqual([])
  })
})

describe('certificates of others', () => {
  it('verifies what @peculiar/x509 makes', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const agentKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const period = { notBefore: new Date('2026-01-01'), notAfter: new Date('2051-01-01') }
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: 'CN=root, O=Acme',
      ...period,
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: 'spiffe://acme.example' }]),
      ],
    })
    const svid = await x509.X509CertificateGenerator.create({
      serialNumber: '7f0102030405060708090a0b0c0d0e0f',
      issuer: ca.subjectName,
      ...period,
      signingAlgorithm: algorithm,
      publicKey: agentKeys.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: ID }], true),
        await x509.SubjectKeyIdentifierExtension.create(agentKeys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    const one = parseCertificate(new Uint8Array(svid.rawData))
    expect(one.serial).toBe('7f0102030405060708090a0b0c0d0e0f')
    expect(one.notAfterMs).toBe(Date.UTC(2051, 0, 1))
    const roots = [parseCertificate(new Uint8Array(ca.rawData))]
    expect(verify(one, roots)).toEqual({ spiffeId: ID, trustDomain: 'acme.example' })
    refused(() => verify(one), 'certificate_untrusted')
  })

  const hasOpenssl = spawnSync('openssl', ['version']).status === 0

  it.skipIf(!hasOpenssl)('verifies what openssl makes, and openssl what is written here', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trustwarden-certificate-'))
    const run = (...args: readonly string[]) =>
      execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256']
      writeFileSync(
        join(folder, 'leaf.ext'),
        [
          'basicConstraints=critical,CA:false',
          'keyUsage=critical,digitalSignature',
          'extendedKeyUsage=serverAuth,clientAuth',
          `subjectAltName=critical,URI:${ID}`,
          'subjectKeyIdentifier=hash',
          'authorityKeyIdentifier=keyid',
          '1.3.6.1.4.1.32473.8108.1=DER:a0',
        ].join('\n'),
      )
      run(
        'req',
        '-x509',
        ...curve,
        '-keyout',
        'ca.key',
        '-out',
        'ca.pem',
        '-subj',
        '/O=Acme/CN=root',
        '-days',
        '2',
        '-addext',
        'keyUsage=critical,keyCertSign,cRLSign',
        '-addext',
        'subjectAltName=URI:spiffe://acme.example',
      )
      run('req', ...curve, '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/')
      run(
        'x509',
        '-req',
        '-in',
        'leaf.csr',
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-sha256',
        '-days',
        '1',
        '-extfile',
        'leaf.ext',
        '-outform',
        'DER',
        '-out',
        'leaf.der',
      )
      run('x509', '-in', 'ca.pem', '-outform', 'DER', '-out', 'ca.der')
      const one = parseCertificate(readFileSync(join(folder, 'leaf.der')))
      const roots = [parseCertificate(readFileSync(join(folder, 'ca.der')))]
      const expected = { spiffeId: ID, trustDomain: 'acme.example' }
      expect(verify(one, roots, one.notBeforeMs + 1000)).toEqual(expected)
      expect(one.otherExtensions.get('1.3.6.1.4.1.32473.8108.1')?.value).toEqual(fromHex('a0'))
      refused(() => verify(one, roots, one.notAfterMs + 1000), 'certificate_expired')

      writeFileSync(join(folder, 'own.der'), leafDer())
      writeFileSync(join(folder, 'own-ca.der'), root().der)
      run('x509', '-inform', 'DER', '-in', 'own.der', '-out', 'own.pem')
      run('x509', '-inform', 'DER', '-in', 'own-ca.der', '-out', 'own-ca.pem')
      const verdict = run(
        'verify',
        '-attime',
        String(AT / 1000),
        '-CAfile',
        'own-ca.pem',
        'own.pem',
      )
      expect(verdict.toString()).toContain('own.pem: OK')
      expect(toHex(leaf().signature)).toHaveLength(128)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
