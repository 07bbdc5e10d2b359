/** @module Vectors of statements in COSE. */
import { concatBytes, fromHex, toHex, utf8Encode } from '../bytes.ts'
import { type CborMap, type CborValue, encodeCbor } from '../cbor.ts'
import type { JsonObject } from '../json.ts'
import { MEDIA_COSE } from '../statement.ts'
import {
  coseBytes,
  coseHeader,
  type CoseHeader,
  type CoseParts,
  signCose,
} from './generate-cose.ts'
import type { Row } from './generate-encodings.ts'
import { vectorKey, type VectorKey } from './generate-keys.ts'
import { CHILD_ID, OPERATOR, people, START_MS } from './generate-plot.ts'

const HEADER: JsonObject = {
  alg: 'EdDSA',
  kid: people.operator.kid,
  typ: 'vnd.trustwarden.operator.clock',
  aud: 'log.example/logs/main',
  iss: OPERATOR,
  sub: 'log',
  iat: START_MS / 1000,
  jti: 'cose-1',
}
export const PAYLOAD: Uint8Array = utf8Encode(`{"time_ms":${START_MS}}`)

/** The right statement of an operator, with these labels replaced; `null` takes one away. */
export function sign(
  labels: readonly (readonly [string | number, CborValue])[] = [],
  by: VectorKey = people.operator,
  payload: Uint8Array = PAYLOAD,
): CoseParts {
  return signCose(by, patched(coseHeader(HEADER), labels), payload)
}

/** The same with CWT claims replaced. */
function signClaims(
  claims: readonly (readonly [string | number, CborValue])[],
  labels: readonly (readonly [string | number, CborValue])[] = [],
): CoseParts {
  const right = coseHeader(HEADER).get(15)
  return sign([[15, patched(right as CborMap, claims)], ...labels])
}

function patched(
  map: CborMap,
  patch: readonly (readonly [string | number, CborValue])[],
): CoseHeader {
  const made = new Map(map)
  for (const [label, value] of patch) {
    if (value === null) made.delete(label)
    else made.set(label, value)
  }
  return made
}

function input(statement: Uint8Array, patch: JsonObject = {}): JsonObject {
  return {
    statement: toHex(statement),
    media: MEDIA_COSE,
    spki: toHex(people.operator.spki),
    origin: 'log.example/logs/main',
    type: 'operator.clock',
    ...patch,
  }
}

/** A header's bytes with a run of them replaced. */
export function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const hex = toHex(bytes)
  if (hex.split(from).length !== 2) throw new Error(`${from} is not in the bytes once`)
  return fromHex(hex.replace(from, to))
}

/** A statement whose protected header is these bytes, signed as they are. */
function signHeader(header: Uint8Array): Uint8Array {
  const { payload } = sign()
  const signed = encodeCbor(['Signature1', header, new Uint8Array(), payload])
  const signature = people.operator.sign(signed)
  return coseBytes({ header, unprotected: new Map(), payload, signature })
}

/** Vectors of `statement` in COSE. */
export function coseRows(): readonly Row[] {
  const right = sign()
  const bytes = coseBytes(right)
  const make = (parts: CoseParts, patch: JsonObject = {}): JsonObject =>
    input(coseBytes(parts), patch)
  const ecdsa = vectorKey('ES256', 'fetcher')
  const agent: JsonObject = {
    ...HEADER,
    alg: 'ES256',
    kid: ecdsa.kid,
    iss: CHILD_ID,
    sub: CHILD_ID,
  }
  const asAgent = (header: CoseHeader): JsonObject =>
    make(signCose(ecdsa, header, PAYLOAD), { spki: toHex(ecdsa.spki) })
  const counted = coseHeader({ ...agent, seq: 1 })
  return [
    ['ok-cose-ed25519', 'ok', 'COSE: an operator, EdDSA (-8)', make(right)],
    ['ok-cose-ed25519-19', 'ok', 'COSE: Ed25519 by its full name (-19)', make(sign([[1, -19]]))],
    ['ok-cose-es256', 'ok', 'COSE: an instance, ES256 (-7), with its counter', asAgent(counted)],
    [
      'ok-cose-es256-9',
      'ok',
      'COSE: ES256 by its full name, ESP256 (-9)',
      asAgent(patched(counted, [[1, -9]])),
    ],
    ['cose-tag-missing', 'malformed', 'no tag', input(bytes.subarray(1))],
    ['cose-tag-sign', 'malformed', 'tag 98, COSE_Sign', input(coseBytes(right, fromHex('d862')))],
    ['cose-tag-long', 'malformed', 'tag 18 in two bytes', input(coseBytes(right, fromHex('d812')))],
    [
      'cose-tag-twice',
      'malformed',
      'tag 61, CWT, around it',
      input(concatBytes(fromHex('d83d'), bytes)),
    ],
    ['cose-items-three', 'malformed', 'an array of three', input(replaced(bytes, 'd284', 'd283'))],
    [
      'cose-items-five',
      'malformed',
      'an array of five',
      input(concatBytes(replaced(bytes, 'd284', 'd285'), fromHex('40'))),
    ],
    [
      'cose-array-indefinite',
      'malformed',
      'an array of no stated length',
      input(concatBytes(replaced(bytes, 'd284', 'd29f'), fromHex('ff'))),
    ],
    ['cose-bytes-after', 'malformed', 'a byte after it', input(concatBytes(bytes, fromHex('00')))],
    ['cose-cut', 'malformed', 'a byte less', input(bytes.subarray(0, -1))],
    [
      'cose-unprotected',
      'not_canonical',
      'an unprotected header that was not emptied',
      make({ ...right, unprotected: new Map([[4, people.operator.kid]]) }),
    ],
    [
      'cose-unprotected-array',
      'malformed',
      'an unprotected header that is no map',
      make({ ...right, unprotected: [] }),
    ],
    ['cose-payload-detached', 'malformed', 'a detached payload', make({ ...right, payload: null })],
    ['cose-payload-text', 'malformed', 'the payload as text', make({ ...right, payload: 'x' })],
    [
      'cose-payload-cbor',
      'malformed',
      'a payload that is CBOR',
      make(sign([], people.operator, fromHex('a0'))),
    ],
    [
      'cose-payload-array',
      'malformed',
      'a payload that is no object',
      make(sign([], people.operator, utf8Encode('[]'))),
    ],
    [
      'cose-payload-key-twice',
      'malformed',
      'a member twice',
      make(sign([], people.operator, utf8Encode('{"a":1,"a":1}'))),
    ],
    [
      'cose-payload-changed',
      'signature_invalid',
      'the signature of another payload',
      make({ ...right, payload: utf8Encode('{}') }),
    ],
    [
      'cose-payload-length-long',
      'not_canonical',
      'the length of the payload in more bytes than it needs',
      input(
        replaced(
          bytes,
          `a0${toHex(encodeCbor(PAYLOAD))}`,
          `a059${PAYLOAD.length.toString(16).padStart(4, '0')}${toHex(PAYLOAD)}`,
        ),
      ),
    ],
    [
      'cose-payload-indefinite',
      'not_canonical',
      'the payload in chunks',
      input(
        replaced(bytes, `a0${toHex(encodeCbor(PAYLOAD))}`, `a05f${toHex(encodeCbor(PAYLOAD))}ff`),
      ),
    ],
    [
      'cose-signature-short',
      'malformed',
      'a signature of 63 bytes',
      make({ ...right, signature: new Uint8Array(63) }),
    ],
    [
      'cose-signature-of-jws',
      'signature_invalid',
      'signed as JWS is: the claims alone are not what is signed',
      make({ ...right, signature: people.operator.sign(PAYLOAD) }),
    ],
    [
      'cose-external-aad',
      'signature_invalid',
      'signed with external data',
      make({
        ...right,
        signature: people.operator.sign(
          encodeCbor(['Signature1', right.header, utf8Encode('x'), PAYLOAD]),
        ),
      }),
    ],
    [
      'cose-context-other',
      'signature_invalid',
      'signed as COSE_Sign',
      make({
        ...right,
        signature: people.operator.sign(
          encodeCbor(['Signature', right.header, new Uint8Array(), PAYLOAD]),
        ),
      }),
    ],
    [
      'cose-header-empty',
      'malformed',
      'a protected header of no bytes',
      input(signHeader(new Uint8Array())),
    ],
    [
      'cose-header-array',
      'malformed',
      'a protected header that is no map',
      input(signHeader(fromHex('80'))),
    ],
    [
      'cose-header-unsorted',
      'not_canonical',
      'labels out of order',
      input(signHeader(swapped(right.header))),
    ],
    [
      'cose-header-label-twice',
      'malformed',
      'alg twice',
      input(signHeader(concatBytes(fromHex('a60127'), right.header.subarray(1)))),
    ],
    [
      'cose-header-indefinite',
      'not_canonical',
      'a map of no stated length',
      input(signHeader(concatBytes(fromHex('bf'), right.header.subarray(1), fromHex('ff')))),
    ],
    [
      'cose-header-alg-long',
      'not_canonical',
      'alg in two bytes',
      input(signHeader(concatBytes(fromHex('a5013807'), right.header.subarray(3)))),
    ],
    [
      'cose-header-bytes-after',
      'malformed',
      'a byte after the map',
      input(signHeader(concatBytes(right.header, fromHex('00')))),
    ],
    [
      'cose-label-unknown',
      'malformed',
      'a label that is not listed: content type',
      make(sign([[3, 'application/json']])),
    ],
    ['cose-crit', 'malformed', 'crit', make(sign([[2, [1]]]))],
    [
      'cose-claim-unknown',
      'malformed',
      'a claim that is not listed: exp',
      make(signClaims([[4, 1]])),
    ],
    ['cose-claims-missing', 'claim_missing', 'no CWT claims', make(sign([[15, null]]))],
    ['cose-claims-array', 'claim_invalid', 'CWT claims that are no map', make(sign([[15, []]]))],
    ['cose-alg-none', 'claim_missing', 'no alg', make(sign([[1, null]]))],
    ['cose-alg-rs256', 'algorithm_unsupported', 'RS256 (-257)', make(sign([[1, -257]]))],
    ['cose-alg-es256k', 'algorithm_unsupported', 'ES256K (-47)', make(sign([[1, -47]]))],
    ['cose-alg-text', 'claim_invalid', 'alg as text', make(sign([[1, 'EdDSA']]))],
    ['cose-alg-of-other-key', 'key_mismatch', 'ES256 said, Ed25519 meant', make(sign([[1, -7]]))],
    ['cose-kid-text', 'claim_invalid', 'kid as text', make(sign([[4, people.operator.kid]]))],
    ['cose-kid-short', 'claim_invalid', 'a kid of 31 bytes', make(sign([[4, new Uint8Array(31)]]))],
    ['cose-kid-missing', 'claim_missing', 'no kid', make(sign([[4, null]]))],
    [
      'cose-kid-unprotected',
      'not_canonical',
      'kid in the unprotected header alone',
      make({ ...sign([[4, null]]), unprotected: new Map([[4, new Uint8Array(32)]]) }),
    ],
    ['cose-typ-missing', 'claim_missing', 'no typ', make(sign([[16, null]]))],
    [
      'cose-typ-of-jws',
      'claim_invalid',
      'typ without application/',
      make(sign([[16, 'vnd.trustwarden.operator.clock']])),
    ],
    [
      'cose-typ-number',
      'claim_invalid',
      'typ as a number of a content format',
      make(sign([[16, 18]])),
    ],
    [
      'cose-typ-other',
      'type_mismatch',
      'of another type',
      make(sign([[16, 'application/vnd.trustwarden.erasure']])),
    ],
    [
      'cose-aud-other',
      'audience_mismatch',
      'for another log',
      make(signClaims([[3, 'log.example/logs/other']])),
    ],
    [
      'cose-aud-list',
      'claim_invalid',
      'a list of audiences',
      make(signClaims([[3, ['log.example/logs/main']]])),
    ],
    [
      'cose-iss-of-other-key',
      'key_mismatch',
      'iss names another key',
      make(signClaims([[1, `operator:${people.second.kid}`]])),
    ],
    ['cose-sub-missing', 'claim_missing', 'no sub', make(signClaims([[2, null]]))],
    ['cose-iat-text', 'claim_invalid', 'iat as text', make(signClaims([[6, '1']]))],
    ['cose-iat-negative', 'claim_invalid', 'iat before 1970', make(signClaims([[6, -1]]))],
    [
      'cose-iat-float',
      'malformed',
      'iat as a float',
      input(
        signHeader(
          replaced(right.header, `06${toHex(encodeCbor(START_MS / 1000))}`, '06fb41dad27480000000'),
        ),
      ),
    ],
    ['cose-cti-text', 'claim_invalid', 'cti as text', make(signClaims([[7, 'cose-1']]))],
    ['cose-cti-empty', 'claim_invalid', 'an empty cti', make(signClaims([[7, new Uint8Array()]]))],
    [
      'cose-cti-long',
      'claim_invalid',
      'a cti of 65 bytes',
      make(signClaims([[7, utf8Encode('x'.repeat(65))]])),
    ],
    [
      'cose-cti-no-ascii',
      'claim_invalid',
      'a cti of random bytes',
      make(signClaims([[7, fromHex('ff00')]])),
    ],
    ['cose-cti-missing', 'claim_missing', 'no cti', make(signClaims([[7, null]]))],
    [
      'cose-seq-missing',
      'claim_missing',
      'an instance without its counter',
      asAgent(coseHeader(agent)),
    ],
    ['cose-seq-of-operator', 'claim_invalid', 'a counter of no instance', make(sign([['seq', 1]]))],
    ['cose-seq-zero', 'claim_invalid', 'a counter of 0', asAgent(coseHeader({ ...agent, seq: 0 }))],
    [
      'cose-key-other',
      'key_mismatch',
      'another key than kid names',
      make(right, { spki: toHex(people.second.spki) }),
    ],
  ]
}

/** The first two labels the other way round. */
function swapped(header: Uint8Array): Uint8Array {
  const [alg, kid] = [header.subarray(1, 3), header.subarray(3, 3 + 35)]
  return concatBytes(header.subarray(0, 1), kid, alg, header.subarray(38))
}
