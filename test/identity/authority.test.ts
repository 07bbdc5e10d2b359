/**
 * @module Goal: what the authority issues is an X.509-SVID by FORMAT §8 and for everybody else, and it issues nothing
 * else. Method: every certificate goes through the kit's strict reader and verifier, node's X509Certificate and, where
 * it is installed, `openssl verify -x509_strict`; each rule has a request that breaks it alone.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { noblePrimitives, parseCertificate, verifySvid } from '../../proofs/index.ts'
import { generateKey, signerFromPrivateKey } from '../../src/crypto.ts'
import { Authority } from '../../src/identity/authority.ts'
import type { SvidRequest } from '../../src/identity/authority.ts'
import { spiffeBundle } from '../../src/identity/spiffe-bundle.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const DELEGATION_OID = '1.3.6.1.4.1.32473.8108.1'
const agent = signerFromPrivateKey(generateKey('ES256'))

let rootKey: KeyObject
let rootDer: Uint8Array
let authority: Authority

beforeAll(async () => {
  const root = await Authority.createRoot({ trustDomain: 'acme.example', nowMs: NOW, days: 365 })
  rootKey = root.key
  rootDer = root.certificateDer
  authority = Authority.open(asOptions(root.key, root.certificateDer))
})

function asOptions(
  key: KeyObject,
  certificateDer: Uint8Array,
): Parameters<typeof Authority.open>[0] {
  return { key, certificateDer }
}

function svid(change: Partial<SvidRequest> = {}): SvidRequest {
  return {
    spiffeId: 'spiffe://acme.example/finance/payments/inst-0123456789',
    publicKeySpki: agent.spki,
    notBeforeMs: NOW,
    notAfterMs: NOW + 3_600_000,
    serial: randomBytes(16),
    delegationExtension: Uint8Array.of(0xa1, 0, 1),
    ...change,
  }
}

function code(expected: string): unknown {
  return expect.objectContaining({ name: 'IdentityError', code: expected })
}

/** Runs `openssl verify -x509_strict` on the leaf; undefined where openssl is not installed. */
function opensslVerify(root: Uint8Array, leaf: Uint8Array, purpose: string): string | undefined {
  if (spawnSync('openssl', ['version']).error !== undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'authority-'))
  try {
    const paths = [root, leaf].map((der, at) => {
      const path = join(folder, `${at}.pem`)
      writeFileSync(path, new X509Certificate(der).toString())
      return path
    })
    const time = String((NOW + 1000) / 1000)
    const [ca = '', certificate = ''] = paths
    const checks = ['-x509_strict', '-check_ss_sig', '-purpose', purpose, '-attime', time]
    return execFileSync('openssl', ['verify', ...checks, '-CAfile', ca, certificate], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('the root', () => {
  it('is a self-signed authority of its trust domain', () => {
    const root = parseCertificate(rootDer)
    expect(root.uris).toEqual(['spiffe://acme.example'])
    expect(root.basicConstraints).toEqual({ critical: true, isAuthority: true, pathLength: 0 })
    expect(root.keyUsage).toEqual({ critical: true, bits: ['keyCertSign', 'cRLSign'] })
    expect(root.extendedKeyUsage).toBeUndefined()
    expect(root.subjectKeyId).toHaveLength(20)
    expect([root.notBeforeMs, root.notAfterMs]).toEqual([NOW, NOW + 365 * 86_400_000])
    expect(root.subject).toEqual(root.issuer)
    expect(noblePrimitives.p256Verify(root.publicKey, root.tbs, root.signature)).toBe(true)
    const certificate = new X509Certificate(rootDer)
    expect(certificate.ca).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(authority.trustDomain).toBe('acme.example')
    expect(authority.notAfterMs).toBe(root.notAfterMs)
  })

  it('has a name of its own for each generation, and writes years from 2050 on as they must be', async () => {
    const nowMs = Date.UTC(2045, 0, 1)
    const other = await Authority.createRoot({ trustDomain: 'acme.example', nowMs, days: 3650 })
    const root = parseCertificate(other.certificateDer)
    expect(root.subject).not.toEqual(parseCertificate(rootDer).subject)
    expect(root.notAfterMs).toBe(nowMs + 3650 * 86_400_000)
  })

  it('refuses a trust domain or a life that cannot be, by code', async () => {
    for (const trustDomain of ['', 'Acme', 'acme/x', 'a'.repeat(256), 'acme:1', 'x\n']) {
      await expect(Authority.createRoot({ trustDomain, nowMs: NOW, days: 1 })).rejects.toEqual(
        code('trust_domain_invalid'),
      )
    }
    for (const days of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e9]) {
      const options = { trustDomain: 'acme.example', nowMs: NOW, days }
      await expect(Authority.createRoot(options)).rejects.toEqual(code('svid_validity_invalid'))
    }
  })

  it('carries a trust domain of the longest permitted length', async () => {
    const trustDomain = 'a'.repeat(255)
    const root = await Authority.createRoot({ trustDomain, nowMs: NOW, days: 1 })
    const opened = Authority.open(asOptions(root.key, root.certificateDer))
    const spiffeId = `spiffe://${trustDomain}/agent/inst-01234`
    const leaf = parseCertificate(await opened.issueSvid(svid({ spiffeId })))
    const verified = verifySvid(noblePrimitives, leaf, [parseCertificate(root.certificateDer)], NOW)
    expect(verified).toEqual({ spiffeId, trustDomain })
  })
})

describe('open', () => {
  it('refuses another key, a key of another kind, a leaf and changed bytes, by code', async () => {
    expect(() => Authority.open(asOptions(generateKey('ES256'), rootDer))).toThrow(
      code('authority_key_mismatch'),
    )
    expect(() => Authority.open(asOptions(generateKey('EdDSA'), rootDer))).toThrow(
      code('authority_key_unsupported'),
    )
    const leaf = await authority.issueSvid(svid())
    expect(() => Authority.open(asOptions(rootKey, leaf))).toThrow(code('authority_invalid'))
    fc.assert(
      fc.property(fc.nat({ max: rootDer.length * 8 - 1 }), (bit) => {
        const broken = rootDer.slice()
        const at = Math.floor(bit / 8)
        broken[at] = (broken[at] ?? 0) ^ (1 << (bit % 8))
        expect(() => Authority.open(asOptions(rootKey, broken))).toThrow(code('authority_invalid'))
      }),
      { numRuns: 200 },
    )
  })

  it('signs through a signer that is not a key of this process', async () => {
    const inner = signerFromPrivateKey(rootKey)
    const signed: number[] = []
    const remote = {
      ...inner,
      sign: (message: Uint8Array): Uint8Array => {
        signed.push(message.length)
        return inner.sign(message)
      },
    }
    const opened = Authority.open({ key: remote, certificateDer: rootDer })
    const leaf = parseCertificate(await opened.issueSvid(svid()))
    expect(signed).toEqual([leaf.tbs.length])
    verifySvid(noblePrimitives, leaf, [parseCertificate(rootDer)], NOW)
  })
})

describe('an SVID', () => {
  it('says exactly what FORMAT §8.1 says', async () => {
    const request = svid({ serial: Uint8Array.from({ length: 16 }, (_, at) => at + 1) })
    const leaf = parseCertificate(await authority.issueSvid(request))
    const root = parseCertificate(rootDer)
    expect(leaf.uris).toEqual([request.spiffeId])
    expect(leaf.subjectAltNameCritical).toBe(true)
    expect(leaf.subject).toEqual(Uint8Array.of(0x30, 0))
    expect(leaf.issuer).toEqual(root.subject)
    expect(leaf.serial).toBe('0102030405060708090a0b0c0d0e0f10')
    expect(leaf.basicConstraints?.isAuthority).toBe(false)
    expect(leaf.keyUsage).toEqual({ critical: true, bits: ['digitalSignature'] })
    expect(leaf.extendedKeyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(leaf.authorityKeyId).toEqual(root.subjectKeyId)
    expect(leaf.subjectKeyId).toHaveLength(20)
    expect(leaf.spki).toEqual(agent.spki)
    expect([...leaf.otherExtensions]).toEqual([
      [DELEGATION_OID, { critical: false, value: request.delegationExtension }],
    ])
    expect([leaf.notBeforeMs, leaf.notAfterMs]).toEqual([NOW, NOW + 3_600_000])
    expect(verifySvid(noblePrimitives, leaf, [root], NOW)).toEqual({
      spiffeId: request.spiffeId,
      trustDomain: 'acme.example',
    })
  })

  it('verifies for node, and for openssl -x509_strict as client and as server', async ({
    skip,
  }) => {
    const der = await authority.issueSvid(svid({ delegationExtension: randomBytes(3000) }))
    const certificate = new X509Certificate(der)
    const root = new X509Certificate(rootDer)
    expect(certificate.checkIssued(root)).toBe(true)
    expect(certificate.verify(root.publicKey)).toBe(true)
    expect(certificate.ca).toBe(false)
    expect(certificate.subjectAltName).toBe(`URI:${svid().spiffeId}`)
    const client = opensslVerify(rootDer, der, 'sslclient')
    if (client === undefined) skip('openssl is not installed')
    expect(client).toContain(': OK')
    expect(opensslVerify(rootDer, der, 'sslserver')).toContain(': OK')
  })

  it('holds the serial as an unsigned number, whatever its first bytes', async () => {
    const rest = Array.from({ length: 14 }, () => 7)
    const serials = [
      [[0x80, 0x00], '8000'],
      [[0x7f, 0xff], '7fff'],
      [[0x00, 0x80], '80'],
      [[0x00, 0x01], '01'],
      [[0xff, 0xff], 'ffff'],
    ] as const
    for (const [first, text] of serials) {
      const serial = Uint8Array.from([...first, ...rest])
      const leaf = parseCertificate(await authority.issueSvid(svid({ serial })))
      expect(leaf.serial).toBe(text + '07'.repeat(14))
    }
  })

  it('is in whole seconds and never outside the life of its root', async () => {
    const root = parseCertificate(rootDer)
    const inside = svid({ notBeforeMs: NOW + 1999, notAfterMs: NOW + 60_999 })
    const leaf = parseCertificate(await authority.issueSvid(inside))
    expect([leaf.notBeforeMs, leaf.notAfterMs]).toEqual([NOW + 1000, NOW + 60_000])
    const wide = svid({ notBeforeMs: NOW - 10_000, notAfterMs: NOW + 1e12 })
    const cut = parseCertificate(await authority.issueSvid(wide))
    expect([cut.notBeforeMs, cut.notAfterMs]).toEqual([root.notBeforeMs, root.notAfterMs])
  })

  it('has no delegation extension where none is given', async () => {
    const { delegationExtension: _, ...request } = svid()
    const leaf = parseCertificate(await authority.issueSvid(request))
    expect(leaf.otherExtensions.size).toBe(0)
  })

  it('is refused, by code, for ids, keys, serials and times that cannot be', async () => {
    const foreign = [
      'spiffe://other.example/finance/payments/inst-0123456789',
      'spiffe://acme.example.evil/a/inst-0123456789',
      'spiffe://acme.example',
      'spiffe://acme.example/a//b',
      'spiffe://acme.example/a/../b',
      'spiffe://acme.example/a\0b',
      'https://acme.example/a',
    ]
    for (const spiffeId of foreign) {
      await expect(authority.issueSvid(svid({ spiffeId }))).rejects.toEqual(
        code('spiffe_id_invalid'),
      )
    }
    const offCurve = agent.spki.slice()
    offCurve[90] = (offCurve[90] ?? 0) ^ 1
    const ed25519 = signerFromPrivateKey(generateKey('EdDSA')).spki
    for (const publicKeySpki of [offCurve, ed25519, new Uint8Array(0), agent.publicKey]) {
      await expect(authority.issueSvid(svid({ publicKeySpki }))).rejects.toEqual(
        code('svid_key_unsupported'),
      )
    }
    for (const serial of [new Uint8Array(16), randomBytes(15), randomBytes(17)]) {
      await expect(authority.issueSvid(svid({ serial }))).rejects.toEqual(
        code('svid_serial_invalid'),
      )
    }
    const times = [
      { notAfterMs: NOW },
      { notAfterMs: NOW - 1 },
      { notBeforeMs: Number.NaN },
      { notBeforeMs: NOW + 366 * 86_400_000, notAfterMs: NOW + 367 * 86_400_000 },
    ]
    for (const change of times) {
      await expect(authority.issueSvid(svid(change))).rejects.toEqual(code('svid_validity_invalid'))
    }
  })
})

describe('spiffeBundle', () => {
  it('is a JWK set as SPIFFE wants it: one certificate a key, no kid', async () => {
    const next = await Authority.createRoot({ trustDomain: 'acme.example', nowMs: NOW, days: 1 })
    const bundle = spiffeBundle([rootDer, next.certificateDer], 7)
    expect(bundle.spiffe_sequence).toBe(7)
    expect(bundle.spiffe_refresh_hint).toBe(300)
    expect(bundle.keys).toHaveLength(2)
    const [first] = bundle.keys
    expect(Object.keys(first ?? {}).toSorted()).toEqual(['crv', 'kty', 'use', 'x', 'x5c', 'y'])
    expect(new Uint8Array(Buffer.from(first?.x5c[0] ?? '', 'base64'))).toEqual(rootDer)
    const { x, y } = new X509Certificate(rootDer).publicKey.export({ format: 'jwk' })
    expect([first?.x, first?.y]).toEqual([x, y])
    expect(spiffeBundle([], 8, 60)).toEqual({
      spiffe_sequence: 8,
      spiffe_refresh_hint: 60,
      keys: [],
    })
  })

  it('refuses what is no authority, by code', async () => {
    const leaf = await authority.issueSvid(svid())
    expect(() => spiffeBundle([leaf], 1)).toThrow(code('authority_invalid'))
    expect(() => spiffeBundle([new Uint8Array(3)], 1)).toThrow(code('authority_invalid'))
  })
})
