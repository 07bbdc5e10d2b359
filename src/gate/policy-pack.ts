/**
 * @module A policy as one string of bytes: what is pinned in the log, and what a policy's digest is of (FORMAT §10.5).
 */
import {
  cborBytes,
  cborMap,
  cborText,
  cborUint,
  decodeCbor,
  encodeCbor,
  ProofError,
  requireKeys,
} from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'

/** Longest policy: a pinned attachment (FORMAT §1.4). */
export const POLICY_BYTES_MAX = 4_194_304
/** Longest revision, in UTF-16 code units. */
export const REVISION_LENGTH_MAX = 128

const PACK_VERSION = 1

/** A compiled policy and the data that it reads. */
export interface Policy {
  /** A module as `opa build -t wasm` writes it. */
  readonly wasm: Uint8Array
  /** I-JSON of one object, as it was written: it is pinned byte for byte. */
  readonly data: Uint8Array
  /** What its authors call this state of it. */
  readonly revision: string
}

/**
 * Encodes a policy: CBOR `{0: 1, 1: wasm, 2: data, 3: revision}`.
 *
 * @throws {ServiceError} `policy_invalid` if it is over 4 MiB or the revision is not 1 to 128 printable characters.
 */
export function encodePolicy({ wasm, data, revision }: Policy): Uint8Array {
  checkRevision(revision)
  const bytes = asPolicyError(() =>
    encodeCbor(
      new Map<number, number | string | Uint8Array>([
        [0, PACK_VERSION],
        [1, wasm],
        [2, data],
        [3, revision],
      ]),
    ),
  )
  if (bytes.length > POLICY_BYTES_MAX) {
    throw new ServiceError(
      'policy_invalid',
      `the policy is ${bytes.length} bytes, at most ${POLICY_BYTES_MAX}`,
    )
  }
  return bytes
}

/**
 * Decodes a policy. Whether it can be used is for `PolicyHost.load` to find out.
 *
 * @throws {ServiceError} `policy_invalid` for anything but the one encoding of a policy of this version.
 */
export function decodePolicy(bytes: Uint8Array): Policy {
  return asPolicyError(() => {
    const limits = { maxBytes: POLICY_BYTES_MAX, maxDepth: 1, maxItems: 9 }
    const map = cborMap(decodeCbor(bytes, limits), 'policy')
    requireKeys(map, [0, 1, 2, 3], [], 'policy')
    const version = cborUint(map.get(0), 'version')
    if (version !== PACK_VERSION) {
      throw new ServiceError('policy_invalid', `the policy is of version ${version}, not 1`)
    }
    const revision = cborText(map.get(3), 'revision')
    checkRevision(revision)
    return { wasm: cborBytes(map.get(1), 'wasm'), data: cborBytes(map.get(2), 'data'), revision }
  })
}

/** The digest by which decisions and activations name a policy: SHA-256 over what `encodePolicy` gives. */
export function policyDigest(bytes: Uint8Array): Hash {
  return nativePrimitives.sha256(bytes)
}

function checkRevision(revision: string): void {
  const length = revision.length
  if (length === 0 || length > REVISION_LENGTH_MAX || /\p{Cc}/u.test(revision)) {
    throw new ServiceError(
      'policy_invalid',
      `the revision must be 1 to ${REVISION_LENGTH_MAX} printable characters`,
    )
  }
}

function asPolicyError<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    throw new ServiceError('policy_invalid', `policy: ${error.message}`, { cause: error })
  }
}
