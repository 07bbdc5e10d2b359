/**
 * @module Statements: bytes that somebody signed, kept and hashed exactly as received, in one of two envelopes with one
 * meaning. What a payload of each type holds is read elsewhere.
 */
import { fromBase64url, toBase64url, utf8Decode, utf8Encode } from './bytes.ts'
import { coseSigningInput, emptyUnprotected, formatCoseSign1, openCoseSign1 } from './cose.ts'
import { check, ProofError } from './errors.ts'
import { canonicalJson, jsonObject, type JsonObject, parseJson } from './json.ts'
import { keyId, type NamedKey, parseSpki, type PublicKey } from './key.ts'
import type { Principal } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'
import {
  headerMembers,
  readHeader,
  type SigningHeader,
  type StatementHeader,
  TYP_PREFIX,
} from './statement-header.ts'

export { type SigningHeader, type StatementHeader, TYP_PREFIX }

/** Bytes in a statement; what needs more is an attachment. */
export const STATEMENT_BYTES_MAX = 32_768

/** The media type of the JWS compact serialization. */
export const MEDIA_JOSE = 'application/jose'

/** The media type of COSE_Sign1. */
export const MEDIA_COSE = 'application/cose'

/** The envelopes, by their media types. */
export type StatementMedia = typeof MEDIA_JOSE | typeof MEDIA_COSE

/** A statement that has the form of one; nothing about it is verified. */
export interface Statement {
  /** The statement as received. What is read below may be views of it. */
  readonly bytes: Uint8Array
  readonly media: StatementMedia
  readonly header: StatementHeader
  /** `header.iss`, read. */
  readonly issuer: Principal
  readonly payload: JsonObject
  readonly payloadBytes: Uint8Array
  /** What was signed: `b64u(header) ‖ "." ‖ b64u(payload)`, or the encoded Sig_structure. */
  readonly signingInput: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** What a statement is held to. */
export interface StatementExpectation {
  /** The signer's key, DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly origin: string
  /** Without the prefix of `typ`; any type if absent. */
  readonly type?: string
}

const SIGNATURE_LENGTH = 64

/** An envelope, opened: the header under the names that its claims have in JWS. */
type Envelope = Pick<Statement, 'bytes' | 'payloadBytes' | 'signingInput' | 'signature'> & {
  readonly header: JsonObject
}

/**
 * Parses a statement, verifying nothing.
 *
 * @param media - The media type that came with the bytes.
 * @throws {ProofError} `too_large` over 32,768 bytes; `envelope_unsupported` for another media type; `malformed` or
 *   `not_canonical` for bytes that are no statement; `algorithm_unsupported`; `claim_missing` and `claim_invalid` for the
 *   header's members; `key_mismatch` if `iss` names another key than `kid`; `spiffe_id_invalid` for an agent's `iss`.
 * @see FORMAT §3.1 to §3.3
 */
export function parseStatement(input: Uint8Array | string, media: string = MEDIA_JOSE): Statement {
  checkLength(input.length)
  const known = parseMedia(media)
  const opened = known === MEDIA_COSE ? openCose(input) : openJws(input)
  const { bytes, payloadBytes, signature } = opened
  check(signature.length === SIGNATURE_LENGTH, 'malformed', 'signature: not 64 bytes')
  const { header, issuer } = readHeader(opened.header)
  return {
    bytes,
    media: known,
    header,
    issuer,
    payload: jsonObject(parseJson(payloadBytes), 'payload'),
    payloadBytes,
    signingInput: opened.signingInput,
    signature,
  }
}

/**
 * Receives a statement: what no signature covers, the unprotected header of a COSE_Sign1, is emptied, and from there on
 * the bytes are fixed.
 *
 * @returns The statement, and whether an unprotected header was emptied.
 * @throws {ProofError} as `parseStatement`.
 * @see FORMAT §3.1
 */
export function receiveStatement(
  input: Uint8Array | string,
  media: string = MEDIA_JOSE,
): { readonly statement: Statement; readonly emptied: boolean } {
  checkLength(input.length)
  if (media !== MEDIA_COSE) return { statement: parseStatement(input, media), emptied: false }
  const received = coseBytes(input)
  const kept = emptyUnprotected(received)
  return { statement: parseStatement(kept, media), emptied: kept !== received }
}

/**
 * Digests what was signed: SHA-256 of `signingInput`. Two statements of one content digest are the same statement.
 *
 * @see FORMAT §3.3
 */
export function contentDigest(p: Primitives, statement: Statement): Hash {
  return p.sha256(statement.signingInput)
}

/**
 * Verifies that `statement` is addressed to the log, is of the expected type and is signed by the key.
 *
 * @throws {ProofError} in this order: `audience_mismatch`, `type_mismatch`, `key_mismatch` (another `kid`),
 *   `key_invalid`, `key_mismatch` (an `alg` that is not the key's), `signature_invalid`.
 * @see FORMAT §3.4
 */
export function verifyStatement(
  p: Primitives,
  statement: Statement,
  expected: StatementExpectation,
): void {
  checkAddress(statement, expected)
  checkSigner(statement, keyId(p, expected.spki))
  const key = parseSpki(expected.spki)
  checkAlg(statement, key)
  const valid = isSignatureValid(p, key, statement.signingInput, statement.signature)
  check(valid, 'signature_invalid', 'the signature of the statement does not verify')
}

/**
 * Everything that `verifyStatement` verifies but the signature itself, for whoever has that verified elsewhere.
 *
 * @throws {ProofError} `audience_mismatch`, `key_mismatch`
 * @see FORMAT §3.4
 */
export function checkUnsigned(statement: Statement, key: NamedKey, origin: string): void {
  checkAddress(statement, { origin })
  checkSigner(statement, key.kid)
  checkAlg(statement, key)
}

function checkAddress(
  { header }: Statement,
  { origin, type = header.type }: Pick<StatementExpectation, 'origin' | 'type'>,
): void {
  check(header.aud === origin, 'audience_mismatch', 'aud: another log')
  check(header.type === type, 'type_mismatch', `typ: not ${TYP_PREFIX}${type}`)
}

function checkSigner({ header }: Statement, kid: string): void {
  check(header.kid === kid, 'key_mismatch', 'kid: another key')
}

function checkAlg({ header }: Statement, key: PublicKey): void {
  check(header.alg === key.alg, 'key_mismatch', 'alg: not of the kind of the key')
}

/**
 * Whether the 64-byte `signature` of `message` verifies under `key`.
 *
 * @see FORMAT §2.2, §2.3
 */
export function isSignatureValid(
  p: Primitives,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const verify = key.alg === 'EdDSA' ? p.ed25519Verify : p.p256Verify
  return verify(key.publicKey, message, signature)
}

/**
 * Builds the bytes that a signer signs, over the payload's bytes as given: in JWS the canonical JSON of the header; in COSE
 * the Sig_structure, with the algorithm by the name that every verifier knows (−7, −8).
 *
 * @throws {ProofError} as `parseStatement`, for a header or payload that it would refuse.
 * @see FORMAT §3.1, §3.2
 */
export function signingInput(
  header: SigningHeader,
  payloadBytes: Uint8Array,
  media: StatementMedia = MEDIA_JOSE,
): Uint8Array {
  const object = headerMembers(header)
  readHeader(object)
  jsonObject(parseJson(payloadBytes), 'payload')
  if (media === MEDIA_COSE) return coseSigningInput(header, payloadBytes)
  return utf8Encode(`${toBase64url(canonicalJson(object))}.${toBase64url(payloadBytes)}`)
}

/**
 * Formats a signed statement as JWS compact serialization; `parseStatement` gives back the same.
 *
 * @param signature - 64 bytes over `signingInput(header, payloadBytes)`.
 * @throws {ProofError} as `parseStatement`.
 * @see FORMAT §3.1
 */
export function formatStatement(
  header: SigningHeader,
  payloadBytes: Uint8Array,
  signature: Uint8Array,
): string {
  check(signature.length === SIGNATURE_LENGTH, 'malformed', 'signature: not 64 bytes')
  const signed = utf8Decode(signingInput(header, payloadBytes))
  const compact = `${signed}.${toBase64url(signature)}`
  checkLength(compact.length)
  return compact
}

/**
 * Formats a signed statement as COSE_Sign1; `parseStatement` gives back the same.
 *
 * @param signature - 64 bytes over `signingInput(header, payloadBytes, MEDIA_COSE)`.
 * @throws {ProofError} as `parseStatement`.
 * @see FORMAT §3.1
 */
export function formatCoseStatement(
  header: SigningHeader,
  payloadBytes: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  const bytes = formatCoseSign1(header, payloadBytes, signature)
  parseStatement(bytes, MEDIA_COSE)
  return bytes
}

function parseMedia(media: string): StatementMedia {
  if (media === MEDIA_JOSE || media === MEDIA_COSE) return media
  throw new ProofError('envelope_unsupported', `statement: neither ${MEDIA_JOSE} nor ${MEDIA_COSE}`)
}

function openJws(input: Uint8Array | string): Envelope {
  const compact = typeof input === 'string' ? input : utf8Decode(input, 'statement')
  const [head = '', body = '', tail = '', ...more] = compact.split('.', 4)
  const isThree = head !== '' && body !== '' && tail !== '' && more.length === 0
  check(isThree, 'malformed', 'statement: not three parts of base64url joined by "."')
  const bytes = typeof input === 'string' ? utf8Encode(input) : input
  return {
    bytes,
    header: jsonObject(parseJson(fromBase64url(head, 'header')), 'header'),
    payloadBytes: fromBase64url(body, 'payload'),
    // All of it is ASCII by now, or is refused: a character is a byte.
    signingInput: bytes.subarray(0, head.length + 1 + body.length),
    signature: fromBase64url(tail, 'signature'),
  }
}

function openCose(input: Uint8Array | string): Envelope {
  const bytes = coseBytes(input)
  return { bytes, ...openCoseSign1(bytes) }
}

function coseBytes(input: Uint8Array | string): Uint8Array {
  if (typeof input !== 'string') return input
  throw new ProofError('malformed', `statement: ${MEDIA_COSE} is bytes, not text`)
}

function checkLength(length: number): void {
  const permitted = length <= STATEMENT_BYTES_MAX
  check(permitted, 'too_large', `statement: ${length} bytes, at most ${STATEMENT_BYTES_MAX}`)
}
