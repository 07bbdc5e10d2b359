/**
 * Goal: a verifier starts from exactly what its trust file says: origin, keys, and the sizes for which each key counts.
 * Method: round trips; each rule of FORMAT §13 broken once, by name; heads signed by keys in and out of their ranges;
 * arbitrary files.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import { formatHeadBody } from '../../proofs/head.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatNote, formatVkey } from '../../proofs/note.ts'
import {
  bundleHash,
  formatTrust,
  formatTrustAnchor,
  openTrustedHead,
  parseTrust,
  parseTrustAnchor,
  trustFor,
  type TrustAnchor,
} from '../../proofs/trust.ts'
import { cosigner, logSigner, type NoteSigner } from '../support/note-signer.ts'
import { codeOf } from '../support/proof-code.ts'
import { type JsonRecord, ORIGIN, patched } from '../support/statement-signer.ts'

const OTHER = 'other.example/logs/main'
const old = logSigner(ORIGIN, 1)
const current = logSigner(ORIGIN, 2)
const stranger = logSigner(ORIGIN, 3)
const witness = cosigner('witness.example', 4, 5)
const anchor: TrustAnchor = {
  key: old.key,
  genesisHash: new Uint8Array(32).fill(1),
  bundleHash: new Uint8Array(32).fill(2),
}
const text = formatTrustAnchor(p, anchor)
const otherText = formatTrustAnchor(p, { ...anchor, key: logSigner(OTHER, 1).key })
const trustOf = (value: unknown) =>
  parseTrust(p, utf8Encode(typeof value === 'string' ? value : JSON.stringify(value)))

describe('anchor', () => {
  const hash = toBase64url(anchor.genesisHash)
  const vkey = formatVkey(old.key)
  test('round trip', () => {
    expect(parseTrustAnchor(p, text)).toEqual(anchor)
    expect(text).toBe(`twtrust1,${vkey},${hash},${toBase64url(anchor.bundleHash)}`)
  })

  test.each([
    ['empty', '', 'malformed'],
    ['another word', text.replace('twtrust1', 'trust'), 'malformed'],
    ['another version', text.replace('twtrust1', 'twtrust2'), 'version_unknown'],
    ['three parts', `twtrust1,${vkey},${hash}`, 'malformed'],
    ['five parts', `${text},`, 'malformed'],
    ['two lines at the end', `${text}\n\n`, 'malformed'],
    ['vkey of another id', text.replace(/\+.{8}\+/, '+00000000+'), 'key_invalid'],
    [
      'vkey of a cosigner',
      `twtrust1,${formatVkey(cosigner(ORIGIN, 1, 1).key)},${hash},${hash}`,
      'algorithm_unsupported',
    ],
    [
      'vkey not named as an origin',
      `twtrust1,${formatVkey(logSigner('x', 1).key)},${hash},${hash}`,
      'claim_invalid',
    ],
    [
      'hash of 31 bytes',
      `twtrust1,${vkey},${toBase64url(new Uint8Array(31))},${hash}`,
      'malformed',
    ],
    ['hash in a second form', `twtrust1,${vkey},${'A'.repeat(42)}B,${hash}`, 'not_canonical'],
  ])('%s', (_, any, code) => {
    expect(codeOf(() => parseTrustAnchor(p, any))).toBe(code)
    expect(codeOf(() => trustOf(any))).toBe(code)
  })

  test('formatting refuses what parsing refuses', () => {
    const short = { ...anchor, bundleHash: new Uint8Array(3) }
    expect(codeOf(() => formatTrustAnchor(p, short))).toBe('malformed')
  })

  test('bundle hash: over the hashes in ascending order, whatever the order of the roots', () => {
    const roots = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]
    const hashes = roots.map((root) => Buffer.from(p.sha256(root)).toString('hex')).sort()
    const expected = p.sha256(concatBytes(...hashes.map((one) => Buffer.from(one, 'hex'))))
    expect(bundleHash(p, roots)).toEqual(expected)
    expect(bundleHash(p, roots.reverse())).toEqual(expected)
  })
})

describe('file', () => {
  const key = { vkey: formatVkey(current.key), from: 10, to: null }
  const file = (log: JsonRecord) => ({
    format: 'trustwarden-trust/1',
    logs: [{ anchor: text, ...log }],
  })
  const keyed = (patch: JsonRecord) => file({ keys: [patched(key, patch)] })
  const end = { size: 5, root: toBase64url(new Uint8Array(32).fill(5)) }
  test.each<[string, unknown, string]>([
    ['anchor', text, 'accepted'],
    ['anchor and newline', `${text}\n`, 'accepted'],
    ['JSON', file({}), 'accepted'],
    ['JSON after white space', ` \n${JSON.stringify(file({}))}`, 'accepted'],
    ['with keys', keyed({}), 'accepted'],
    ['a range of one size', keyed({ to: 10 }), 'accepted'],
    ['another format', { ...file({}), format: 'trustwarden-trust/2' }, 'version_unknown'],
    ['no format', { logs: [] }, 'malformed'],
    ['a member more', { ...file({}), more: 1 }, 'malformed'],
    ['no log', { ...file({}), logs: [] }, 'malformed'],
    ['logs no array', { ...file({}), logs: {} }, 'malformed'],
    ['log no object', { ...file({}), logs: [text] }, 'malformed'],
    ['a log twice', { ...file({}), logs: [{ anchor: text }, { anchor: text }] }, 'malformed'],
    ['two logs', { ...file({}), logs: [{ anchor: text }, { anchor: otherText }] }, 'accepted'],
    ['log with a member more', file({ more: 1 }), 'malformed'],
    ['anchor a number', file({ anchor: 1 }), 'malformed'],
    ['no keys', file({ keys: [] }), 'malformed'],
    ['keys null', file({ keys: null }), 'malformed'],
    ['key no object', file({ keys: [1] }), 'malformed'],
    ['key of another log', keyed({ vkey: formatVkey(logSigner(OTHER, 1).key) }), 'malformed'],
    [
      'key of a cosigner',
      keyed({ vkey: formatVkey(cosigner(ORIGIN, 1, 1).key) }),
      'algorithm_unsupported',
    ],
    ['no from', keyed({ from: undefined }), 'malformed'],
    ['from negative', keyed({ from: -1 }), 'malformed'],
    ['to below from', keyed({ to: 9 }), 'malformed'],
    ['to text', keyed({ to: '11' }), 'malformed'],
    ['no to', keyed({ to: undefined }), 'malformed'],
    ['an end', file({ end }), 'accepted'],
    ['an end with keys', file({ end, keys: [key] }), 'accepted'],
    ['end null', file({ end: null }), 'malformed'],
    ['end without a root', file({ end: { size: 5 } }), 'malformed'],
    ['end with a member more', file({ end: { ...end, more: 1 } }), 'malformed'],
    ['end of a negative size', file({ end: { ...end, size: -1 } }), 'malformed'],
    ['end with a root of 31 bytes', file({ end: { ...end, root: 'AA' } }), 'malformed'],
    ['over 64 KiB', ' '.repeat(65_537), 'too_large'],
  ])('%s', (_, value, code) => expect(codeOf(() => trustOf(value))).toBe(code))

  test('bytes that are not UTF-8', () => {
    expect(codeOf(() => parseTrust(p, Uint8Array.of(0xff)))).toBe('malformed')
  })

  test('an anchor alone counts for all sizes', () => {
    const keys = [{ key: old.key, from: 0, to: null }]
    expect(trustOf(text)).toEqual({ logs: [{ origin: ORIGIN, anchor, keys }] })
    expect(trustOf(file({}))).toEqual(trustOf(text))
  })

  test('is formatted as an anchor where that says all, else as JSON that says the same', () => {
    expect(formatTrust(p, trustOf(text))).toBe(`${text}\n`)
    const two = { ...file({}), logs: [{ anchor: text }, { anchor: otherText }] }
    const keys = [{ ...key, vkey: formatVkey(old.key), from: 0, to: 9 }, key]
    for (const one of [two, file({ end }), file({ keys }), file({ keys, end })]) {
      const written = formatTrust(p, trustOf(one))
      expect(JSON.parse(written)).toMatchObject(one)
      expect(trustOf(written)).toEqual(trustOf(one))
    }
    expect(codeOf(() => formatTrust(p, { logs: [] }))).toBe('malformed')
  })

  test('a log is found by its origin', () => {
    const trust = trustOf({ ...file({}), logs: [{ anchor: text }, { anchor: otherText }] })
    expect(trustFor(trust, OTHER).origin).toBe(OTHER)
    expect(codeOf(() => trustFor(trust, 'none.example/logs/main'))).toBe('origin_mismatch')
  })

  test('arbitrary files are refused with a code', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (any) => {
        expect(codeOf(() => trustOf(any))).not.toBe('accepted')
      }),
    )
    fc.assert(
      fc.property(
        fc.constantFrom('anchor', 'keys', 'from', 'to', 'vkey'),
        fc.jsonValue(),
        (name, value) => {
          const any =
            name === 'anchor' || name === 'keys'
              ? file({ [name]: value })
              : keyed({ [name]: value })
          expect(typeof codeOf(() => trustOf(any))).toBe('string')
        },
      ),
    )
  })
})

describe('heads', () => {
  const trust = trustOf({
    format: 'trustwarden-trust/1',
    logs: [
      {
        anchor: text,
        keys: [
          { vkey: formatVkey(old.key), from: 0, to: 9 },
          { vkey: formatVkey(current.key), from: 9, to: null },
        ],
      },
    ],
  })
  const head = (
    size: number,
    signers: readonly NoteSigner[],
    origin = ORIGIN,
    extensions: string[] = [],
  ) => {
    const body = formatHeadBody({ origin, size, root: new Uint8Array(32).fill(size), extensions })
    return formatNote(
      body,
      signers.map(({ sign }) => sign(body)),
    )
  }
  const forged = (size: number) => {
    const body = formatHeadBody({ origin: ORIGIN, size, root: new Uint8Array(32), extensions: [] })
    return formatNote(body, [current.sign('something else\n')])
  }
  test.each([
    ['old key, before', head(8, [old]), 'accepted'],
    ['old key, its last size', head(9, [old]), 'accepted'],
    ['old key, after', head(10, [old]), 'head_out_of_range'],
    ['new key, before', head(8, [current]), 'head_out_of_range'],
    ['new key, its first size', head(9, [current]), 'accepted'],
    ['both keys, after', head(10, [old, current]), 'accepted'],
    ['new key and a witness', head(10, [current, witness]), 'accepted'],
    ['another key', head(10, [stranger]), 'key_unknown'],
    ['a witness alone', head(10, [witness]), 'key_unknown'],
    ['another log', head(10, [current], OTHER), 'origin_mismatch'],
    ['extension line', head(10, [current], ORIGIN, ['x']), 'malformed'],
    ['another signature', forged(10), 'signature_invalid'],
    ['no note', utf8Encode('x'), 'malformed'],
  ])('%s', (_, note, code) => {
    expect(codeOf(() => openTrustedHead(p, trust, note))).toBe(code)
    expect(codeOf(() => openTrustedHead(p, trust, new TextDecoder().decode(note)))).toBe(code)
  })

  test('of a log that ended', () => {
    const root = new Uint8Array(32).fill(9)
    const ended = { logs: trust.logs.map((log) => ({ ...log, end: { size: 9, root } })) }
    const other = {
      logs: trust.logs.map((log) => ({ ...log, end: { size: 9, root: p.sha256(root) } })),
    }
    expect(openTrustedHead(p, ended, head(9, [old]))).toMatchObject({ size: 9, root })
    expect(openTrustedHead(p, other, head(8, [old]))).toMatchObject({ size: 8 })
    expect(codeOf(() => openTrustedHead(p, ended, head(10, [current])))).toBe('head_out_of_range')
    expect(codeOf(() => openTrustedHead(p, other, head(9, [old])))).toBe('root_mismatch')
  })

  test('says what was signed', () => {
    expect(openTrustedHead(p, trust, head(10, [current]))).toMatchObject({
      origin: ORIGIN,
      size: 10,
    })
  })
})
