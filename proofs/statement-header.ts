/**
 * @module The claims of a statement's protected header, whichever envelope they stand in (FORMAT §3.2).
 */
import { accepted, integer, matching, members, parsed, text } from './claims.ts'
import { check, ProofError } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { KeyAlg } from './key.ts'
import { parseOrigin } from './origin.ts'
import { parseKid, parsePrincipal, type Principal } from './principal.ts'

/** What every `typ` begins with. */
export const TYP_PREFIX = 'vnd.trustwarden.'

/** Characters of an event id, at most. */
export const EVENT_ID_LENGTH_MAX = 64

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

const SUBJECT_LENGTH_MAX = 2048
const TYP = /^vnd\.trustwarden\.[a-z]+(?:[._-][a-z0-9]+)*$/
const JTI = /^[A-Za-z0-9._:-]{1,64}$/

const readMembers = members(
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

/** The members of a signer's header under their names in JWS. */
export function headerMembers(header: SigningHeader): JsonObject {
  const { type, alg, kid, aud, iss, sub, iat, jti, seq } = header
  const object = { alg, kid, typ: `${TYP_PREFIX}${type}`, aud, iss, sub, iat, jti }
  return seq === undefined ? object : { ...object, seq }
}

/**
 * Reads the members of a protected header under their names in JWS, and who `iss` is.
 *
 * @throws {ProofError} `algorithm_unsupported`; `claim_missing`, `claim_invalid` and `malformed` for the members;
 *   `key_mismatch` if `iss` names another key than `kid`; `spiffe_id_invalid` for an agent's `iss`.
 * @see FORMAT §3.2
 */
export function readHeader(object: JsonObject): {
  readonly header: StatementHeader
  readonly issuer: Principal
} {
  const { alg, kid, typ, aud, iss: issuer, sub, iat, jti, seq } = readMembers(object, 'header')
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
