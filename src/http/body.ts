/**
 * @module Bodies of requests and answers: strict JSON by the kit's parser, CBOR by cbor-x, a statement alone as it is; all
 * into the same submissions.
 *
 * cbor-x reads and writes bodies only, and reads only what has a shape that was checked before (`cbor-shape.ts`). What is
 * hashed or signed inside one (the statement) goes on as bytes to the kit's own strict parsers, so that nothing rests on
 * how tolerant a body decoder is.
 */
import {
  DISCLOSURES_MAX,
  fromBase64url,
  type JsonValue,
  MEDIA_COSE,
  MEDIA_JOSE,
  ProofError,
  parseJson,
} from '@trustwarden/proofs'
import { Decoder, Encoder } from 'cbor-x'
import { type ErrorCode, ServiceError } from '../errors.ts'
import { checkCborShape } from './cbor-shape.ts'

/** Bytes of a request, and statements in it, at most. */
export const REQUEST_BYTES_MAX = 1_048_576
/** Statements of a request, at most. */
export const REQUEST_STATEMENTS_MAX = 1000
/** Pinned attachments of a statement, at most: no type takes more. */
const ATTACHMENTS_MAX = 1

/** The media types of a body that is one statement with nothing beside it. */
export const STATEMENT_MEDIA: readonly string[] = [MEDIA_JOSE, MEDIA_COSE]
/** The media types of every other body. */
export const BODY_MEDIA: readonly string[] = ['application/json', 'application/cbor']

/** A value of a body. CBOR has byte strings too: they stand where JSON has base64url. */
export type BodyValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly BodyValue[]
  | { readonly [name: string]: BodyValue }

/** One statement as it came in, with what travels beside it. */
export interface Submitted {
  readonly statement: string | Uint8Array
  /** The media type of its envelope, if it was named. */
  readonly media?: string
  readonly disclosures: readonly string[]
  readonly csr?: Uint8Array
  readonly pinned: readonly Uint8Array[]
}

const decoder = new Decoder({ mapsAsObjects: true, useRecords: false })
const encoder = new Encoder({ mapsAsObjects: true, useRecords: false })
const NESTING_MAX = 8
/** Values of a body, names included: a request of 1,000 statements with all that they come with has 30,000. */
const BODY_ITEMS_MAX = 65_536

function refuse(why: string, cause?: unknown): ServiceError {
  return new ServiceError('request_malformed', why, { cause })
}

function parseCbor(bytes: Uint8Array): BodyValue {
  checkCborShape(bytes, NESTING_MAX, BODY_ITEMS_MAX)
  return decoder.decode(bytes) as BodyValue
}

/**
 * Parses a body.
 *
 * @param mediaType - One of `BODY_MEDIA`; of `STATEMENT_MEDIA`, the body is a statement, and read as the object that
 *   holds it.
 * @throws {ServiceError} `request_malformed`, `request_too_large`, `media_type_unsupported`
 */
export function parseBody(bytes: Uint8Array, mediaType: string): BodyValue {
  if (bytes.length > REQUEST_BYTES_MAX)
    throw new ServiceError('request_too_large', `body is over ${REQUEST_BYTES_MAX} bytes`)
  try {
    if (mediaType === 'application/json')
      return parseJson(bytes, {
        maxBytes: REQUEST_BYTES_MAX,
        maxDepth: NESTING_MAX,
        maxItems: BODY_ITEMS_MAX,
      })
    if (mediaType === 'application/cbor') return parseCbor(bytes)
    if (mediaType === MEDIA_COSE) return { statement: bytes, media: mediaType }
    // Each byte is a character: what is not ASCII is no statement.
    if (mediaType === MEDIA_JOSE)
      return { statement: Buffer.from(bytes).toString('latin1'), media: mediaType }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    const why = error instanceof ProofError ? error.message : 'not one well-formed item'
    throw refuse(`body: ${why}`, error)
  }
  throw new ServiceError(
    'media_type_unsupported',
    `content type ${mediaType} is none of ${[...BODY_MEDIA, ...STATEMENT_MEDIA].join(', ')}`,
  )
}

/** Writes an answer in CBOR: the members and the values that it has in JSON. */
export function formatCbor(answer: JsonValue): Uint8Array {
  return encoder.encode(withWideIntegers(answer))
}

/** cbor-x writes an integer beyond 32 bits as a float, unless it is a bigint. */
function withWideIntegers(value: JsonValue | undefined): unknown {
  if (typeof value === 'number') {
    return Number.isInteger(value) && Math.abs(value) >= 2 ** 31 ? BigInt(value) : value
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withWideIntegers)
  // What JSON leaves out is left out.
  const members = Object.entries(value).filter(([, one]) => one !== undefined)
  return Object.fromEntries(members.map(([name, one]) => [name, withWideIntegers(one)]))
}

function objectOf(
  value: BodyValue | undefined,
  field: string,
  required: readonly string[],
  optional: readonly string[],
): { readonly [name: string]: BodyValue } {
  if (typeof value !== 'object' || value === null || isList(value) || isBytes(value))
    throw refuse(`${field}: not an object`)
  for (const name of required) {
    if (!Object.hasOwn(value, name)) throw refuse(`${field}: ${name} is missing`)
  }
  for (const name of Object.keys(value)) {
    if (!required.includes(name) && !optional.includes(name))
      throw refuse(`${field}: unknown member`)
  }
  return value
}

function isList(value: BodyValue): value is readonly BodyValue[] {
  return Array.isArray(value)
}

function isBytes(value: BodyValue | undefined): value is Uint8Array {
  return value instanceof Uint8Array
}

function listOf(value: BodyValue | undefined, field: string): readonly BodyValue[] {
  if (value !== undefined && isList(value)) return value
  throw refuse(`${field}: not an array`)
}

function textOf(value: BodyValue | undefined, field: string): string {
  if (typeof value === 'string') return value
  throw refuse(`${field}: not a string`)
}

/** Bytes, or base64url of some; copied, so that nothing that is kept holds the whole body. */
function bytesOf(value: BodyValue | undefined, field: string): Uint8Array {
  if (isBytes(value)) return new Uint8Array(value)
  try {
    return fromBase64url(textOf(value, field), field)
  } catch (error) {
    if (error instanceof ProofError) throw refuse(error.message, error)
    throw error
  }
}

function optionalList(
  value: BodyValue | undefined,
  field: string,
  most: number,
  code: ErrorCode,
): readonly BodyValue[] {
  if (value === undefined) return []
  const items = listOf(value, field)
  if (items.length > most)
    throw new ServiceError(code, `${field}: holds ${items.length}, at most ${most}`)
  return items
}

/**
 * Reads `{statement, media?, disclosures?, attachments?, csr?}`; `field` names its place in the request. A statement in
 * COSE is bytes, any other text.
 *
 * @throws {ServiceError} `request_malformed`; `statement_too_large` and `attachment_invalid` for more than the most that
 *   any statement comes with
 */
export function readSubmitted(value: BodyValue, field: string): Submitted {
  const optional = ['media', 'disclosures', 'attachments', 'csr']
  const { statement, media, disclosures, attachments, csr } = objectOf(
    value,
    field,
    ['statement'],
    optional,
  )
  const read = media === MEDIA_COSE ? bytesOf : textOf
  return {
    statement: read(statement, `${field}.statement`),
    ...(media === undefined ? {} : { media: textOf(media, `${field}.media`) }),
    disclosures: optionalList(
      disclosures,
      `${field}.disclosures`,
      DISCLOSURES_MAX,
      'statement_too_large',
    ).map((one) => textOf(one, `${field}.disclosures`)),
    pinned: optionalList(
      attachments,
      `${field}.attachments`,
      ATTACHMENTS_MAX,
      'attachment_invalid',
    ).map((one) => bytesOf(one, `${field}.attachments`)),
    ...(csr === undefined ? {} : { csr: bytesOf(csr, `${field}.csr`) }),
  }
}

/** What a request of `POST /v1/statements` asks for. */
export interface StatementsRequest {
  /** What `readSubmitted` reads, each. */
  readonly statements: readonly BodyValue[]
  /** Whether the receipts come as one set (FORMAT §11.6), or each by itself. */
  readonly isShared: boolean
}

/**
 * Reads the body of `POST /v1/statements`: `{"statements":[…],"receipts"?:"shared"}`, or one that `readSubmitted` reads.
 *
 * @throws {ServiceError} `request_malformed`, `request_too_large`
 */
export function readStatements(body: BodyValue): StatementsRequest {
  if (isOne(body)) return { statements: [body], isShared: false }
  const request = objectOf(body, 'body', ['statements'], ['receipts'])
  const statements = listOf(request['statements'], 'statements')
  const { receipts } = request
  if (receipts !== undefined && receipts !== 'shared') throw refuse('receipts: not "shared"')
  const { length } = statements
  if (length === 0) throw refuse('statements: holds none')
  if (length > REQUEST_STATEMENTS_MAX)
    throw new ServiceError(
      'request_too_large',
      `statements: holds ${length}, at most ${REQUEST_STATEMENTS_MAX} are read`,
    )
  return { statements, isShared: receipts !== undefined }
}

function isOne(body: BodyValue): boolean {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, 'statement')
}
