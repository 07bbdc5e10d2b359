/**
 * @module Request bodies: strict JSON by the kit's parser, CBOR by cbor-x, both into the same submissions.
 *
 * cbor-x reads bodies only, and only of a shape that was checked before (`cbor-shape.ts`). What is hashed or signed
 * inside one (the statement) goes on as bytes to the kit's own strict parsers, so that nothing rests on how tolerant a
 * body decoder is.
 */
import {
  DISCLOSURES_MAX,
  fromBase64url,
  type JsonValue,
  jsonArray,
  jsonObject,
  jsonString,
  ProofError,
  parseJson,
  requireMembers,
  toBase64url,
} from '@trustwarden/proofs'
import { Decoder } from 'cbor-x'
import { type ErrorCode, ServiceError } from '../errors.ts'
import { checkCborShape } from './cbor-shape.ts'

/** Bytes of a request, and statements in it, at most. */
export const REQUEST_BYTES_MAX = 1_048_576
/** Statements of a request, at most. */
export const REQUEST_STATEMENTS_MAX = 1000
/** Pinned attachments of a statement, at most: no type takes more. */
const ATTACHMENTS_MAX = 1

/** One statement as it came in, with what travels beside it. */
export interface Submitted {
  readonly statement: string
  readonly disclosures: readonly string[]
  readonly csr?: Uint8Array
  readonly pinned: readonly Uint8Array[]
}

const cbor = new Decoder({ mapsAsObjects: true, useRecords: false })
const NESTING_MAX = 8

/** Makes JSON values of decoded CBOR; byte strings become base64url, as which JSON has them. */
function plain(value: unknown): JsonValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  if (value instanceof Uint8Array) return toBase64url(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object') {
    const members = Object.entries(value).map(([name, one]) => [name, plain(one)] as const)
    return Object.fromEntries(members)
  }
  throw new ServiceError('request_malformed', 'body holds a value that the route does not read')
}

function parseCbor(bytes: Uint8Array): JsonValue {
  checkCborShape(bytes, NESTING_MAX)
  return plain(cbor.decode(bytes))
}

/**
 * Parses a body of one of the two media types into plain JSON values.
 *
 * @throws {ServiceError} `request_malformed`, `request_too_large`, `media_type_unsupported`
 */
export function parseBody(bytes: Uint8Array, mediaType: string): JsonValue {
  if (bytes.length > REQUEST_BYTES_MAX)
    throw new ServiceError('request_too_large', `body is over ${REQUEST_BYTES_MAX} bytes`)
  try {
    if (mediaType === 'application/json')
      return parseJson(bytes, { maxBytes: REQUEST_BYTES_MAX, maxDepth: NESTING_MAX })
    if (mediaType === 'application/cbor') return parseCbor(bytes)
  } catch (error) {
    if (error instanceof ServiceError) throw error
    const why = error instanceof ProofError ? error.message : 'not one well-formed item'
    throw new ServiceError('request_malformed', `body: ${why}`, { cause: error })
  }
  throw new ServiceError(
    'media_type_unsupported',
    `content type ${mediaType} is not application/json or application/cbor`,
  )
}

function optionalTexts(
  value: JsonValue | undefined,
  field: string,
  most: number,
  code: ErrorCode,
): readonly string[] {
  if (value === undefined) return []
  const items = jsonArray(value, field)
  if (items.length > most)
    throw new ServiceError(code, `${field}: holds ${items.length}, at most ${most}`)
  return items.map((item) => jsonString(item, field))
}

/**
 * Reads `{statement, disclosures?, attachments?, csr?}`; `field` names its place in the request.
 *
 * @throws {ServiceError} `request_malformed`; `statement_too_large` and `attachment_invalid` for more than the most that
 *   any statement comes with
 */
export function readSubmitted(value: JsonValue, field: string): Submitted {
  try {
    const object = jsonObject(value, field)
    requireMembers(object, ['statement'], ['disclosures', 'attachments', 'csr'], field)
    const csr = object['csr']
    return {
      statement: jsonString(object['statement'], `${field}.statement`),
      disclosures: optionalTexts(
        object['disclosures'],
        `${field}.disclosures`,
        DISCLOSURES_MAX,
        'statement_too_large',
      ),
      pinned: optionalTexts(
        object['attachments'],
        `${field}.attachments`,
        ATTACHMENTS_MAX,
        'attachment_invalid',
      ).map((text) => fromBase64url(text)),
      ...(csr === undefined ? {} : { csr: fromBase64url(jsonString(csr, `${field}.csr`)) }),
    }
  } catch (error) {
    if (error instanceof ProofError)
      throw new ServiceError('request_malformed', error.message, { cause: error })
    throw error
  }
}

/**
 * Reads the body of `POST /v1/statements`: `{"statements":[…]}`.
 *
 * @throws {ServiceError} `request_malformed`, `request_too_large`
 */
export function readStatements(body: JsonValue): readonly JsonValue[] {
  try {
    const object = jsonObject(body, 'body')
    requireMembers(object, ['statements'], [], 'body')
    const statements = jsonArray(object['statements'], 'statements')
    const { length } = statements
    if (length === 0) throw new ServiceError('request_malformed', 'statements: holds none')
    if (length > REQUEST_STATEMENTS_MAX)
      throw new ServiceError(
        'request_too_large',
        `statements: holds ${length}, at most ${REQUEST_STATEMENTS_MAX} are read`,
      )
    return statements
  } catch (error) {
    if (error instanceof ProofError)
      throw new ServiceError('request_malformed', error.message, { cause: error })
    throw error
  }
}
