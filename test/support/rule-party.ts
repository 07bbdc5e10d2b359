/** @module Who signs under test: people and agents with real keys, and agents' requests for certificates. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { keyId } from '@trustwarden/proofs'
import type { Hash, JsonObject } from '@trustwarden/proofs'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import type { Signer } from '../../src/crypto.ts'

/** Somebody with a key: who signs as whom. */
export interface Party {
  readonly principal: string
  readonly kid: string
  readonly signer: Signer
}

/** An agent under test: its key, and what its own record said. */
export interface TestAgent extends Party {
  readonly name: string
  readonly csr: Uint8Array
  readonly record: Hash
  readonly root: Hash
  readonly payload: JsonObject
}

/**
 * Draws a key and reads it back, so that the key object shares no lock with the job that drew it: in Node 20 a
 * collection of garbage that ends the job while the key is exported waits for itself.
 */
export function drawSigner(alg: 'EdDSA' | 'ES256'): Signer {
  const encodings = {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  } as const
  const { privateKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519', encodings)
      : generateKeyPairSync('ec', { namedCurve: 'P-256', ...encodings })
  if (typeof privateKey !== 'string') throw new Error('not a PEM')
  return signerFromPrivateKey(createPrivateKey(privateKey))
}

/** Draws a key for somebody of a role. */
export function party(role: string, alg: 'EdDSA' | 'ES256' = 'EdDSA'): Party {
  const signer = drawSigner(alg)
  const kid = keyId(nativePrimitives, signer.spki)
  return { principal: `${role}:${kid}`, kid, signer }
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts)
  const head = body.length < 128 ? [body.length] : [0x81, body.length]
  return Uint8Array.of(tag, ...head, ...body)
}

function derNumber(bytes: Uint8Array): Uint8Array {
  const from = bytes.findIndex((byte) => byte !== 0)
  const trimmed = bytes.subarray(from)
  return der(2, (trimmed[0] ?? 0) < 128 ? trimmed : Buffer.concat([Buffer.from([0]), trimmed]))
}

/** A PKCS#10 request for the signer's key, signed by `by`. */
export function makeCsr(signer: Signer, by: Signer = signer): Uint8Array {
  const info = der(0x30, der(2, Uint8Array.of(0)), der(0x30), signer.spki, der(0xa0))
  const raw = by.sign(info)
  const signature = der(0x30, derNumber(raw.subarray(0, 32)), derNumber(raw.subarray(32)))
  const algorithm = Buffer.from('300a06082a8648ce3d040302', 'hex')
  return der(0x30, info, algorithm, der(3, Uint8Array.of(0), signature))
}

/** The element at an index that is there. */
export function at<T>(list: readonly T[], index: number): T {
  const found = list.at(index)
  if (found === undefined) throw new Error(`nothing at ${index}`)
  return found
}
