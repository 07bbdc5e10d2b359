/**
 * Goal: a DER value has one encoding that is read, and every other is refused with a ProofError.
 * Method: the rules of X.690 one by one, by hand-written bytes; node:crypto's own keys as foreign values; any bytes at
 * all; and that whatever is read, written again from its parts, gives the same bytes.
 */
import { generateKeyPairSync } from 'node:crypto'
import {
  type DerNode,
  fromHex,
  parseDer,
  ProofError,
  readAscii,
  readBitString,
  readBoolean,
  readOctetString,
  readOid,
  readSequence,
  readTime,
  readUnsignedInteger,
  toHex,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const der = (hex: string): DerNode => parseDer(fromHex(hex.replaceAll(' ', '')))
const time = (tag: string, text: string) => {
  const hex = Buffer.from(text, 'latin1').toString('hex')
  return readTime(der(`${tag}${text.length.toString(16).padStart(2, '0')}${hex}`), 'time')
}
const refused = (run: () => unknown, code = 'malformed') =>
  expect(run).toThrow(expect.objectContaining({ name: 'ProofError', code }))

// Written from the parts alone, always in the shortest form.
function encode(node: DerNode): Uint8Array {
  const content = node.children.length > 0 ? Buffer.concat(node.children.map(encode)) : node.content
  const { length } = content
  const header =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.from([node.tag, ...header]), content])
}

describe('parseDer', () => {
  it('reads nested values and keeps their bytes', () => {
    const node = der('30 08 02 01 05 a0 03 04 01 ff')
    const [number, context] = readSequence(node, 'x')
    expect(toHex(readUnsignedInteger(number, 'x'))).toBe('05')
    expect(context?.tag).toBe(0xa0)
    expect(toHex(context?.bytes ?? new Uint8Array())).toBe('a0030401ff')
    expect(toHex(readOctetString(context?.children[0], 'x'))).toBe('ff')
  })

  it('reads lengths of one and two further octets', () => {
    for (const length of [0x7f, 0x80, 0xff, 0x100, 0x1234]) {
      const node = {
        tag: 4,
        bytes: new Uint8Array(),
        content: new Uint8Array(length),
        children: [],
      }
      expect(parseDer(encode(node)).content).toHaveLength(length)
    }
  })

  it.each([
    ['', 'nothing'],
    ['30', 'no length'],
    ['0402ff', 'content ends early'],
    ['300304 02 ff', 'inner content ends early'],
    ['0401ff00', 'trailing byte'],
    ['3080 0000', 'indefinite length'],
    ['04810105', 'long form of a short length'],
    ['0481', 'length ends early'],
    ['04820080', 'two octets for one'],
    ['0482', 'length ends early'],
    ['048201', 'length ends early'],
    ['0483010000', 'three octets'],
    ['1f8101 00', 'tag of several octets'],
    ['9f01 00', 'context tag of several octets'],
    ['0000', 'end-of-contents'],
    ['2403040100', 'constructed octet string'],
    ['1000', 'primitive sequence'],
    ['1100', 'primitive set'],
    ['3106020102 020101', 'set out of order'],
  ])('refuses %s: %s', (hex) => refused(() => der(hex)))

  it('takes a set in order, a prefix first', () => {
    expect(der('3106 020101 020102').children).toHaveLength(2)
    expect(der('31050400 0401 00').children).toHaveLength(2)
  })

  it('stops at 16 levels and 65,535 bytes', () => {
    const nested = (levels: number) => {
      let bytes: Uint8Array = new Uint8Array()
      for (let level = 0; level < levels; level += 1) {
        bytes = Uint8Array.from([0x30, bytes.length, ...bytes])
      }
      return bytes
    }
    expect(parseDer(nested(16)).children).toHaveLength(1)
    refused(() => parseDer(nested(17)), 'too_large')
    refused(() => parseDer(new Uint8Array(65_536)), 'too_large')
  })

  it('reads what node:crypto writes', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const [algorithm, bits] = readSequence(
      parseDer(publicKey.export({ type: 'spki', format: 'der' })),
      'spki',
    )
    const [type, curve] = readSequence(algorithm, 'algorithm')
    expect(readOid(type, 'type')).toBe('1.2.840.10045.2.1')
    expect(readOid(curve, 'curve')).toBe('1.2.840.10045.3.1.7')
    expect(readBitString(bits, 'key').bytes).toHaveLength(65)
  })

  it('throws nothing but ProofError, and what it reads has no second encoding', () => {
    const byte = fc.oneof(fc.constantFrom(0x30, 0x02, 0x04, 0x31, 0xa0, 0, 1, 2, 3), fc.nat(255))
    let read = 0
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 24 }), (bytes) => {
        try {
          const node = parseDer(Uint8Array.from(bytes))
          expect([...encode(node)]).toEqual(bytes)
          read += 1
        } catch (error) {
          expect(error).toBeInstanceOf(ProofError)
        }
      }),
      { numRuns: 5000 },
    )
    expect(read).toBeGreaterThan(50)
  })
})

describe('readers', () => {
  it('read BOOLEAN as 00 or ff', () => {
    expect(readBoolean(der('0101ff'), 'x')).toBe(true)
    expect(readBoolean(der('010100'), 'x')).toBe(false)
    for (const hex of ['010101', '0100', '0102ffff', '0201ff'])
      refused(() => readBoolean(der(hex), 'x'))
    refused(() => readBoolean(undefined, 'x'))
  })

  it('read INTEGER in its shortest form, not negative', () => {
    expect(toHex(readUnsignedInteger(der('020100'), 'x'))).toBe('00')
    expect(toHex(readUnsignedInteger(der('02020080'), 'x'))).toBe('80')
    expect(toHex(readUnsignedInteger(der('02027fff'), 'x'))).toBe('7fff')
    for (const hex of ['0200', '020180', '0202007f', '02020000']) {
      refused(() => readUnsignedInteger(der(hex), 'x'))
    }
  })

  it('read BIT STRING with its unused bits zero', () => {
    expect(readBitString(der('03020780'), 'x')).toEqual({ bytes: fromHex('80'), unused: 7 })
    expect(readBitString(der('030100'), 'x')).toEqual({ bytes: fromHex(''), unused: 0 })
    for (const hex of ['0300', '030101', '03020880', '030201ff']) {
      refused(() => readBitString(der(hex), 'x'))
    }
  })

  it('read OBJECT IDENTIFIER with arcs of up to 31 bits', () => {
    for (const [hex, text] of [
      ['0603551d0f', '2.5.29.15'],
      ['060100', '0.0'],
      ['060127', '0.39'],
      ['060128', '1.0'],
      ['06014f', '1.39'],
      ['060150', '2.0'],
      ['06028837', '2.999'],
      ['06062a87ffffff7f', '1.2.2147483647'],
    ] as const) {
      expect(readOid(der(hex), 'x')).toBe(text)
    }
    refused(() => readOid(der('06062a8880808000'), 'x'), 'too_large')
    for (const hex of ['0600', '06022a80', '06032a8001', '060180'])
      refused(() => readOid(der(hex), 'x'))
    // A UUID as an arc (2.25.…): some readers take it, others refuse the whole certificate.
    refused(() => readOid(der(`061469${'ff'.repeat(18)}7f`), 'x'), 'too_large')
    refused(() => readOid(der('0606698880808000'), 'x'), 'too_large')
  })

  it('read times in the one form of their year', () => {
    expect(time('17', '260102030405Z')).toBe(Date.UTC(2026, 0, 2, 3, 4, 5))
    expect(time('17', '491231235959Z')).toBe(Date.UTC(2049, 11, 31, 23, 59, 59))
    expect(time('17', '500101000000Z')).toBe(Date.UTC(1950, 0, 1))
    expect(time('18', '20500101000000Z')).toBe(Date.UTC(2050, 0, 1))
    expect(time('18', '99991231235959Z')).toBe(Date.UTC(9999, 11, 31, 23, 59, 59))
    expect(time('17', '240229000000Z')).toBe(Date.UTC(2024, 1, 29))
    for (const text of [
      '250229000000Z',
      '261301000000Z',
      '260001000000Z',
      '260132000000Z',
      '260101240000Z',
      '260101006000Z',
      '260101000060Z',
      '2601010000Z',
      '260101000000',
      '260101000000z',
      '26010100000éZ',
    ]) {
      refused(() => time('17', text))
    }
    for (const text of [
      '20491231235959Z',
      '00010101000000Z',
      '20500230000000Z',
      '2050010100000Z',
    ]) {
      refused(() => time('18', text))
    }
    refused(() => time('18', '20500101000000.5Z'), 'too_large')
    refused(() => time('17', '260101000000+0000'), 'too_large')
    refused(() => readTime(der('0401ff'), 'x'))
    refused(() => readTime(undefined, 'x'))
  })

  it('read ASCII up to a limit', () => {
    expect(readAscii(Buffer.from('spiffe://td'), 11, 'x')).toBe('spiffe://td')
    refused(() => readAscii(Buffer.from('spiffe://td'), 10, 'x'), 'too_large')
    refused(() => readAscii(Uint8Array.of(0x80), 1, 'x'))
  })

  it('throw nothing but ProofError on any content under their tag', () => {
    const readers = [
      [0x01, readBoolean],
      [0x02, readUnsignedInteger],
      [0x03, readBitString],
      [0x06, readOid],
      [0x17, readTime],
      [0x18, readTime],
    ] as const
    fc.assert(
      fc.property(
        fc.constantFrom(...readers),
        fc.uint8Array({ maxLength: 20 }),
        ([tag, read], content) => {
          try {
            read(parseDer(Uint8Array.from([tag, content.length, ...content])), 'x')
          } catch (error) {
            expect(error).toBeInstanceOf(ProofError)
          }
        },
      ),
      { numRuns: 3000 },
    )
  })
})
