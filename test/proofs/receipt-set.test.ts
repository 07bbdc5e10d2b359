/**
 * @module Goal: a set of receipts expands to exactly the receipts that were put into it, and what is not written in the
 * one form is refused by name. Method: sets of made-up receipts; each rule broken once; arbitrary receipts round-trip;
 * every character of a set changed.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes, toBase64url, utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { canonicalJson, type JsonObject, type JsonValue, parseJson } from '../../proofs/json.ts'
import type { Receipt } from '../../proofs/receipt.ts'
import { expandReceipts, receiptSetObject } from '../../proofs/receipt-set.ts'
import { ProofError } from '../../proofs/errors.ts'
import { codeOf } from '../support/proof-code.ts'

const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const [a, b, c] = [hash(1), hash(2), hash(3)]
const statement = utf8Encode('the statement')
const entry = concatBytes(utf8Encode('before'), statement, utf8Encode('after'))
const RECEIPTS: readonly Receipt[] = [
  { index: 7, entry, path: [a, b], head: 'one' },
  { index: 8, entry: utf8Encode('another'), path: [c, b], head: 'one' },
  { index: 2 ** 40, entry, path: [], head: 'two' },
]
const SENT = [statement, statement, undefined]
const set = (): JsonObject =>
  parseJson(canonicalJson(receiptSetObject(RECEIPTS, SENT))) as JsonObject

test('nodes and heads stand there once, and a statement that was sent not at all', () => {
  expect(set()).toEqual({
    format: 'trustwarden-receipts/1',
    heads: ['one', 'two'],
    nodes: [a, b, c].map((one) => toBase64url(one)),
    receipts: [
      {
        index: 7,
        entry: ['before', 'after'].map((x) => toBase64url(utf8Encode(x))),
        path: [0, 1],
        head: 0,
      },
      { index: 8, entry: toBase64url(utf8Encode('another')), path: [2, 1], head: 0 },
      { index: 2 ** 40, entry: toBase64url(entry), path: [], head: 1 },
    ],
  })
  expect(expandReceipts(set(), SENT)).toEqual(RECEIPTS)
})

test('the statement is found wherever it stands, and only if all of it does', () => {
  for (const [before, after] of [
    ['', ''],
    ['tttt', 'x'],
    ['the stat', ''],
    ['', 'the statemen'],
  ] as const) {
    const bytes = concatBytes(utf8Encode(before), statement, utf8Encode(after))
    const one = { ...RECEIPTS[0], index: 1, entry: bytes, path: [], head: 'h' }
    const object = receiptSetObject([one], [statement])
    expect(Array.isArray((object['receipts'] as readonly JsonObject[])[0]?.['entry'])).toBe(true)
    expect(expandReceipts(object, [statement])[0]?.entry).toEqual(bytes)
  }
  for (const text of ['', 'the statemen', 'the statemenx t', 'xthe statemen']) {
    const one = { index: 1, entry: utf8Encode(text), path: [], head: 'h' }
    const object = receiptSetObject([one], [statement])
    expect(expandReceipts(object, [statement])[0]?.entry).toEqual(utf8Encode(text))
  }
})

const broken: Readonly<Record<string, readonly [patch: JsonObject, code: string]>> = {
  'another format': [{ format: 'trustwarden-receipts/2' }, 'version_unknown'],
  'an unknown member': [{ more: 1 }, 'malformed'],
  'too many receipts': [{ receipts: Array.from({ length: 1001 }, () => ({})) }, 'too_large'],
  'a head that is no text': [{ heads: [1] }, 'malformed'],
  'too long a head': [{ heads: ['x'.repeat(65_537)] }, 'too_large'],
  'too many heads': [{ heads: Array.from({ length: 1001 }, () => 'x') }, 'too_large'],
  'a short node': [{ nodes: ['AA'] }, 'malformed'],
  'too many nodes': [{ nodes: Array.from({ length: 53_001 }, () => '') }, 'too_large'],
  'an unused node': [{ nodes: [a, b, c, hash(4)].map((one) => toBase64url(one)) }, 'not_canonical'],
  'an unused head': [{ heads: ['one', 'two', 'three'] }, 'not_canonical'],
  'no nodes': [{ nodes: [] }, 'malformed'],
}
for (const [name, [patch, code]] of Object.entries(broken)) {
  test(`${name} is refused`, () => {
    expect(codeOf(() => expandReceipts({ ...set(), ...patch }, SENT))).toBe(code)
  })
}

const brokenReceipt: Readonly<Record<string, readonly [patch: JsonObject, code: string]>> = {
  'a negative index': [{ index: -1 }, 'malformed'],
  'too long a path': [{ path: Array.from({ length: 54 }, () => 0) }, 'too_large'],
  'a node before it is used in order': [{ path: [1, 0] }, 'not_canonical'],
  'a node that is not there': [{ path: [3] }, 'malformed'],
  'a head that is not there': [{ head: 2 }, 'malformed'],
  'an entry of three parts': [{ entry: ['', '', ''] }, 'malformed'],
  'an entry of one part': [{ entry: [''] }, 'malformed'],
  'an entry of no part': [{ entry: [] }, 'malformed'],
  'an entry that is a number': [{ entry: 5 }, 'malformed'],
  'an entry over the limit': [{ entry: 'A'.repeat(87_381) }, 'too_large'],
  'an unknown member': [{ more: 1 }, 'malformed'],
}
for (const [name, [patch, code]] of Object.entries(brokenReceipt)) {
  test(`in a receipt ${name} is refused`, () => {
    const object = set()
    const [first, ...rest] = object['receipts'] as readonly JsonObject[]
    const receipts = [{ ...first, ...patch }, ...rest]
    expect(codeOf(() => expandReceipts({ ...object, receipts }, SENT))).toBe(code)
  })
}

test('an entry without its statement needs the statement', () => {
  expect(codeOf(() => expandReceipts(set()))).toBe('malformed')
})

test('sets round-trip, whatever is sent', () => {
  const bytes = fc.uint8Array({ maxLength: 40 })
  const nodes = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { minLength: 1 })
  const receipt = (pool: readonly Uint8Array[]) =>
    fc.record({
      index: fc.maxSafeNat(),
      entry: bytes,
      path: fc.array(fc.constantFrom(...pool), { maxLength: 5 }),
      head: fc.constantFrom('x', 'y', 'z'),
    })
  const sets = nodes.chain((pool) =>
    fc.array(fc.tuple(receipt(pool), fc.option(bytes, { nil: undefined }))),
  )
  fc.assert(
    fc.property(sets, (list) => {
      const receipts = list.map(([one]) => one)
      const sent = list.map(([, one]) => one)
      const object = parseJson(canonicalJson(receiptSetObject(receipts, sent)))
      expect(expandReceipts(object, sent)).toEqual(receipts)
    }),
  )
})

test('a changed character is refused or gives other receipts, and nothing but ProofErrors', () => {
  const text = utf8Decode(canonicalJson(set()))
  for (let at = 0; at < text.length; at++) {
    for (const char of ['0', '1', '9', 'A', '"', ',']) {
      if (text[at] === char) continue
      let value: JsonValue
      try {
        value = parseJson(utf8Encode(`${text.slice(0, at)}${char}${text.slice(at + 1)}`))
      } catch {
        continue
      }
      try {
        expect(expandReceipts(value, SENT)).not.toEqual(RECEIPTS)
      } catch (error) {
        if (!(error instanceof ProofError)) throw error
      }
    }
  }
})
