/**
 * @module Permits: the short-lived proof of an allow that an instance shows to the one resource it is for. A permit
 * is a JWS of the log's permit key; offline it shows all but use.
 */
import { equalBytes, fromBase64url, toBase64url, utf8Encode } from './bytes.ts'
import { accepted, bytes, digest, id128, integer, members, parsed, text } from './claims.ts'
import { readNames, readResource, type Resource } from './decision.ts'
import { check, ProofError } from './errors.ts'
import { canonicalJson, type JsonValue, parseJson } from './json.ts'
import { keyId, parseSpki } from './key.ts'
import { parseOrigin } from './origin.ts'
import { parseKid } from './principal.ts'
import type { Hash, Primitives } from './primitives.ts'
import { remembered } from './remembered.ts'
import { parseAction } from './scope.ts'
import { parseInstanceId } from './spiffe-id.ts'
import { isSignatureValid } from './statement.ts'

/** Seconds that a permit lives. */
export const PERMIT_LIFE_S = 30

/** Seconds by which the clock of whoever enforces may be behind the log's. */
export const PERMIT_SKEW_S = 5

/** Characters in a permit. */
export const PERMIT_LENGTH_MAX = 16_384

/** Characters of its last part: the point, and base64url of 64 bytes. */
const SIGNATURE_PART_LENGTH = 87

/** The `typ` of a permit. */
export const PERMIT_TYP = 'vnd.trustwarden.permit'

/** What a permit says. */
export interface PermitFields {
  /** Origin of the log. */
  readonly origin: string
  /** Instance id. */
  readonly instance: string
  /** Key id of the instance, which has to show that it holds the key. */
  readonly instanceKid: string
  readonly decisionId: string
  /** Index of the decision. */
  readonly index: number
  readonly action: string
  /** Its id is the permit's audience: who may accept it. */
  readonly resource: Resource
  readonly actionDigest: Hash
  /** The salt of the action digest, 16 bytes. */
  readonly salt: Uint8Array
  /** Names of what whoever enforces has to know and do; distinct. */
  readonly obligations: readonly string[]
  /** Ledger time of the decision, seconds; it ends 30 s later. */
  readonly iatS: number
}

/** A permit that has the form of one; nothing about it is verified. */
export interface Permit extends PermitFields {
  readonly expS: number
  /** Key id of the permit key, by the permit's own claim. */
  readonly kid: string
  readonly signingInput: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** What a permit is held to. */
export interface PermitExpectation {
  /** The log's permit key, DER SubjectPublicKeyInfo. */
  readonly permitSpki: Uint8Array
  readonly origin: string
  /** Id of the resource that enforces. */
  readonly audience: string
  /** Seconds since the Unix epoch, by the clock of whoever enforces. */
  readonly nowS: number
}

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/

const readHeader = members({
  alg: accepted(checkAlg),
  kid: accepted(parseKid),
  typ: text(1, 256),
})

const readPermit = members({
  iss: parsed(parseOrigin),
  sub: accepted(parseInstanceId),
  aud: text(1, 512),
  cnf: members({ kid: accepted(parseKid) }),
  decision: id128,
  index: integer(),
  action: accepted(parseAction),
  resource: readResource,
  action_digest: digest,
  salt: bytes(16),
  obligations: readNames,
  iat: integer(),
  exp: integer(),
})

/**
 * Makes a permit; `parsePermit` gives back the same.
 *
 * @param kid - Key id of the permit key.
 * @param sign - Signs with the permit key, 64 bytes.
 * @throws {ProofError} as `parsePermit`, for what it would refuse.
 * @see FORMAT §10.6
 */
export function signPermit(
  kid: string,
  fields: PermitFields,
  sign: (signingInput: Uint8Array) => Uint8Array,
): string {
  // In the order that it is written in.
  const payload = {
    action: fields.action,
    action_digest: toBase64url(fields.actionDigest),
    aud: fields.resource.id,
    cnf: { kid: fields.instanceKid },
    decision: fields.decisionId,
    exp: fields.iatS + PERMIT_LIFE_S,
    iat: fields.iatS,
    index: fields.index,
    iss: fields.origin,
    obligations: fields.obligations,
    resource: { id: fields.resource.id, type: fields.resource.type },
    salt: toBase64url(fields.salt),
    sub: fields.instance,
  }
  readFields(payload)
  const signed = `${headOf(kid)}.${toBase64url(canonicalJson(payload))}`
  checkLength(signed.length + SIGNATURE_PART_LENGTH)
  return `${signed}.${toBase64url(checkSignature(sign(utf8Encode(signed))))}`
}

/**
 * Parses a permit, verifying nothing.
 *
 * @throws {ProofError} `too_large`; `malformed`; `algorithm_unsupported`; `type_mismatch`; `not_canonical` for header
 *   or payload that are not canonical JSON; `claim_missing` and `claim_invalid`; `spiffe_id_invalid`;
 *   `scope_invalid`.
 * @see FORMAT §10.6
 */
export function parsePermit(permit: string): Permit {
  checkLength(permit.length)
  const [, head = '', body = '', tail = ''] = COMPACT.exec(permit) ?? []
  check(head !== '', 'malformed', 'permit: not three parts of base64url joined by "."')
  const { kid, typ } = readHeader(parseCanonical(fromBase64url(head), 'permit header'), 'header')
  check(typ === PERMIT_TYP, 'type_mismatch', `permit typ: not ${PERMIT_TYP}`)
  const signature = checkSignature(fromBase64url(tail, 'signature'))
  const signingInput = utf8Encode(`${head}.${body}`)
  const payload = parseCanonical(fromBase64url(body), 'permit')
  return { ...readFields(payload), kid, signingInput, signature }
}

/**
 * Verifies a permit: of this log, for this resource, alive now, and signed by the log's permit key. For whoever enforces
 * are left: that its bearer holds the instance's key; that the action digest, of an action built from the call, is the
 * permit's; that every obligation is known; and that the decision is used once.
 *
 * @returns What the permit says.
 * @throws {ProofError} in this order: as `parsePermit`; `key_mismatch` (another `kid`); `key_invalid` or
 *   `algorithm_unsupported` for a permit key that is not Ed25519; `signature_invalid`; `origin_mismatch`;
 *   `audience_mismatch`; `claim_invalid` for a permit that has ended, or begins more than 5 s from now.
 * @see FORMAT §10.6
 */
export function verifyPermit(
  p: Primitives,
  permitText: string,
  expected: PermitExpectation,
): Permit {
  const permit = parsePermit(permitText)
  check(permit.kid === keyId(p, expected.permitSpki), 'key_mismatch', 'permit kid: another key')
  const key = parseSpki(expected.permitSpki)
  check(key.alg === 'EdDSA', 'algorithm_unsupported', 'permit key: not Ed25519')
  const valid = isSignatureValid(p, key, permit.signingInput, permit.signature)
  check(valid, 'signature_invalid', 'the signature of the permit does not verify')
  check(permit.origin === expected.origin, 'origin_mismatch', 'permit iss: another log')
  const addressed = permit.resource.id === expected.audience
  check(addressed, 'audience_mismatch', 'permit aud: another resource')
  check(expected.nowS < permit.expS, 'claim_invalid', 'permit exp: it has ended')
  const begun = permit.iatS <= expected.nowS + PERMIT_SKEW_S
  check(begun, 'claim_invalid', `permit iat: over ${PERMIT_SKEW_S} s from now`)
  return permit
}

/** The header of the permits of one key, encoded: one log has one permit key at a time. */
const headOf = remembered((kid) =>
  toBase64url(canonicalJson({ alg: 'EdDSA', kid: parseKid(kid), typ: PERMIT_TYP })),
)

function readFields(payload: JsonValue): PermitFields & { readonly expS: number } {
  const read = readPermit(payload, 'permit')
  const { iat: iatS, exp: expS } = read
  check(read.aud === read.resource.id, 'claim_invalid', 'permit aud: not the id of the resource')
  check(expS === iatS + PERMIT_LIFE_S, 'claim_invalid', `permit exp: not iat + ${PERMIT_LIFE_S}`)
  return {
    origin: read.iss,
    instance: read.sub,
    instanceKid: read.cnf.kid,
    decisionId: read.decision,
    index: read.index,
    action: read.action,
    resource: read.resource,
    actionDigest: read.action_digest,
    salt: read.salt,
    obligations: read.obligations,
    iatS,
    expS,
  }
}

function parseCanonical(json: Uint8Array, field: string): JsonValue {
  const value = parseJson(json)
  check(equalBytes(canonicalJson(value), json), 'not_canonical', `${field}: not canonical JSON`)
  return value
}

function checkLength(length: number): void {
  check(length <= PERMIT_LENGTH_MAX, 'too_large', `permit: ${length}, at most ${PERMIT_LENGTH_MAX}`)
}

function checkSignature(signature: Uint8Array): Uint8Array {
  check(signature.length === 64, 'malformed', 'permit signature: not 64 bytes')
  return signature
}

function checkAlg(alg: string): void {
  if (alg !== 'EdDSA') throw new ProofError('algorithm_unsupported', 'permit alg: not EdDSA')
}
