/**
 * @module The extension of an agent's certificate that says from whom its right comes: owner, ancestors, scope, and the
 * digest of the delegation record. What it says counts for nothing until it equals the record (FORMAT §9.3).
 */
import {
  cborArray,
  cborBytes,
  cborMap,
  cborText,
  cborUint,
  type CborValue,
  decodeCbor,
  encodeCbor,
  requireKeys,
} from './cbor.ts'
import { equalBytes } from './bytes.ts'
import { check, ProofError } from './errors.ts'
import { HASH_LENGTH } from './merkle.ts'
import { parseOrigin } from './origin.ts'
import { parseOwner } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'
import { parseScope, type Scope, scopeHash } from './scope.ts'
import { parseInstanceId } from './spiffe-id.ts'

/** The extension's object identifier. */
export const SVID_EXTENSION_OID = '1.3.6.1.4.1.32473.8108.1'

/** The version of the extension that this release reads and writes. */
export const SVID_EXTENSION_VERSION = 1

/** Delegations from an owner's own agent down, at most: 9 agents from root to self. */
export const DEPTH_MAX = 8

/** What the extension says. */
export interface SvidExtension {
  /** Content digest of the delegation record. */
  readonly recordDigest: Hash
  /** `owner:<kid>` */
  readonly owner: string
  /** 0 for an owner's own agent, and the count of ancestors. */
  readonly depth: number
  /** Root first, parent last: instance id, and the log's size in its record. */
  readonly ancestors: readonly { readonly instance: string; readonly size: number }[]
  readonly scope: Scope
  /** Origin of the log. */
  readonly origin: string
  /** The log's size in the agent's own record. */
  readonly size: number
}

/**
 * Encodes the extension's value; `decodeSvidExtension` gives back the same.
 *
 * @throws {ProofError} as `decodeSvidExtension`, for what it would refuse.
 * @see FORMAT §8.2
 */
export function encodeSvidExtension(p: Primitives, extension: SvidExtension): Uint8Array {
  const { recordDigest, owner, depth, ancestors, scope, origin, size } = extension
  const bytes = encodeCbor(
    new Map<number, CborValue>([
      [0, SVID_EXTENSION_VERSION],
      [1, recordDigest],
      [2, owner],
      [3, depth],
      [4, ancestors.map((ancestor) => [ancestor.instance, ancestor.size])],
      [5, scope.texts],
      [6, scopeHash(p, scope)],
      [7, origin],
      [8, size],
    ]),
  )
  decodeSvidExtension(p, bytes)
  return bytes
}

/**
 * Decodes the extension's value.
 *
 * @throws {ProofError} `version_unknown`; `certificate_invalid` for everything else that it may not say.
 * @see FORMAT §8.2
 */
export function decodeSvidExtension(p: Primitives, bytes: Uint8Array): SvidExtension {
  try {
    return decode(p, bytes)
  } catch (cause) {
    if (!(cause instanceof ProofError) || cause.code === 'version_unknown') throw cause
    const message = `delegation extension: ${cause.message}`
    throw new ProofError('certificate_invalid', message, { cause })
  }
}

function decode(p: Primitives, bytes: Uint8Array): SvidExtension {
  const map = cborMap(decodeCbor(bytes), 'extension')
  const version = cborUint(map.get(0), 'version')
  check(version === SVID_EXTENSION_VERSION, 'version_unknown', `extension version ${version}`)
  requireKeys(map, [0, 1, 2, 3, 4, 5, 6, 7, 8], [], 'extension')
  const depth = cborUint(map.get(3), 'depth')
  check(depth <= DEPTH_MAX, 'too_large', `depth: ${depth}, at most ${DEPTH_MAX}`)
  const ancestors = cborArray(map.get(4), 'ancestors').map(decodeAncestor)
  check(ancestors.length === depth, 'claim_invalid', 'ancestors: not as many as the depth')
  const distinct = new Set(ancestors.map(({ instance }) => instance)).size
  check(distinct === depth, 'claim_invalid', 'ancestors: an instance twice')
  const scope = parseScope(cborArray(map.get(5), 'scope').map((one) => cborText(one, 'grant')))
  const hash = cborBytes(map.get(6), 'scope hash', HASH_LENGTH)
  check(equalBytes(hash, scopeHash(p, scope)), 'claim_invalid', 'scope hash: of another scope')
  return {
    recordDigest: cborBytes(map.get(1), 'record digest', HASH_LENGTH),
    owner: parseOwner(cborText(map.get(2), 'owner')),
    depth,
    ancestors,
    scope,
    origin: parseOrigin(cborText(map.get(7), 'origin')),
    size: cborUint(map.get(8), 'size'),
  }
}

function decodeAncestor(value: CborValue): SvidExtension['ancestors'][number] {
  const pair = cborArray(value, 'ancestor')
  check(pair.length === 2, 'malformed', 'ancestor: not [instance, size]')
  const instance = cborText(pair[0], 'ancestor instance')
  parseInstanceId(instance)
  return { instance, size: cborUint(pair[1], 'ancestor size') }
}
