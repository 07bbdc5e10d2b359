/**
 * @module Certificate requests (PKCS#10, RFC 2986) for an agent's P-256 key: empty subject, no attributes. What the
 * certificate says comes from the delegation record; the request shows only that the requester holds the key.
 */
import { concatBytes } from '@trustwarden/proofs'
import { TrustWardenError } from './errors.ts'
import type { SigningKey } from './signing-key.ts'

const TAG = { integer: 0x02, bitString: 0x03, sequence: 0x30, attributes: 0xa0 } as const
/** OID 1.2.840.10045.4.3.2, ecdsa-with-SHA256, encoded. */
const ECDSA_SHA256 = Uint8Array.of(6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2)
/** A request has about 200 bytes; two octets of length are never needed beyond this. */
const CONTENT_LENGTH_MAX = 255

/** One DER value with its length in the shortest form (X.690 §10.1). */
function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts)
  const { length } = content
  if (length > CONTENT_LENGTH_MAX)
    throw new TrustWardenError('argument_invalid', `request value is ${length} bytes, at most 255`)
  const head = length < 128 ? [tag, length] : [tag, 0x81, length]
  return concatBytes(Uint8Array.from(head), content)
}

/** An unsigned big-endian number as INTEGER: no leading zeros but the one that keeps it positive. */
function integer(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0)
  const number = first < 0 ? Uint8Array.of(0) : bytes.subarray(first)
  const isNegative = (number[0] ?? 0) >= 128
  return der(TAG.integer, ...(isNegative ? [Uint8Array.of(0)] : []), number)
}

function bitString(bytes: Uint8Array): Uint8Array {
  return der(TAG.bitString, Uint8Array.of(0), bytes)
}

/**
 * Makes a request for `key`, signed by it.
 *
 * @returns DER, about 200 bytes.
 * @throws TrustWardenError `key_invalid` for a key that is not P-256.
 * @see RFC 2986 §4; RFC 5758 §3.2
 */
export function createCsr(key: SigningKey): Uint8Array {
  if (key.alg !== 'ES256')
    throw new TrustWardenError('key_invalid', "an agent's key is P-256 (FORMAT §8.1)")
  const version = integer(Uint8Array.of(0))
  const subject = der(TAG.sequence)
  const info = der(TAG.sequence, version, subject, key.spki, der(TAG.attributes))
  const signature = key.sign(info)
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
  const numbers = der(TAG.sequence, integer(r), integer(s))
  return der(TAG.sequence, info, der(TAG.sequence, ECDSA_SHA256), bitString(numbers))
}
