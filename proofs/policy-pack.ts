/**
 * @module Pinned policies: the module, its data and its revision, as one attachment that is named by its SHA-256.
 */
import { cborBytes, cborMap, cborText, cborUint, decodeCbor, requireKeys } from './cbor.ts'
import { check } from './errors.ts'
import { parseJson } from './json.ts'

/** Bytes in a policy, as in every pinned attachment. */
export const POLICY_BYTES_MAX = 4_194_304

/** A policy, as pinned. */
export interface PolicyPack {
  readonly wasm: Uint8Array
  /** JSON, as pinned. */
  readonly data: Uint8Array
  readonly revision: string
}

/**
 * Reads a pinned policy. Whether the module is one that can be run is for whoever runs it.
 *
 * @throws {ProofError} `too_large` over 4 MiB; `version_unknown`; `malformed` or `not_canonical` for other bytes, and
 *   for data that are no JSON.
 * @see FORMAT §10.5
 */
export function parsePolicyPack(bytes: Uint8Array): PolicyPack {
  const map = cborMap(decodeCbor(bytes, { maxBytes: POLICY_BYTES_MAX }), 'policy')
  const version = cborUint(map.get(0), 'policy version')
  check(version === 1, 'version_unknown', `policy: version ${version} is not known`)
  requireKeys(map, [0, 1, 2, 3], [], 'policy')
  const data = cborBytes(map.get(2), 'policy data')
  parseJson(data, { maxBytes: POLICY_BYTES_MAX })
  return {
    wasm: cborBytes(map.get(1), 'policy module'),
    data,
    revision: cborText(map.get(3), 'policy revision'),
  }
}
