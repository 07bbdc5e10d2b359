/** @module Signers of statements with fixed seeds, and statements of any content, right or wrong. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import type { JsonValue } from '../../proofs/json.ts'
import { ed25519Spki, keyId, p256Spki, type KeyAlg } from '../../proofs/key.ts'
import { noblePrimitives } from '../../proofs/noble.ts'
import { parseStatement, type Statement } from '../../proofs/statement.ts'

export const ORIGIN = 'log.example/logs/main'
export const TRUST_DOMAIN = 'example.com'
export const PARENT = 'spiffe://example.com/finance/inst-aaaaa'
export const CHILD_NAME = 'spiffe://example.com/finance/reader'
export const CHILD = `${CHILD_NAME}/inst-bbbbb`

export interface Signer {
  readonly alg: KeyAlg
  readonly spki: Uint8Array
  readonly kid: string
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** A key from a seed of 32 equal bytes. */
export function signer(alg: KeyAlg, seed: number): Signer {
  const secret = new Uint8Array(32).fill(seed)
  if (alg === 'EdDSA') {
    const spki = ed25519Spki(ed25519.getPublicKey(secret))
    const kid = keyId(noblePrimitives, spki)
    return { alg, spki, kid, sign: (message) => ed25519.sign(message, secret) }
  }
  const spki = p256Spki(p256.getPublicKey(secret, false))
  const kid = keyId(noblePrimitives, spki)
  return { alg, spki, kid, sign: (message) => p256.sign(message, secret) }
}

/** The other signature (r, n − s) of the same content. */
export function otherSignature(signature: Uint8Array): Uint8Array {
  const { r, s } = p256.Signature.fromBytes(signature)
  const order = p256.Point.Fn.ORDER
  return new p256.Signature(r, order - s).toBytes()
}

export type JsonRecord = Readonly<Record<string, unknown>>

/** `object` with members replaced; `undefined` takes one away. */
export function patched(object: JsonRecord, patch: JsonRecord): JsonRecord {
  const entries = Object.entries({ ...object, ...patch })
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** A compact JWS over any header and payload, given as values or as JSON text. */
export function compact(by: Signer, header: unknown, payload: unknown): string {
  const [head, body] = [header, payload].map((part) =>
    toBase64url(utf8Encode(typeof part === 'string' ? part : JSON.stringify(part))),
  )
  const signed = `${head}.${body}`
  return `${signed}.${toBase64url(by.sign(utf8Encode(signed)))}`
}

/** A header that is right for an instance (`spiffe:` in `iss`) or a key. */
export function headerOf(by: Signer, type: string, iss: string, sub: string): JsonRecord {
  return {
    alg: by.alg,
    kid: by.kid,
    typ: `vnd.trustwarden.${type}`,
    aud: ORIGIN,
    iss,
    sub,
    iat: 1_800_000_000,
    jti: 'event-1',
    ...(iss.startsWith('spiffe:') ? { seq: 1 } : {}),
  }
}

/** A statement, parsed. */
export function statement(
  by: Signer,
  type: string,
  iss: string,
  sub: string,
  payload: unknown,
  patch: JsonRecord = {},
): Statement {
  return parseStatement(compact(by, patched(headerOf(by, type, iss, sub), patch), payload))
}

/** The disclosure of a value under a fixed salt. */
export function disclosure(name: string, value: JsonValue, salt = 1): string {
  const salted = [toBase64url(new Uint8Array(16).fill(salt)), name, value]
  return toBase64url(utf8Encode(JSON.stringify(salted)))
}

/** `_sd` and `_sd_alg` for these disclosures. */
export function commitmentsTo(...disclosures: readonly string[]): JsonRecord {
  if (disclosures.length === 0) return {}
  const digests = disclosures.map((one) => toBase64url(noblePrimitives.sha256(utf8Encode(one))))
  return { _sd: digests.sort(), _sd_alg: 'sha-256' }
}

/** Base64url of 32 equal bytes. */
export function digestOf(byte: number): string {
  return toBase64url(new Uint8Array(32).fill(byte))
}
