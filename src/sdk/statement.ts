/**
 * @module Makes statements: builds, commits to what is disclosed, signs (FORMAT §3, §4). A statement is made once and
 * its bytes are repeated on every retry, so a retry is the same statement and never a second one.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import {
  canonicalJson,
  disclosureDigest,
  formatCoseStatement,
  formatStatement,
  type JsonObject,
  type JsonValue,
  makeDisclosure,
  MEDIA_COSE,
  MEDIA_JOSE,
  noblePrimitives,
  parseStatement,
  SALT_BYTES_MIN,
  type SigningHeader,
  signingInput,
  type Statement,
  type StatementMedia,
  toBase64url,
  utf8Encode,
} from '@trustwarden/proofs'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { SigningKey } from './signing-key.ts'

/** How a statement is wrapped (FORMAT §3.1): JWS compact serialization, or COSE_Sign1. They mean the same. */
export type Envelope = 'jws' | 'cose'

/** Who signs. */
export interface StatementSigner {
  /** Principal (FORMAT §7.3). */
  readonly issuer: string
  readonly key: SigningKey
  /** Instances only: draws the next number of the counter that is kept with the key. */
  readonly nextSeq?: () => number
}

/** What is to be said. */
export interface StatementDraft {
  /** The statement's type, such as `action`. */
  readonly type: string
  /** What the statement is about (FORMAT §6). */
  readonly subject: string
  readonly payload: JsonObject
  /** What is committed to by salted digests and travels beside the statement; `undefined` members are left out. */
  readonly disclosed?: Readonly<Record<string, JsonValue | undefined>>
  /** Event id; drawn if absent. */
  readonly jti?: string
  /** JWS by default. */
  readonly envelope?: Envelope
}

/** A statement that was signed, with what travels beside it. */
export interface SignedStatement {
  /** As a request in JSON carries it: the JWS, or base64url of the COSE_Sign1. */
  readonly text: string
  readonly disclosures: readonly string[]
  readonly statement: Statement
  readonly signer: StatementSigner
}

const READ_TYP = 'vnd.trustwarden.read'

/**
 * The media type of an envelope. A caller in JavaScript may say anything: what is not known is not signed as something
 * else.
 *
 * @throws TrustWardenError `argument_invalid`
 */
export function mediaOf(envelope: Envelope = 'jws'): StatementMedia {
  if (envelope === 'jws') return MEDIA_JOSE
  if (envelope === 'cose') return MEDIA_COSE
  throw new TrustWardenError('argument_invalid', 'envelope: must be jws or cose')
}

/** Draws an event id that no issuer draws twice. */
export function drawEventId(): string {
  return randomUUID()
}

/** Draws `length` random bytes. */
export function drawBytes(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length))
}

/** Makes a disclosure of each value that is not `undefined`, under a salt of its own. */
export function disclose(
  values: Readonly<Record<string, JsonValue | undefined>>,
): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [makeDisclosure(drawBytes(SALT_BYTES_MIN), name, value)],
  )
}

/** `_sd` and `_sd_alg` for these disclosures; nothing for none. */
export function commitments(disclosures: readonly string[]): JsonObject {
  if (disclosures.length === 0) return {}
  const digests = disclosures.map((text) => disclosureDigest(noblePrimitives, text))
  return { _sd: digests.toSorted(), _sd_alg: 'sha-256' }
}

/**
 * Signs a payload that is bytes already.
 *
 * @param disclosures - What the payload's digests commit to.
 * @throws TrustWardenError `argument_invalid`
 */
export function signPayload(
  signer: StatementSigner,
  origin: string,
  draft: Pick<StatementDraft, 'type' | 'subject' | 'jti' | 'envelope'>,
  payload: Uint8Array,
  disclosures: readonly string[],
): SignedStatement {
  return inSdkWords('argument_invalid', `${draft.type} statement`, () => {
    const { key, issuer, nextSeq } = signer
    const header: SigningHeader = {
      alg: key.alg,
      kid: key.kid,
      type: draft.type,
      aud: origin,
      iss: issuer,
      sub: draft.subject,
      iat: Math.floor(Date.now() / 1000),
      jti: draft.jti ?? drawEventId(),
      ...(nextSeq === undefined ? {} : { seq: nextSeq() }),
    }
    const media = mediaOf(draft.envelope)
    const signature = key.sign(signingInput(header, payload, media))
    if (media === MEDIA_JOSE) {
      const text = formatStatement(header, payload, signature)
      return { text, disclosures, statement: parseStatement(text), signer }
    }
    const bytes = formatCoseStatement(header, payload, signature)
    const statement = parseStatement(bytes, media)
    return { text: toBase64url(bytes), disclosures, statement, signer }
  })
}

/**
 * Builds and signs a statement.
 *
 * @throws TrustWardenError `argument_invalid` for a payload, disclosure or header that no statement can have.
 * @see FORMAT §3, §4
 */
export function signStatement(
  signer: StatementSigner,
  origin: string,
  draft: StatementDraft,
): SignedStatement {
  return inSdkWords('argument_invalid', `${draft.type} statement`, () => {
    const disclosures = disclose(draft.disclosed ?? {})
    const payload = canonicalJson({ ...draft.payload, ...commitments(disclosures) })
    return signPayload(signer, origin, draft, payload, disclosures)
  })
}

/**
 * Signs one read request: the value of its `Authorization` header.
 *
 * @param path - Path and query as in the request line.
 * @see FORMAT §3.5
 */
export function signRead(signer: StatementSigner, origin: string, path: string): string {
  const { key, issuer } = signer
  const header = canonicalJson({
    alg: key.alg,
    kid: key.kid,
    typ: READ_TYP,
    aud: origin,
    iss: issuer,
    iat: Math.floor(Date.now() / 1000),
  })
  const signed = `${toBase64url(header)}.${toBase64url(canonicalJson({ method: 'GET', path }))}`
  return `TrustWarden ${signed}.${toBase64url(key.sign(utf8Encode(signed)))}`
}
