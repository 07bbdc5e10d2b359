/**
 * Goal: a receipt opens only as a proof of its entry at its index under a trusted head, and matches only the statement it
 * is for. Method: receipts from a log of three entries, made with a tree written for the tests; each member and each step
 * broken once, by name; a second signature over one content; arbitrary objects.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import { encodeEntry, type EntryFields } from '../../proofs/entry.ts'
import { formatHeadBody } from '../../proofs/head.ts'
import type { JsonValue } from '../../proofs/json.ts'
import { leafHash, nodeHash } from '../../proofs/merkle.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatNote } from '../../proofs/note.ts'
import {
  formatReceipt,
  matchReceipt,
  openReceipt,
  parseReceipt,
  type Receipt,
} from '../../proofs/receipt.ts'
import { parseStatement, type Statement } from '../../proofs/statement.ts'
import { logSigner } from '../support/note-signer.ts'
import { ACTION_EVENT, child, fresh, OPERATOR_CLOCK, OWNER, sampled } from '../support/payloads.ts'
import { codeOf } from '../support/proof-code.ts'
import {
  CHILD,
  CHILD_NAME,
  type JsonRecord,
  ORIGIN,
  otherSignature,
  patched,
} from '../support/statement-signer.ts'

const OTHER = 'other.example/logs/main'
const log = logSigner(ORIGIN, 1)
const otherLog = logSigner(OTHER, 2)
const trust = {
  logs: [log, otherLog].map(({ key }) => ({
    origin: key.name,
    anchor: { key, genesisHash: new Uint8Array(32), bundleHash: new Uint8Array(32) },
    keys: [{ key, from: 0, to: null }],
  })),
}
const submitted = sampled(ACTION_EVENT)

function entryOf(statement: Statement, index = 2): EntryFields {
  const subjects = [`inst:${CHILD}`, `agent:${CHILD_NAME}`, OWNER]
  return {
    index,
    kind: 'action',
    timeMs: 5,
    media: 'application/jose',
    statement: statement.bytes,
    prepared: new Map([[0, 1]]),
    outcome: new Map([
      [0, 'absent'],
      [15, 'new'],
    ]),
    links: subjects.map((subject) => ({ subject, seq: 0, previous: null })),
  }
}

/** A receipt for the third of three entries. */
function receiptOf(entry: Uint8Array, by = log): Receipt {
  const [first, second] = [leafHash(p, Uint8Array.of(1)), leafHash(p, Uint8Array.of(2))]
  const left = nodeHash(p, first, second)
  const root = nodeHash(p, left, leafHash(p, entry))
  const body = formatHeadBody({ origin: by.key.name, size: 3, root, extensions: [] })
  const head = new TextDecoder().decode(formatNote(body, [by.sign(body)]))
  return { index: 2, entry, path: [left], head }
}

const entry = encodeEntry(entryOf(submitted))
const receipt = receiptOf(entry)

test('round trip', () => {
  const bytes = formatReceipt(receipt)
  expect(parseReceipt(bytes)).toEqual(receipt)
  const object = JSON.parse(new TextDecoder().decode(bytes)) as JsonValue
  expect(parseReceipt(object)).toEqual(receipt)
  expect(object).toMatchObject({ format: 'trustwarden-receipt/1', index: 2 })
  const opened = openReceipt(p, receipt, trust)
  expect(opened).toMatchObject({ index: 2, entry: { kind: 'action' }, head: { size: 3 } })
  expect(opened.leafHash).toEqual(leafHash(p, entry))
  matchReceipt(p, opened, submitted, child.spki)
})

describe('form', () => {
  const good = JSON.parse(new TextDecoder().decode(formatReceipt(receipt))) as JsonRecord
  const node = toBase64url(new Uint8Array(32))
  const cases: [string, JsonRecord, string][] = [
    ['good', {}, 'accepted'],
    ['another format', { format: 'trustwarden-receipt/2' }, 'version_unknown'],
    ['format a number', { format: 1 }, 'malformed'],
    ['a member more', { more: 1 }, 'malformed'],
    ['index negative', { index: -1 }, 'malformed'],
    ['index text', { index: '2' }, 'malformed'],
    ['entry no base64url', { entry: '=' }, 'malformed'],
    ['entry in a second form', { entry: 'AB' }, 'not_canonical'],
    ['entry over 65,535 bytes', { entry: toBase64url(new Uint8Array(65_536)) }, 'too_large'],
    ['path text', { path: node }, 'malformed'],
    ['path of numbers', { path: [1] }, 'malformed'],
    ['node of 31 bytes', { path: [toBase64url(new Uint8Array(31))] }, 'malformed'],
    ['path of 53', { path: Array.from({ length: 53 }, () => node) }, 'accepted'],
    ['path of 54', { path: Array.from({ length: 54 }, () => node) }, 'too_large'],
    ['head a number', { head: 1 }, 'malformed'],
    ['head too long', { head: 'x'.repeat(65_537) }, 'too_large'],
    ...Object.keys(good).map((name): [string, JsonRecord, string] => [
      `no ${name}`,
      { [name]: undefined },
      'malformed',
    ]),
  ]
  test.each(cases)('%s', (_, patch, code) => {
    const object = patched(good, patch)
    expect(codeOf(() => parseReceipt(object as JsonValue))).toBe(code)
    expect(codeOf(() => parseReceipt(utf8Encode(JSON.stringify(object))))).toBe(code)
  })

  test('no object', () => {
    for (const value of [null, 1, 'x', true, []]) {
      expect(codeOf(() => parseReceipt(value))).toBe('malformed')
    }
    expect(codeOf(() => parseReceipt(utf8Encode('{"a":1,"a":1}')))).toBe('malformed')
  })

  test('formatting refuses what parsing refuses', () => {
    expect(codeOf(() => formatReceipt({ ...receipt, index: -1 }))).toBe('malformed')
  })

  test('arbitrary objects and bytes are refused with a code', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.uint8Array()), (any) => {
        expect(codeOf(() => parseReceipt(any as JsonValue | Uint8Array))).not.toBe('accepted')
      }),
    )
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good)), fc.jsonValue(), (name, value) => {
        const object = { ...good, [name]: value } as JsonValue
        expect(typeof codeOf(() => openReceipt(p, parseReceipt(object), trust))).toBe('string')
      }),
    )
  })
})

describe('opening', () => {
  const foreign = logSigner('third.example/logs/main', 5)
  const wrongIndex = encodeEntry(entryOf(submitted, 3))
  test.each([
    ['another index', { ...receipt, index: 0 }, 'malformed'],
    ['an index beyond the size', { ...receipt, index: 3 }, 'malformed'],
    [
      'another entry',
      { ...receipt, entry: encodeEntry(entryOf(sampled(ACTION_EVENT, { outcome: 'failure' }))) },
      'inclusion_mismatch',
    ],
    ['another path', { ...receipt, path: [new Uint8Array(32)] }, 'inclusion_mismatch'],
    ['no path', { ...receipt, path: [] }, 'malformed'],
    ['a log that is not trusted', receiptOf(entry, foreign), 'origin_mismatch'],
    ['an entry that says another index', receiptOf(wrongIndex), 'index_mismatch'],
    ['an entry that is none', receiptOf(Uint8Array.of(1)), 'malformed'],
    ['no head', { ...receipt, head: '' }, 'malformed'],
    ['a head that is no text', { ...receipt, head: '\ud800' }, 'malformed'],
  ])('%s', (_, any, code) => expect(codeOf(() => openReceipt(p, any, trust))).toBe(code))
})

describe('matching', () => {
  const opened = openReceipt(p, receipt, trust)
  const signedAgain = parseStatement(
    new TextDecoder()
      .decode(submitted.bytes)
      .replace(/[^.]*$/, toBase64url(otherSignature(submitted.signature))),
  )
  const forged = parseStatement(
    new TextDecoder()
      .decode(submitted.bytes)
      .replace(/[^.]*$/, toBase64url(fresh.sign(submitted.signingInput))),
  )
  const openedAs = (statement: Statement, by = log) =>
    openReceipt(p, receiptOf(encodeEntry(entryOf(statement)), by), trust)

  test('another signature over the same content is the same statement', () => {
    expect(signedAgain.bytes).not.toEqual(submitted.bytes)
    matchReceipt(p, opened, signedAgain, child.spki)
    matchReceipt(p, openedAs(signedAgain), submitted, child.spki)
  })

  test.each([
    ['another statement', opened, sampled(ACTION_EVENT, {}, { seq: 2 }), 'inclusion_mismatch'],
    ['a forged signature in the entry', openedAs(forged), submitted, 'signature_invalid'],
    ['the log of another audience', openedAs(submitted, otherLog), submitted, 'audience_mismatch'],
    [
      'a statement of another type in the entry',
      openedAs(sampled(OPERATOR_CLOCK)),
      submitted,
      'type_mismatch',
    ],
  ])('%s', (_, any, statement, code) => {
    expect(codeOf(() => matchReceipt(p, any, statement, child.spki))).toBe(code)
  })

  test('another key', () => {
    expect(codeOf(() => matchReceipt(p, opened, submitted, fresh.spki))).toBe('key_mismatch')
  })
})
