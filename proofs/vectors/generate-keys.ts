/** @module Keys from fixed seeds, for vectors only. Signatures are deterministic: Ed25519, and ECDSA after RFC 6979. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { toBase64url, utf8Encode } from '../bytes.ts'
import { ed25519Spki, type KeyAlg, keyId, p256Spki } from '../key.ts'
import { noblePrimitives } from '../noble.ts'

/** A key pair that everybody can compute: it protects nothing. */
export interface VectorKey {
  readonly alg: KeyAlg
  /** 32 bytes, or 65 for P-256. */
  readonly publicKey: Uint8Array
  readonly spki: Uint8Array
  readonly kid: string
  /** 64 bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

const keys = new Map<string, VectorKey>()
const signatures = new Map<string, Uint8Array>()

/** The key of this label: its secret is SHA-256 of `trustwarden/vectors/` and the label. */
export function vectorKey(alg: KeyAlg, label: string): VectorKey {
  const name = `${alg} ${label}`
  const known = keys.get(name)
  if (known !== undefined) return known
  const secret = seeded(label)
  const isEdwards = alg === 'EdDSA'
  const publicKey = isEdwards ? ed25519.getPublicKey(secret) : p256.getPublicKey(secret, false)
  const spki = isEdwards ? ed25519Spki(publicKey) : p256Spki(publicKey)
  const made: VectorKey = {
    alg,
    publicKey,
    spki,
    kid: keyId(noblePrimitives, spki),
    sign: (message) => {
      // Most stories begin alike.
      const key = `${name} ${toBase64url(noblePrimitives.sha256(message))}`
      const earlier = signatures.get(key)
      if (earlier !== undefined) return earlier
      const signature = isEdwards ? ed25519.sign(message, secret) : p256.sign(message, secret)
      signatures.set(key, signature)
      return signature
    },
  }
  keys.set(name, made)
  return made
}

/** 32 bytes that follow from a label. */
export function seeded(label: string): Uint8Array {
  return noblePrimitives.sha256(utf8Encode(`trustwarden/vectors/${label}`))
}
