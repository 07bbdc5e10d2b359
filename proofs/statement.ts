/**
 * @module Statements: bytes that somebody signed, kept and hashed exactly as received. Read is the JWS envelope; the
 * COSE envelope is specified and refused by name. What a payload of each type holds is read elsewhere.
 */
import { fromBase64url, toBase64url, utf8Decode, utf8Encode } from './bytes.ts'
import { accepted, integer, matching, members, parsed, text } from './claims.ts'
import { check, ProofError } from './errors.ts'
import { canonicalJson, jsonObject, type JsonObject, parseJson } from './json.ts'
import { type KeyAlg, keyId, type NamedKey, parseSpki, type PublicKey } from './key.ts'
import { parseOrigin } from './origin.ts'
import { parseKid, parsePrincipal, type Principal } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'

/** Bytes in a statement; what needs more is an attachment. */
export const STATEMENT_BYTES_MAX = 32_768

/** The media type of the JWS compact serialization. */
export const MEDIA_JOSE = 'application/jose'

/** The media type of COSE_Sign1, which this release does not read. */
export const MEDIA_COSE = 'application/cose'

/** What every `typ` begins with. */
export const TYP_PREFIX = 'vnd.trustwarden.'

/** What a signer protects besides the payload. */
export interface SigningHeader {
  readonly alg: KeyAlg
  /** Key id of the signer (FORMAT §2.1). */
  readonly kid: string
  /** The statement's type, without the prefix of `typ`. */
  readonly type: string
  /** Origin of the log. */
  readonly aud: string
  readonly iss: string
  readonly sub: string
  /** Seconds since the Unix epoch. */
  readonly iat: number
  /** Event id, unique per issuer. */
  readonly jti: string
  /** Instances only, and always there for them: from 1. */
  readonly seq?: number
}

/** The protected header, read. */
export interface StatementHeader extends SigningHeader {
  /** `vnd.trustwarden.` and the type. */
  readonly typ: string
}

/** A statement that has the form of one; nothing about it is verified. */
export interface Statement {
  /** The statement as received. */
  readonly bytes: Uint8Array
  readonly media: typeof MEDIA_JOSE
  readonly header: StatementHeader
  /** `header.iss`, read. */
  readonly issuer: Principal
  readonly payload: JsonObject
  readonly payloadBytes: Uint8Array
  /** `b64u(header) ‖ "." ‖ b64u(payload)`. */
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
const SUBJECT_LENGTH_MAX = 2048
const TYP = /^vnd\.trustwarden\.[a-z]+(?:[._-][a-z0-9]+)*$/
const JTI = /^[A-Za-z0-9._:-]{1,64}$/

const readHeader = members(
  {
    alg: parsed(parseAlg),
    kid: accepted(parseKid),
    typ: matching(TYP, `${TYP_PREFIX} and a type`),
    aud: parsed(parseOrigin),
    iss: parsed(parsePrincipal),
    sub: text(1, SUBJECT_LENGTH_MAX),
    iat: integer(),
    jti: matching(JTI, '1 to 64 of A-Z, a-z, 0-9, ".", "_", ":" and "-"'),
  },
  { seq: integer(1) },
)

/**
 * Parses a statement, verifying nothing.
 *
 * @param media - The media type that came with the bytes.
 * @throws {ProofError} `too_large` over 32,768 bytes; `envelope_unsupported` for COSE; `malformed` or `not_canonical`
 *   for bytes that are no statement; `algorithm_unsupported`; `claim_missing` and `claim_invalid` for the header's
 *   members; `key_mismatch` if `iss` names another key than `kid`; `spiffe_id_invalid` for an agent's `iss`.
 * @see FORMAT §3.1 to §3.3
 */
export function parseStatement(input: Uint8Array | string, media: string = MEDIA_JOSE): Statement {
  checkLength(input.length)
  check(media !== MEDIA_COSE, 'envelope_unsupported', `statement: ${MEDIA_COSE} is not read yet`)
  check(media === MEDIA_JOSE, 'malformed', 'statement: a media type that is not permitted')
  const compact = typeof input === 'string' ? input : utf8Decode(input, 'statement')
  const [head = '', body = '', tail = '', ...more] = compact.split('.', 4)
  const isThree = head !== '' && body !== '' && tail !== '' && more.length === 0
  check(isThree, 'malformed', 'statement: not three parts of base64url joined by "."')
  const header = parseHeader(fromBase64url(head, 'header'))
  const payloadBytes = fromBase64url(body, 'payload')
  const signature = fromBase64url(tail, 'signature')
  check(signature.length === SIGNATURE_LENGTH, 'malformed', 'signature: not 64 bytes')
  const bytes = typeof input === 'string' ? utf8Encode(input) : input
  return {
    bytes,
    media: MEDIA_JOSE,
    ...header,
    payload: jsonObject(parseJson(payloadBytes), 'payload'),
    payloadBytes,
    // All of it is ASCII by now.
    signingInput: bytes.subarray(0, head.length + 1 + body.length),
    signature,
  }
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
 * Builds the bytes that a signer signs: the canonical JSON of the header and the payload's bytes as given.
 *
 * @throws {ProofError} as `parseStatement`, for a header or payload that it would refuse.
 * @see FORMAT §3.2
 */
export function signingInput(header: SigningHeader, payloadBytes: Uint8Array): Uint8Array {
  const { type, alg, kid, aud, iss, sub, iat, jti, seq } = header
  const protectedHeader = { alg, kid, typ: `${TYP_PREFIX}${type}`, aud, iss, sub, iat, jti }
  const bytes = canonicalJson(seq === undefined ? protectedHeader : { ...protectedHeader, seq })
  parseHeader(bytes)
  jsonObject(parseJson(payloadBytes), 'payload')
  return utf8Encode(`${toBase64url(bytes)}.${toBase64url(payloadBytes)}`)
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

function parseHeader(bytes: Uint8Array): Pick<Statement, 'header' | 'issuer'> {
  const read = readHeader(jsonObject(parseJson(bytes), 'header'), 'header')
  const { alg, kid, typ, aud, iss: issuer, sub, iat, jti, seq } = read
  if (issuer.role === 'agent') {
    check(seq !== undefined, 'claim_missing', 'header.seq: required of an instance')
  } else {
    check(seq === undefined, 'claim_invalid', 'header.seq: for instances only')
    check(issuer.kid === kid, 'key_mismatch', 'header.iss: names another key than kid')
  }
  const type = typ.slice(TYP_PREFIX.length)
  const header = { alg, kid, typ, type, aud, iss: issuer.text, sub, iat, jti }
  return { header: seq === undefined ? header : { ...header, seq }, issuer }
}

function parseAlg(alg: string): KeyAlg {
  if (alg === 'ES256' || alg === 'EdDSA') return alg
  throw new ProofError('algorithm_unsupported', 'header.alg: neither ES256 nor EdDSA')
}

function checkLength(length: number): void {
  const permitted = length <= STATEMENT_BYTES_MAX
  check(permitted, 'too_large', `statement: ${length} bytes, at most ${STATEMENT_BYTES_MAX}`)
}
