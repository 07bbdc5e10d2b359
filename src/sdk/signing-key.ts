/**
 * @module Private keys in memory that sign: Ed25519 and P-256, named by their one encoding (FORMAT §2). A key in an
 * HSM takes the same shape.
 */
import {
  createPublicKey,
  createPrivateKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign as signBytes,
} from 'node:crypto'
import {
  concatBytes,
  ed25519Spki,
  type KeyAlg,
  keyId,
  noblePrimitives,
  p256Spki,
} from '@trustwarden/proofs'
import { TrustWardenError } from './errors.ts'

/** Something that signs with one key. */
export interface SigningKey {
  readonly alg: KeyAlg
  /** DER SubjectPublicKeyInfo in its one encoding (FORMAT §2.1). */
  readonly spki: Uint8Array
  /** The key id: base64url(SHA-256(spki)). */
  readonly kid: string
  /** Signs the message itself: 64 bytes, R ‖ S or r ‖ s. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

function member(jwk: JsonWebKey, name: 'x' | 'y'): Uint8Array {
  return new Uint8Array(Buffer.from(jwk[name] ?? '', 'base64url'))
}

function spkiOf(key: KeyObject): { readonly alg: KeyAlg; readonly spki: Uint8Array } {
  const jwk = createPublicKey(key).export({ format: 'jwk' })
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519')
    return { alg: 'EdDSA', spki: ed25519Spki(member(jwk, 'x')) }
  if (jwk.kty === 'EC' && jwk.crv === 'P-256')
    return {
      alg: 'ES256',
      spki: p256Spki(concatBytes(Uint8Array.of(4), member(jwk, 'x'), member(jwk, 'y'))),
    }
  throw new TrustWardenError('key_invalid', 'key is neither Ed25519 nor P-256')
}

/**
 * Makes a signing key of a private key of node:crypto.
 *
 * @throws TrustWardenError `key_invalid` for a public key, or one that is neither Ed25519 nor P-256.
 */
export function signingKey(key: KeyObject): SigningKey {
  if (key.type !== 'private') throw new TrustWardenError('key_invalid', 'not a private key')
  const { alg, spki } = spkiOf(key)
  const sign =
    alg === 'EdDSA'
      ? (message: Uint8Array) => new Uint8Array(signBytes(null, message, key))
      : (message: Uint8Array) =>
          new Uint8Array(signBytes('sha256', message, { key, dsaEncoding: 'ieee-p1363' }))
  return { alg, spki, kid: keyId(noblePrimitives, spki), sign }
}

// A drawn key is read back from its bytes: a key object straight from the job that drew it shares that job's lock, and on
// Node 20 a garbage collection during its export then waits for itself for ever.
const KEY_PAIR_ENCODINGS = {
  privateKeyEncoding: { format: 'pem', type: 'pkcs8' },
  publicKeyEncoding: { format: 'pem', type: 'spki' },
} as const

/** Draws a private key: Ed25519 for `EdDSA`, P-256 for `ES256`. */
export function drawKey(alg: KeyAlg): KeyObject {
  const { privateKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519', KEY_PAIR_ENCODINGS)
      : generateKeyPairSync('ec', { namedCurve: 'P-256', ...KEY_PAIR_ENCODINGS })
  if (typeof privateKey !== 'string') throw new TypeError('the key was not drawn as PEM')
  return createPrivateKey(privateKey)
}
