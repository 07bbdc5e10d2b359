/**
 * @module The COSE_Sign1 envelope of a statement (RFC 9052; a Signed Statement in the sense of RFC 9943). It has one
 * encoding, so what is signed is put together from views of the bytes received, and nothing is encoded anew.
 */
import { fromBase64url, joinBytes, toBase64url, utf8Encode } from './bytes.ts'
import {
  cborBytesAt,
  cborMap,
  type CborMap,
  type CborValue,
  cborValueAt,
  decodeCbor,
  encodeCbor,
} from './cbor.ts'
import { check, ProofError } from './errors.ts'
import { checkString, type JsonObject, type JsonValue } from './json.ts'
import type { KeyAlg } from './key.ts'
import { HASH_LENGTH } from './merkle.ts'
import { EVENT_ID_LENGTH_MAX, type SigningHeader, TYP_PREFIX } from './statement-header.ts'

/** A COSE_Sign1 that has the form of one, its unprotected header empty. Views of its bytes, but for what is signed. */
export interface CoseSign1 {
  /** The protected header, under the names that its claims have in JWS. */
  readonly header: JsonObject
  readonly payloadBytes: Uint8Array
  /** The encoded Sig_structure (RFC 9052 §4.4). */
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

// Tag 18, an array of four.
const SIGN1 = Uint8Array.of(0xd2, 0x84)
// An array of four that begins with the text 'Signature1'.
const SIG_STRUCTURE = joinBytes([Uint8Array.of(0x84, 0x6a), utf8Encode('Signature1')])
const NO_BYTES = Uint8Array.of(0x40)
const EMPTY_MAP = 0xa0
const MEDIA_PREFIX = 'application/'

/** The algorithms by both their names: polymorphic (RFC 9053) and fully specified (RFC 9864). */
const ALGORITHMS: ReadonlyMap<number, KeyAlg> = new Map([
  [-7, 'ES256'],
  [-9, 'ES256'],
  [-8, 'EdDSA'],
  [-19, 'EdDSA'],
])
/** What is written: what every verifier knows. */
const ALGORITHM_OF: Readonly<Record<KeyAlg, number>> = { ES256: -7, EdDSA: -8 }

const CWT_CLAIMS = 15

interface Claim {
  /** In JWS. */
  readonly name: string
  /** Undefined for a value that is not permitted; `rule` says which are. */
  readonly read: (value: CborValue) => JsonValue | undefined
  readonly rule: string
}

/** The labels of the protected header besides the CWT claims (RFC 9052 §3.1, RFC 9596). */
const LABELS: ReadonlyMap<string | number, Claim> = new Map<string | number, Claim>([
  [1, { name: 'alg', read: readAlg, rule: 'an integer' }],
  [4, { name: 'kid', read: readKid, rule: `a byte string of ${HASH_LENGTH}` }],
  [16, { name: 'typ', read: readTyp, rule: `${MEDIA_PREFIX}${TYP_PREFIX} and a type` }],
  ['seq', { name: 'seq', read: readScalar, rule: 'an integer' }],
])

/** The CWT claims (RFC 8392 §3.1, RFC 9597). */
const CLAIMS: ReadonlyMap<string | number, Claim> = new Map([
  [1, { name: 'iss', read: readScalar, rule: 'text' }],
  [2, { name: 'sub', read: readScalar, rule: 'text' }],
  [3, { name: 'aud', read: readScalar, rule: 'text' }],
  [6, { name: 'iat', read: readScalar, rule: 'an integer' }],
  [7, { name: 'jti', read: readEventId, rule: `a byte string of 1 to ${EVENT_ID_LENGTH_MAX}` }],
])

/**
 * Opens a COSE_Sign1 whose unprotected header is empty.
 *
 * @throws {ProofError} `not_canonical` for an unprotected header that is not empty, and for a second encoding;
 *   `algorithm_unsupported`; `claim_invalid` for a claim of another type; `malformed` for everything else.
 * @see FORMAT §3.1
 */
export function openCoseSign1(bytes: Uint8Array): CoseSign1 {
  const protectedHeader = readProtected(bytes)
  const start = protectedHeader.end
  const { isEmpty, end } = readUnprotected(bytes, start)
  check(isEmpty, 'not_canonical', 'unprotected header: not empty')
  const payload = cborBytesAt(bytes, end, 'payload')
  const signature = cborBytesAt(bytes, payload.end, 'signature')
  check(signature.end === bytes.length, 'malformed', 'statement: bytes after the signature')
  return {
    header: readHeaderMap(decodeCbor(protectedHeader.view)),
    payloadBytes: payload.view,
    signingInput: joinBytes([
      SIG_STRUCTURE,
      bytes.subarray(SIGN1.length, start),
      NO_BYTES,
      bytes.subarray(end, payload.end),
    ]),
    signature: signature.view,
  }
}

/**
 * Empties the unprotected header, which no signature covers: from there on the bytes are fixed.
 *
 * @returns The same bytes, not copied, if it was empty.
 * @throws {ProofError} `malformed` or `not_canonical` for bytes that have no unprotected header in its place;
 *   `too_large` for one that nests too deeply.
 * @see FORMAT §3.1
 */
export function emptyUnprotected(bytes: Uint8Array): Uint8Array {
  const start = readProtected(bytes).end
  const { isEmpty, end } = readUnprotected(bytes, start)
  if (isEmpty) return bytes
  return joinBytes([bytes.subarray(0, start), Uint8Array.of(EMPTY_MAP), bytes.subarray(end)])
}

/** The bytes that a signer signs: the encoded Sig_structure. Nothing is checked. @see RFC 9052 §4.4 */
export function coseSigningInput(header: SigningHeader, payloadBytes: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', encodeProtected(header), new Uint8Array(), payloadBytes])
}

/** Formats a COSE_Sign1. Nothing is checked. */
export function formatCoseSign1(
  header: SigningHeader,
  payloadBytes: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  const items = [encodeProtected(header), new Map(), payloadBytes, signature]
  return joinBytes([SIGN1.subarray(0, 1), encodeCbor(items)])
}

function encodeProtected(header: SigningHeader): Uint8Array {
  const { alg, kid, type, iss, sub, aud, iat, jti, seq } = header
  const claims = new Map<number, CborValue>([
    [1, iss],
    [2, sub],
    [3, aud],
    [6, iat],
    [7, utf8Encode(jti)],
  ])
  return encodeCbor(
    new Map<string | number, CborValue>([
      [1, ALGORITHM_OF[alg]],
      [4, fromBase64url(kid, 'kid')],
      [CWT_CLAIMS, claims],
      [16, `${MEDIA_PREFIX}${TYP_PREFIX}${type}`],
      ...(seq === undefined ? [] : ([['seq', seq]] as const)),
    ]),
  )
}

function readProtected(bytes: Uint8Array): ReturnType<typeof cborBytesAt> {
  const tagged = bytes[0] === SIGN1[0] && bytes[1] === SIGN1[1]
  check(tagged, 'malformed', 'statement: not a COSE_Sign1 under tag 18')
  return cborBytesAt(bytes, SIGN1.length, 'protected header')
}

function readUnprotected(
  bytes: Uint8Array,
  start: number,
): { readonly isEmpty: boolean; readonly end: number } {
  if (bytes[start] === EMPTY_MAP) return { isEmpty: true, end: start + 1 }
  const { value, end } = cborValueAt(bytes, start)
  cborMap(value, 'unprotected header')
  return { isEmpty: false, end }
}

/** What the header lacks is for whoever reads it by name. */
function readHeaderMap(value: CborValue): JsonObject {
  const members: Record<string, JsonValue> = {}
  for (const [label, one] of cborMap(value, 'header')) {
    if (label === CWT_CLAIMS) {
      for (const [claim, said] of claimsOf(one)) readClaim(members, CLAIMS, claim, said)
    } else readClaim(members, LABELS, label, one)
  }
  return members
}

function claimsOf(value: CborValue): CborMap {
  if (value instanceof Map) return value
  throw new ProofError('claim_invalid', 'header.15: not a map of CWT claims')
}

function readClaim(
  members: Record<string, JsonValue>,
  claims: ReadonlyMap<string | number, Claim>,
  label: string | number,
  value: CborValue,
): void {
  const claim = claims.get(label)
  if (claim === undefined) {
    throw new ProofError('malformed', 'header: a label that FORMAT does not list')
  }
  const read = claim.read(value)
  if (read === undefined) {
    throw new ProofError('claim_invalid', `header.${claim.name}: must be ${claim.rule}`)
  }
  members[claim.name] = read
}

/** Which of the two it has to be is for whoever reads the members. */
function readScalar(value: CborValue): JsonValue | undefined {
  // CBOR has text that JSON has not: no statement may say in one envelope what it cannot say in the other.
  if (typeof value === 'string') checkString(value)
  return typeof value === 'string' || typeof value === 'number' ? value : undefined
}

function readAlg(value: CborValue): JsonValue | undefined {
  if (typeof value !== 'number') return undefined
  const alg = ALGORITHMS.get(value)
  if (alg !== undefined) return alg
  throw new ProofError('algorithm_unsupported', 'header.alg: neither -7, -9, -8 nor -19')
}

function readKid(value: CborValue): JsonValue | undefined {
  const permitted = value instanceof Uint8Array && value.length === HASH_LENGTH
  return permitted ? toBase64url(value) : undefined
}

function readTyp(value: CborValue): JsonValue | undefined {
  const permitted = typeof value === 'string' && value.startsWith(MEDIA_PREFIX)
  return permitted ? value.slice(MEDIA_PREFIX.length) : undefined
}

/** An event id is ASCII (FORMAT §3.2): a byte beyond that is a character that it cannot have. */
function readEventId(value: CborValue): JsonValue | undefined {
  const permitted = value instanceof Uint8Array && value.length <= EVENT_ID_LENGTH_MAX
  return permitted ? String.fromCharCode(...value) : undefined
}
