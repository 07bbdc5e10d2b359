/**
 * @module A private authority and certificates of it, as PEM files that a listener reads.
 */
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000

/** What a certificate says. */
export interface LeafOptions {
  /** Days from now; default −1 to 90. */
  readonly from?: number
  readonly days?: number
  /** Default: this machine. */
  readonly names?: readonly { readonly type: 'dns' | 'ip'; readonly value: string }[]
}

/** An authority. */
export interface TestAuthority {
  readonly pem: string
  /** A certificate with its key, both PEM. */
  readonly issue: (
    options?: LeafOptions,
  ) => Promise<{ readonly cert: string; readonly key: string }>
}

const drawKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])

async function privatePem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey)
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n')
}

/** Makes an authority. */
export async function makeAuthority(name = 'CN=test authority'): Promise<TestAuthority> {
  const keys = await drawKeys()
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name,
    notBefore: new Date(Date.now() - 400 * DAY_MS),
    notAfter: new Date(Date.now() + 400 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  })
  let serial = 1
  return {
    pem: `${root.toString('pem')}\n`,
    issue: async ({ from = -1, days = 90, names } = {}) => {
      const own = await drawKeys()
      const leaf = await X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(4, '0'),
        subject: 'CN=test service',
        issuer: root.subject,
        notBefore: new Date(Date.now() + from * DAY_MS),
        notAfter: new Date(Date.now() + days * DAY_MS),
        signingAlgorithm: ALGORITHM,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new SubjectAlternativeNameExtension([
            ...(names ?? [
              { type: 'ip', value: '127.0.0.1' },
              { type: 'dns', value: 'localhost' },
            ]),
          ]),
        ],
      })
      return { cert: `${leaf.toString('pem')}\n`, key: await privatePem(own) }
    },
  }
}

/** Writes a pair where a listener reads it. */
export function writePair(
  files: { readonly cert: string; readonly key: string },
  pair: { readonly cert: string; readonly key: string },
): void {
  writeFileSync(files.cert, pair.cert)
  writeFileSync(files.key, pair.key, { mode: 0o600 })
}
