/**
 * @module The first statement of a log: its names, its keys, and the people and policy that are valid from the start.
 */
import {
  accepted,
  boolean,
  bytes,
  digest,
  integer,
  list,
  members,
  namePatterns,
  nullable,
  parsed,
  spki,
} from './claims.ts'
import { toHex } from './bytes.ts'
import { CERTIFICATE_BYTES_MAX, parseCertificate } from './certificate.ts'
import { check } from './errors.ts'
import { keyId, parseSpki } from './key.ts'
import type { NamePattern } from './name-pattern.ts'
import { NOTE_COSIGNATURE_V1, NOTE_ED25519, type NoteKey, parseVkey } from './note.ts'
import { parseOrigin } from './origin.ts'
import { checkSubject, readPayload } from './payload.ts'
import type { Hash, Primitives } from './primitives.ts'
import { parseTrustDomain } from './principal.ts'
import type { Statement } from './statement.ts'
import { checkAuthority } from './svid.ts'

/** The version of the register rules that this release knows. */
export const RULES_VERSION = 1

/** A log that ended without this one having all of its entries. */
export interface Predecessor {
  readonly origin: string
  readonly size: number
  readonly root: Hash
}

/** The genesis of a log. Keys are DER SubjectPublicKeyInfo where they are not note keys. */
export interface Genesis {
  readonly origin: string
  readonly trustDomain: string
  readonly development: boolean
  readonly keys: {
    /** Ed25519, named as the origin. */
    readonly log: NoteKey
    /** Cosignatures with a timestamp. */
    readonly time: NoteKey
    readonly service: Uint8Array
    readonly permit: Uint8Array
    readonly heartbeat: Uint8Array
  }
  /** Root certificates, DER, at least one. */
  readonly ca: readonly Uint8Array[]
  readonly operators: readonly Uint8Array[]
  /** How many operators have to sign a proposal: 1 to the count of `operators`. */
  readonly threshold: number
  readonly owners: readonly {
    readonly key: Uint8Array
    readonly patterns: readonly NamePattern[]
  }[]
  /** Digest of the first policy. */
  readonly policy: Hash
  readonly predecessor: Predecessor | null
}

/**
 * Reads a genesis.
 *
 * @throws {ProofError} `version_unknown` for another format or version of the rules; `origin_mismatch` if it is
 *   addressed to another log than it founds; `key_mismatch` if another key than its service key signed;
 *   `algorithm_unsupported` for keys of the wrong kind; `claim_invalid` for a public key that stands there twice; `too_large` for more
 *   than 64 patterns of one owner;
 *   `certificate_invalid`, `certificate_untrusted` and `spiffe_id_invalid` for a `ca` that is no authority of the trust
 *   domain; else as `readPayload`.
 * @see FORMAT §6
 */
export function parseGenesis(p: Primitives, statement: Statement): Genesis {
  const vkey = parsed((vkeyText) => parseVkey(p, vkeyText))
  const genesis = readPayload(statement, 'genesis', ['service'], {
    format: integer(),
    rules: integer(),
    origin: parsed(parseOrigin),
    trust_domain: accepted(parseTrustDomain),
    development: boolean,
    keys: members({ log: vkey, time: vkey, service: spki, permit: spki, heartbeat: spki }),
    ca: list(bytes(1, CERTIFICATE_BYTES_MAX), 1),
    operators: list(spki, 1),
    threshold: integer(1),
    owners: list(members({ key: spki, patterns: namePatterns(1) })),
    policy: digest,
    predecessor: nullable(members({ origin: parsed(parseOrigin), size: integer(), root: digest })),
  })
  const { format, rules, origin, keys, operators, threshold, owners } = genesis
  check(format === 1, 'version_unknown', `genesis: format ${format} is not known`)
  check(rules === RULES_VERSION, 'version_unknown', `genesis: rules ${rules} are not known`)
  check(statement.header.aud === origin, 'origin_mismatch', 'genesis: addressed to another log')
  checkSubject(statement, origin, 'the origin')
  const signed = statement.header.kid === keyId(p, keys.service)
  check(signed, 'key_mismatch', 'genesis: not signed by its service key')
  const { log, time } = keys
  check(log.name === origin, 'origin_mismatch', 'genesis: the log key is named for another log')
  check(log.type === NOTE_ED25519, 'algorithm_unsupported', 'genesis: log key of another type')
  check(
    time.type === NOTE_COSIGNATURE_V1,
    'algorithm_unsupported',
    'genesis: time key of another type',
  )
  const { alg } = parseSpki(keys.permit)
  check(alg === 'EdDSA', 'algorithm_unsupported', 'genesis: the permit key is not Ed25519')
  check(threshold <= operators.length, 'claim_invalid', 'threshold: more than there are operators')
  const authorities = genesis.ca.map((der) => parseAuthority(der, genesis.trust_domain))
  const people = [...operators, ...owners.map(({ key }) => key)]
  const spkis = [keys.service, keys.permit, keys.heartbeat, ...authorities, ...people]
  const points = [log, time, ...spkis.map(parseSpki)].map(({ publicKey }) => toHex(publicKey))
  check(new Set(points).size === points.length, 'claim_invalid', 'genesis: a public key twice')
  const own = genesis.predecessor?.origin === origin
  check(!own, 'claim_invalid', 'predecessor: the log itself')
  return {
    origin,
    trustDomain: genesis.trust_domain,
    development: genesis.development,
    keys,
    ca: genesis.ca,
    operators,
    threshold,
    owners,
    policy: genesis.policy,
    predecessor: genesis.predecessor,
  }
}

/** The key of a root certificate, which must have the trust domain's id. */
function parseAuthority(der: Uint8Array, trustDomain: string): Uint8Array {
  const root = parseCertificate(der)
  checkAuthority(root, trustDomain)
  check(root.uris.length === 1, 'certificate_invalid', "ca: must have the trust domain's id")
  return root.spki
}
