/**
 * Goal: a note opens exactly when a trusted key signed its text and no trusted key's line is wrong. Method: notes and
 * keys of others; every refusal by name; every bit of a note flipped; random bytes, where whatever parses must format
 * to the same bytes again.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, toBase64, toHex, u64Bytes, utf8Encode } from '../../proofs/bytes.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import {
  cosignatureSigningInput,
  formatNote,
  formatVkey,
  isKeyName,
  type NoteSignature,
  noteKey,
  noteKeyId,
  noteSigningInput,
  openNote,
  parseNote,
  parseVkey,
} from '../../proofs/note.ts'
import { cosigner, logSigner } from '../support/note-signer.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const TEXT = 'example.com/log\n5\n'
const log = logSigner('example.com/log', 1)
const other = logSigner('example.com/other', 2)
const witness = cosigner('witness.example', 3, 1_700_000_000)
const signed = formatNote(TEXT, [log.sign(TEXT)])

const note = (text: string): Uint8Array => utf8Encode(text)
const parseCode = (text: string): string => codeOf(() => parseNote(note(text)))

describe('foreign', () => {
  // C2SP signed-note and the documentation of golang.org/x/mod/sumdb/note.
  test.each([
    [
      'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
      'This is an example message.\n',
      '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
    ],
    [
      'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
      '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
    ],
  ])('%s', (vkey, text, line) => {
    const key = parseVkey(p, vkey)
    const bytes = note(`${text}\n${line}`)
    expect(formatVkey(key)).toBe(vkey)
    expect(openNote(p, bytes, [key])).toEqual({ text, verifiedBy: [{ key }] })
    expect(formatNote(text, parseNote(bytes).signatures)).toEqual(bytes)
    const changed = note(`${text.replace('a', 'e')}\n${line}`)
    expect(codeOf(() => openNote(p, changed, [key]))).toBe('signature_invalid')
  })
})

describe('opening', () => {
  test('gives each trusted key once, and ignores the lines of others', () => {
    const bytes = formatNote(TEXT, [
      other.sign(TEXT),
      witness.sign(TEXT),
      log.sign(TEXT),
      log.sign(TEXT),
      { ...other.sign('something else\n'), name: 'nobody' },
    ])
    const opened = openNote(p, bytes, [log.key, witness.key])
    expect(opened.text).toBe(TEXT)
    expect(opened.verifiedBy).toEqual([
      { key: witness.key, timestamp: 1_700_000_000 },
      { key: log.key },
    ])
  })

  test('no line of a trusted key is key_unknown', () => {
    expect(codeOf(() => openNote(p, signed, []))).toBe('key_unknown')
    expect(codeOf(() => openNote(p, signed, [other.key, witness.key]))).toBe('key_unknown')
    // The right name with another id, and the other way round.
    const renamed = noteKey(p, 'example.com/log', 1, other.key.publicKey)
    expect(codeOf(() => openNote(p, signed, [renamed]))).toBe('key_unknown')
    expect(codeOf(() => openNote(p, signed, [{ ...log.key, name: 'else' }]))).toBe('key_unknown')
  })

  test('one wrong line of a trusted key refuses the note, whatever the others say', () => {
    const wrong = { ...log.sign(TEXT), signature: other.sign(TEXT).signature }
    const wrongCosignature = {
      ...witness.sign(TEXT),
      signature: cosigner('witness.example', 3, 1).sign('another text\n').signature,
    }
    const short = { ...witness.sign(TEXT), signature: log.sign(TEXT).signature }
    for (const line of [wrong, wrongCosignature, short]) {
      for (const lines of [[line], [other.sign(TEXT), line], [log.sign(TEXT), line]]) {
        const bytes = formatNote(TEXT, lines)
        const keys = [log.key, other.key, witness.key]
        expect(codeOf(() => openNote(p, bytes, keys))).toBe('signature_invalid')
      }
    }
  })

  test('a cosignature commits to its timestamp', () => {
    const line = witness.sign(TEXT)
    const moved = concatBytes(u64Bytes(1_700_000_001), line.signature.subarray(8))
    const bytes = formatNote(TEXT, [{ ...line, signature: moved }])
    expect(codeOf(() => openNote(p, bytes, [witness.key]))).toBe('signature_invalid')
    const unsafe = concatBytes(new Uint8Array(8).fill(255), line.signature.subarray(8))
    const far = formatNote(TEXT, [{ ...line, signature: unsafe }])
    expect(codeOf(() => openNote(p, far, [witness.key]))).toBe('too_large')
  })

  test('two trusted keys of one name and id cannot be told apart', () => {
    const twin = { ...log.key, publicKey: other.key.publicKey }
    const cotwin = { ...log.key, type: witness.key.type }
    expect(codeOf(() => openNote(p, signed, [log.key, twin]))).toBe('key_invalid')
    expect(codeOf(() => openNote(p, signed, [log.key, cotwin]))).toBe('key_invalid')
    expect(openNote(p, signed, [log.key, { ...log.key }]).verifiedBy.length).toBe(1)
  })

  test('no flipped bit of a note is accepted', { timeout: 60_000 }, () => {
    for (const bytes of bitFlips(signed)) {
      expect(codeOf(() => openNote(p, bytes, [log.key]))).not.toBe('accepted')
    }
    const cosigned = formatNote(TEXT, [witness.sign(TEXT)])
    for (const bytes of bitFlips(cosigned)) {
      expect(codeOf(() => openNote(p, bytes, [witness.key]))).not.toBe('accepted')
    }
  })
})

describe('form', () => {
  const line = '— a AAAAAAE='

  test('the text ends at the last empty line', () => {
    expect(parseNote(note(`a\n\nb\n\n${line}\n`)).text).toBe('a\n\nb\n')
    expect(parseNote(note(`a\n\n\n${line}\n`)).text).toBe('a\n\n')
    expect(parseNote(note(`\n\n${line}\n`)).text).toBe('\n')
    const [first] = parseNote(note(`a\n\n${line}\n`)).signatures
    expect(first).toEqual({ name: 'a', keyId: new Uint8Array(4), signature: Uint8Array.of(1) })
  })

  test.each([
    ['nothing', '', 'malformed'],
    ['no empty line', `a\n${line}\n`, 'malformed'],
    ['no signature', 'a\n\n', 'malformed'],
    ['no final newline', `a\n\n${line}`, 'malformed'],
    ["text in a signature's place", 'a\n\nb\n', 'malformed'],
    ['hyphen for the dash', 'a\n\n- a AAAAAAE=\n', 'malformed'],
    ['dash alone', 'a\n\n—\n', 'malformed'],
    ['no base64', 'a\n\n— a\n', 'malformed'],
    ['empty name', 'a\n\n—  AAAAAAE=\n', 'malformed'],
    ['two spaces', 'a\n\n— a  AAAAAAE=\n', 'malformed'],
    ['space at the end', `a\n\n${line} \n`, 'malformed'],
    ['plus in the name', 'a\n\n— a+b AAAAAAE=\n', 'malformed'],
    ['white space in the name', 'a\n\n— a\u2003b AAAAAAE=\n', 'malformed'],
    ['next line in the name', 'a\n\n— a\u0085b AAAAAAE=\n', 'malformed'],
    ['key id alone', 'a\n\n— a AAAAAA==\n', 'malformed'],
    ['not base64', 'a\n\n— a !!!!\n', 'malformed'],
    ['no padding', 'a\n\n— a AAAAAAE\n', 'malformed'],
    ['trailing bits', 'a\n\n— a AAAAAAF=\n', 'not_canonical'],
    ['tab', `a\tb\n\n${line}\n`, 'malformed'],
    ['carriage return', `a\r\n\n${line}\n`, 'malformed'],
    ['NUL', `\0\n\n${line}\n`, 'malformed'],
    ['one hundred signatures', `a\n\n${`${line}\n`.repeat(100)}`, 'accepted'],
    ['one more', `a\n\n${`${line}\n`.repeat(101)}`, 'too_large'],
    ['64 KiB of text', `${'é'.repeat(32_767)}a\n\n${line}\n`, 'accepted'],
    ['one byte more', `${'é'.repeat(32_767)}ab\n\n${line}\n`, 'too_large'],
    ['1 MiB and a byte', 'a'.repeat(1_048_577), 'too_large'],
  ])('%s', (_, text, code) => {
    expect(parseCode(text)).toBe(code)
  })

  test('a note that is not UTF-8 is refused', () => {
    const bytes = note(`a\n\n${line}\n`)
    bytes[0] = 0xff
    expect(codeOf(() => parseNote(bytes))).toBe('malformed')
  })

  test('formatNote writes only what parseNote reads', () => {
    const signature: NoteSignature = {
      name: 'a',
      keyId: new Uint8Array(4),
      signature: Uint8Array.of(1),
    }
    const code = (text: string, change: Partial<NoteSignature>): string =>
      codeOf(() => formatNote(text, [{ ...signature, ...change }]))
    expect(code('a\n', {})).toBe('accepted')
    expect(code('a', {})).toBe('malformed')
    expect(code('', {})).toBe('malformed')
    expect(code('a\tb\n', {})).toBe('malformed')
    expect(code('\ud800\n', {})).toBe('malformed')
    expect(code('a\n', { name: '' })).toBe('malformed')
    expect(code('a\n', { name: 'a b' })).toBe('malformed')
    expect(code('a\n', { name: 'a\u0001' })).toBe('malformed')
    expect(code('a\n', { keyId: new Uint8Array(3) })).toBe('malformed')
    expect(code('a\n', { signature: new Uint8Array() })).toBe('malformed')
    expect(codeOf(() => formatNote('a\n', []))).toBe('malformed')
    const many = Array.from({ length: 101 }, () => signature)
    expect(codeOf(() => formatNote('a\n', many))).toBe('too_large')
    expect(codeOf(() => formatNote(`${'a'.repeat(65_536)}\n`, [signature]))).toBe('too_large')
  })

  test('whatever parses formats to the same bytes, and all else is a ProofError', () => {
    const unit = fc.constantFrom('a', '\n', '\n\n', '— ', ' ', 'AAAAAAE=', line, '+', 'é', '\t')
    const bytes = fc.oneof(
      fc.string({ unit, maxLength: 12 }).map(utf8Encode),
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(fc.nat(signed.length - 1), fc.nat(255)).map(([at, byte]) => signed.with(at, byte)),
    )
    fc.assert(
      fc.property(bytes, (input) => {
        if (codeOf(() => parseNote(input)) !== 'accepted') return
        const { text, signatures } = parseNote(input)
        expect(toHex(formatNote(text, signatures))).toBe(toHex(input))
      }),
      { numRuns: 5_000 },
    )
  })

  test('signing inputs are the text, and the text under a time', () => {
    expect(noteSigningInput('a\n')).toEqual(note('a\n'))
    expect(cosignatureSigningInput('a\n', 12)).toEqual(note('cosignature/v1\ntime 12\na\n'))
    for (const at of [-1, 1.5, 2 ** 53]) {
      expect(codeOf(() => cosignatureSigningInput('a\n', at))).toBe('malformed')
    }
    expect(codeOf(() => noteSigningInput('a'))).toBe('malformed')
    expect(codeOf(() => cosignatureSigningInput('a', 1))).toBe('malformed')
  })
})

describe('keys', () => {
  const vkey = formatVkey(log.key)

  test('round-trip for both types', () => {
    for (const { key } of [log, other, witness]) {
      expect(parseVkey(p, formatVkey(key))).toEqual(key)
    }
    expect(formatVkey(witness.key)).toMatch(/^witness\.example\+[0-9a-f]{8}\+B/)
  })

  test('anything else is refused by name', () => {
    const encode = (type: number, publicKey: Uint8Array): string => {
      const id = toHex(noteKeyId(p, 'a', type, publicKey))
      return `a+${id}+${toBase64(concatBytes(Uint8Array.of(type), publicKey))}`
    }
    const good = new Uint8Array(32).fill(9)
    expect(codeOf(() => parseVkey(p, encode(1, good)))).toBe('accepted')
    expect(codeOf(() => parseVkey(p, encode(2, good)))).toBe('algorithm_unsupported')
    expect(codeOf(() => parseVkey(p, encode(1, good.subarray(1))))).toBe('key_invalid')
    expect(codeOf(() => parseVkey(p, vkey.replace('log+', 'lag+')))).toBe('key_invalid')
    expect(codeOf(() => parseVkey(p, 'a+00000000+'))).toBe('algorithm_unsupported')
    for (const text of [
      '',
      'a',
      'a+00000000',
      '+00000000+AQ==',
      'a+0000000+AQ==',
      'a+00000000+A',
    ]) {
      expect(['malformed', 'key_invalid']).toContain(codeOf(() => parseVkey(p, text)))
    }
    const [, id = ''] = vkey.split('+')
    const upper = vkey.replace(id, id.toUpperCase())
    expect(codeOf(() => parseVkey(p, upper))).toBe('not_canonical')
    const short = vkey.replace(id, id.slice(2))
    expect(codeOf(() => parseVkey(p, short))).toBe('key_invalid')
  })

  test('no changed character of a vkey is accepted', () => {
    for (const bytes of bitFlips(note(vkey))) {
      const changed = Buffer.from(bytes).toString('latin1')
      expect(codeOf(() => parseVkey(p, changed))).not.toBe('accepted')
    }
  })

  test('names are not empty and hold neither white space nor a plus', () => {
    expect(isKeyName('example.com/log')).toBe(true)
    expect(isKeyName('\ufeffa')).toBe(true)
    for (const name of ['', ' ', 'a b', 'a+b', 'a\u00a0', 'a\u3000b', 'a\n']) {
      expect(isKeyName(name)).toBe(false)
      expect(codeOf(() => noteKeyId(p, name, 1, new Uint8Array(32)))).toBe('malformed')
    }
    expect(codeOf(() => noteKey(p, 'a', 1, new Uint8Array(31)))).toBe('key_invalid')
  })
})
