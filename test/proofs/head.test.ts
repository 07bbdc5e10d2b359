/**
 * Goal: a head opens only as the named log's own, and a size and root only as they were signed. Method: the example of
 * C2SP tlog-checkpoint; every refusal by name; every bit of a head flipped; random texts that must format back.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64, utf8Encode } from '../../proofs/bytes.ts'
import { formatHeadBody, type Head, openHead, parseHeadBody } from '../../proofs/head.ts'
import { emptyRoot } from '../../proofs/merkle.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatNote, parseNote } from '../../proofs/note.ts'
import { cosigner, logSigner } from '../support/note-signer.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const ORIGIN = 'example.com/logs/main'
const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='
const log = logSigner(ORIGIN, 1)
const witness = cosigner('witness.example', 3, 1_700_000_000)
const head: Head = { origin: ORIGIN, size: 7, root: fromBase64(ROOT), extensions: [] }
const body = formatHeadBody(head)
const signed = formatNote(body, [log.sign(body)])

test('the example of C2SP tlog-checkpoint', () => {
  const text = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`
  const note = utf8Encode(
    `${text}\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n`,
  )
  const parsed = parseHeadBody(parseNote(note).text)
  expect(parsed).toEqual({
    origin: 'example.com/behind-the-sofa',
    size: 20_852_163,
    root: fromBase64(ROOT),
    extensions: [],
  })
  expect(formatHeadBody(parsed)).toBe(text)
})

describe('body', () => {
  test.each([
    ['empty', '', 'malformed'],
    ['one newline', '\n', 'malformed'],
    ['two lines', 'a\n1\n', 'malformed'],
    ['no final newline', `a\n1\n${ROOT}`, 'malformed'],
    ['empty origin', `\n1\n${ROOT}\n`, 'malformed'],
    ['negative size', `a\n-1\n${ROOT}\n`, 'malformed'],
    ['leading zero', `a\n01\n${ROOT}\n`, 'not_canonical'],
    ['2^53', `a\n9007199254740992\n${ROOT}\n`, 'too_large'],
    ['2^53−1', `a\n9007199254740991\n${ROOT}\n`, 'accepted'],
    ['size 0', `a\n0\n${ROOT}\n`, 'accepted'],
    ['short root', 'a\n1\nAAAA\n', 'malformed'],
    ['root in a second form', `a\n1\n${ROOT.replace('2I=', '2J=')}\n`, 'not_canonical'],
    ['extension', `a\n1\n${ROOT}\nx\ny\n`, 'accepted'],
    ['empty extension', `a\n1\n${ROOT}\n\n`, 'malformed'],
    ['empty extension between', `a\n1\n${ROOT}\nx\n\ny\n`, 'malformed'],
  ])('%s', (_, text, code) => {
    expect(codeOf(() => parseHeadBody(text))).toBe(code)
    if (code === 'accepted') expect(formatHeadBody(parseHeadBody(text))).toBe(text)
  })

  test('formatHeadBody writes only what parseHeadBody reads', () => {
    const code = (change: Partial<Head>): string =>
      codeOf(() => formatHeadBody({ ...head, ...change }))
    expect(code({})).toBe('accepted')
    expect(code({ origin: '' })).toBe('malformed')
    expect(code({ origin: 'a\nb' })).toBe('malformed')
    expect(code({ extensions: [''] })).toBe('malformed')
    expect(code({ extensions: ['a', 'b\n'] })).toBe('malformed')
    for (const size of [-1, 1.5, 2 ** 53]) expect(code({ size })).toBe('malformed')
    expect(code({ root: new Uint8Array(31) })).toBe('malformed')
  })

  test('heads round-trip, and other texts are a ProofError', () => {
    const line = fc.string({ minLength: 1 }).filter((candidate) => !candidate.includes('\n'))
    const anyHead = fc.record({
      origin: line,
      size: fc.maxSafeNat(),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      extensions: fc.array(line, { maxLength: 3 }),
    })
    fc.assert(
      fc.property(anyHead, (drawn) => {
        expect(parseHeadBody(formatHeadBody(drawn))).toEqual(drawn)
      }),
    )
    const unit = fc.constantFrom('a', '\n', '0', '1', ROOT, 'A', '=')
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 10 }), (text) => {
        if (codeOf(() => parseHeadBody(text)) !== 'accepted') return
        expect(formatHeadBody(parseHeadBody(text))).toBe(text)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('opening', () => {
  const open = (bytes: Uint8Array, keys = [log.key], origin = ORIGIN): string =>
    codeOf(() => openHead(p, bytes, keys, origin))

  test('gives what the log signed', () => {
    expect(openHead(p, signed, [log.key], ORIGIN)).toEqual(head)
    const cosigned = formatNote(body, [witness.sign(body), log.sign(body)])
    expect(openHead(p, cosigned, [log.key], ORIGIN)).toEqual(head)
    expect(openHead(p, cosigned, [log.key, witness.key], ORIGIN)).toEqual(head)
  })

  test('another log is told by name, and a cosignature alone opens nothing', () => {
    expect(open(signed, [log.key], 'example.com/logs/other')).toBe('origin_mismatch')
    expect(open(signed, [])).toBe('key_unknown')
    const byWitness = formatNote(body, [witness.sign(body)])
    expect(open(byWitness, [log.key, witness.key])).toBe('key_unknown')
    // Neither does a key of the log's name that makes cosignatures, nor a log key of another name.
    const timeKey = cosigner(ORIGIN, 4, 1)
    expect(open(formatNote(body, [timeKey.sign(body)]), [timeKey.key])).toBe('key_unknown')
    const stranger = logSigner('example.com/logs/other', 5)
    expect(open(formatNote(body, [stranger.sign(body)]), [stranger.key])).toBe('key_unknown')
  })

  test('a bad cosignature by a trusted witness refuses the head', () => {
    const bad = formatNote(body, [log.sign(body), witness.sign('other\n')])
    expect(open(bad, [log.key])).toBe('accepted')
    expect(open(bad, [log.key, witness.key])).toBe('signature_invalid')
  })

  test('size 0 has the empty root and no other', () => {
    const sign = (root: Uint8Array): Uint8Array => {
      const text = formatHeadBody({ ...head, size: 0, root })
      return formatNote(text, [log.sign(text)])
    }
    expect(open(sign(emptyRoot(p)))).toBe('accepted')
    expect(open(sign(head.root))).toBe('root_mismatch')
  })

  test('no flipped bit of a head is accepted', { timeout: 60_000 }, () => {
    for (const bytes of bitFlips(signed)) expect(open(bytes)).not.toBe('accepted')
  })

  test('a signed text that is no head is malformed', () => {
    const text = `${ORIGIN}\n7\n`
    expect(open(formatNote(text, [log.sign(text)]))).toBe('malformed')
  })
})
