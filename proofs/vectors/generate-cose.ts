/**
 * @module COSE_Sign1 of any content, right or wrong: the kit's own writer writes nothing wrong, so here each part is put
 * in its place by hand.
 */
import { concatBytes, fromBase64url, utf8Encode } from '../bytes.ts'
import { type CborValue, encodeCbor } from '../cbor.ts'
import { type JsonObject, jsonString, type JsonValue } from '../json.ts'
import type { VectorKey } from './generate-keys.ts'

/** Labels of a protected header, in any order. */
export type CoseHeader = ReadonlyMap<string | number, CborValue>

/** A COSE_Sign1, taken apart. */
export interface CoseParts {
  /** The encoded protected header. */
  readonly header: Uint8Array
  readonly unprotected: CborValue
  readonly payload: CborValue
  readonly signature: CborValue
}

const TAG = Uint8Array.of(0xd2)
// Deeper than any reader goes.
const DEPTH_MAX = 64
const ALGORITHMS: ReadonlyMap<JsonValue | undefined, number> = new Map([
  ['ES256', -7],
  ['EdDSA', -8],
])

/** The protected header that says what a header says in JWS; a member that it does not have becomes a text label. */
export function coseHeader(members: JsonObject): CoseHeader {
  const { alg, kid, typ, iss, sub, aud, iat, jti, ...rest } = members
  const claims = entriesOf([
    [1, iss],
    [2, sub],
    [3, aud],
    [6, iat],
    [7, jti === undefined ? undefined : utf8Encode(jsonString(jti, 'jti'))],
  ])
  return entriesOf([
    [1, ALGORITHMS.get(alg)],
    [4, kid === undefined ? undefined : fromBase64url(jsonString(kid, 'kid'))],
    [15, claims],
    [16, typ === undefined ? undefined : `application/${jsonString(typ, 'typ')}`],
    ...Object.entries(rest),
  ])
}

/** Signs a payload under a protected header, with an empty unprotected one. */
export function signCose(by: VectorKey, header: CoseHeader, payload: Uint8Array): CoseParts {
  const protectedHeader = encodeCbor(header)
  return {
    header: protectedHeader,
    unprotected: new Map(),
    payload,
    signature: by.sign(encodeCbor(['Signature1', protectedHeader, new Uint8Array(), payload])),
  }
}

/** Puts the parts together, under `tag`. */
export function coseBytes(
  { header, unprotected, payload, signature }: CoseParts,
  tag: Uint8Array = TAG,
): Uint8Array {
  return concatBytes(tag, encodeCbor([header, unprotected, payload, signature], DEPTH_MAX))
}

function entriesOf(
  entries: readonly (readonly [string | number, JsonValue | CborValue | undefined])[],
): CoseHeader {
  const present = entries.filter(([, value]) => value !== undefined)
  return new Map(present.map(([label, value]) => [label, value as CborValue]))
}
