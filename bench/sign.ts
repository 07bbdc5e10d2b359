/**
 * @module Signs statements as cheaply as node:crypto can (FORMAT §3, §4): the load shares the machine with the service,
 * and what it does besides sending is as little as a client could do. The service checks every byte of it.
 */
import {
  createHash,
  createPrivateKey,
  type KeyObject,
  randomBytes,
  randomUUID,
  sign,
} from 'node:crypto'
import type { PersonKey } from 'trustwarden'

/** A statement that was signed, with what travels beside it. */
export interface Signed {
  readonly text: string
  readonly disclosures: readonly string[]
}

/** What is to be said. Members stand in the order of RFC 8785. */
export interface Draft {
  readonly type: string
  readonly subject: string
  /** Without `_sd`. Names that sort before `_sd` come first: digits and capitals, of which there are none. */
  readonly payload: Readonly<Record<string, unknown>>
  readonly disclosed?: Readonly<Record<string, unknown>>
  readonly jti?: string
}

/** Who signs. */
export interface Signer {
  readonly issuer: string
  readonly alg: 'ES256' | 'EdDSA'
  readonly kid: string
  readonly key: KeyObject
  /** Draws the next number; instances only. */
  readonly nextSeq?: () => number
}

const SALT_BYTES = 16

const encoded = (text: string): string => Buffer.from(text).toString('base64url')
const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** Makes the signer of a person or of an instance. */
export function signerOf(issuer: string, key: PersonKey, nextSeq?: () => number): Signer {
  const { alg, kid } = key
  const base = { issuer, alg, kid, key: createPrivateKey(key.privatePem()) }
  return nextSeq === undefined ? base : { ...base, nextSeq }
}

function disclosureOf([name, value]: readonly [string, unknown]): string {
  const salt = randomBytes(SALT_BYTES).toString('base64url')
  return encoded(JSON.stringify([salt, name, value]))
}

/** Signs a statement for the log of this origin. */
export function signStatement(
  { issuer, alg, kid, key, nextSeq }: Signer,
  origin: string,
  { type, subject, payload, disclosed = {}, jti = randomUUID() }: Draft,
): Signed {
  const disclosures = Object.entries(disclosed).map(disclosureOf)
  const commitments =
    disclosures.length === 0 ? {} : { _sd: disclosures.map(digest).toSorted(), _sd_alg: 'sha-256' }
  const header = {
    alg,
    aud: origin,
    iat: Math.floor(Date.now() / 1000),
    iss: issuer,
    jti,
    kid,
    ...(nextSeq === undefined ? {} : { seq: nextSeq() }),
    sub: subject,
    typ: `vnd.trustwarden.${type}`,
  }
  const body = JSON.stringify({ ...commitments, ...payload })
  const input = `${encoded(JSON.stringify(header))}.${encoded(body)}`
  const hash = alg === 'ES256' ? 'sha256' : null
  const mark = sign(hash, Buffer.from(input, 'latin1'), { key, dsaEncoding: 'ieee-p1363' })
  return { text: `${input}.${mark.toString('base64url')}`, disclosures }
}
