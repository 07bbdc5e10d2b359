/** @module Vectors of how statements in COSE are received. */
import { fromHex, toHex } from '../bytes.ts'
import { type CborValue, encodeCbor } from '../cbor.ts'
import type { JsonObject } from '../json.ts'
import { MEDIA_COSE } from '../statement.ts'
import { coseBytes, type CoseParts } from './generate-cose.ts'
import type { Row } from './generate-encodings.ts'
import { PAYLOAD, replaced, sign } from './generate-statement-cose.ts'

/** Vectors of `received`: what the unprotected header holds is dropped, and nothing else is touched. */
export function receivedRows(): readonly Row[] {
  const right = sign()
  const stored = toHex(coseBytes(right))
  const receive = (statement: Uint8Array, patch: JsonObject = {}): JsonObject => ({
    statement: toHex(statement),
    media: MEDIA_COSE,
    stored,
    ...patch,
  })
  const make = (unprotected: CborValue, parts: CoseParts = right): JsonObject =>
    receive(coseBytes({ ...parts, unprotected }))
  const encoded = (hex: string): Uint8Array =>
    replaced(
      coseBytes(right),
      `a0${toHex(encodeCbor(PAYLOAD))}`,
      `${hex}${toHex(encodeCbor(PAYLOAD))}`,
    )
  let nested: CborValue = 0
  for (let depth = 0; depth < 17; depth += 1) nested = [nested]
  return [
    ['ok-empty', 'ok', 'an empty one: the bytes are kept as they are', make(new Map())],
    ['ok-kid', 'ok', 'a key id, of whatever key', make(new Map([[4, new Uint8Array(32)]]))],
    [
      'ok-receipts',
      'ok',
      'receipts of another log (394)',
      make(new Map([[394, [fromHex('d28440a0f640')]]])),
    ],
    [
      'ok-text-label',
      'ok',
      'labels that are text, and maps in maps',
      make(new Map([['note', new Map([[1, [null, true, -7]]])]])),
    ],
    ['tag-inside', 'malformed', 'a tag in it', receive(encoded('a104c001'))],
    ['label-negative', 'malformed', 'a label below 0', receive(encoded('a12000'))],
    ['unsorted', 'not_canonical', 'labels out of order', receive(encoded('a204000100'))],
    ['indefinite', 'not_canonical', 'a map of no stated length', receive(encoded('bfff'))],
    ['nested', 'too_large', 'arrays 17 deep', make(new Map([[4, nested]]))],
    [
      'kid-not-protected',
      'claim_missing',
      'a key id in it does not stand for the protected one',
      make(new Map([[4, new Uint8Array(32)]]), sign([[4, null]])),
    ],
    ['no-map', 'malformed', 'an array in its place', make([])],
    [
      'media-unknown',
      'envelope_unsupported',
      'another media type',
      receive(coseBytes(right), { media: 'application/cbor' }),
    ],
  ]
}
