/**
 * @module A strict reader of DER, for certificates: definite lengths in their shortest form, one-byte tags, nothing
 * after the value, and caps on size and depth. A value has one encoding here, and any other is refused.
 *
 * The whole tree of constructed values is read first, then each field by its type. Left out: writing, tags above 30,
 * negative and large integers as numbers, and the character sets of names (names are compared as bytes).
 *
 * @see ITU-T X.690 §8, §10, §11; RFC 5280 §4.1.2.5 for times
 */
import { check } from './errors.ts'

/** Bytes of one DER value, so that a length has at most two octets. */
export const DER_BYTES_MAX = 65_535

/** Constructed values inside each other. A certificate needs 6. */
export const DER_DEPTH_MAX = 16

/** The largest arc of an object identifier: widely used readers refuse more than 31 bits. */
export const OID_ARC_MAX: number = 2 ** 31 - 1

/** The identifier octets that are used here (X.680 §8.4). */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** One value, read: views into the bytes that were given, not copies. */
export interface DerNode {
  /** The identifier octet: class, constructed bit and number. */
  readonly tag: number
  /** Identifier, length and content. */
  readonly bytes: Uint8Array
  readonly content: Uint8Array
  /** The values inside a constructed value; empty for a primitive one. */
  readonly children: readonly DerNode[]
}

/**
 * Reads `bytes` as exactly one DER value with all that is inside it.
 *
 * @throws {ProofError} `malformed`; `too_large` over `DER_BYTES_MAX` or `DER_DEPTH_MAX`.
 */
export function parseDer(bytes: Uint8Array): DerNode {
  check(
    bytes.length <= DER_BYTES_MAX,
    'too_large',
    `DER value is ${bytes.length} bytes, at most ${DER_BYTES_MAX}`,
  )
  const node = parseNode(bytes, 1)
  check(node.bytes.length === bytes.length, 'malformed', 'bytes after the end of the DER value')
  return node
}

function parseNode(bytes: Uint8Array, depth: number): DerNode {
  check(depth <= DER_DEPTH_MAX, 'too_large', `DER is nested deeper than ${DER_DEPTH_MAX}`)
  const tag = byteAt(bytes, 0)
  const isConstructed = (tag & 0x20) !== 0
  check((tag & 0x1f) !== 0x1f, 'malformed', 'DER tag has more than one octet')
  if (tag < 0x40) {
    const mustBeConstructed = (tag | 0x20) === DER_TAG.sequence || (tag | 0x20) === DER_TAG.set
    check(tag !== 0 && isConstructed === mustBeConstructed, 'malformed', 'DER tag is not permitted')
  }
  const { start, length } = parseLength(bytes)
  check(length <= bytes.length - start, 'malformed', 'DER value ends early')
  const content = bytes.subarray(start, start + length)
  const children = isConstructed ? parseChildren(content, depth + 1) : []
  if (tag === DER_TAG.set) checkSetOrder(children)
  return { tag, bytes: bytes.subarray(0, start + length), content, children }
}

function parseLength(bytes: Uint8Array): { readonly start: number; readonly length: number } {
  const first = byteAt(bytes, 1)
  if (first < 0x80) return { start: 2, length: first }
  if (first === 0x81) {
    const length = byteAt(bytes, 2)
    check(length >= 0x80, 'malformed', 'DER length is not in its shortest form')
    return { start: 3, length }
  }
  check(first === 0x82, 'malformed', 'DER length is indefinite or has more than two octets')
  const length = byteAt(bytes, 2) * 0x100 + byteAt(bytes, 3)
  check(length >= 0x100, 'malformed', 'DER length is not in its shortest form')
  return { start: 4, length }
}

function parseChildren(content: Uint8Array, depth: number): readonly DerNode[] {
  const children: DerNode[] = []
  let rest = content
  while (rest.length > 0) {
    const child = parseNode(rest, depth)
    children.push(child)
    rest = rest.subarray(child.bytes.length)
  }
  return children
}

// Every SET of a certificate is a SET OF: its elements stand in ascending order of their encodings (X.690 §11.6).
function checkSetOrder(children: readonly DerNode[]): void {
  const hexes = children.map((child) =>
    Array.from(child.bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  )
  const sorted = hexes.toSorted()
  check(
    hexes.every((hex, at) => hex === sorted[at]),
    'malformed',
    'DER SET is not in order',
  )
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at]
  check(byte !== undefined, 'malformed', 'DER value ends early')
  return byte
}

/**
 * Returns `node` if it is there and has the identifier octet `tag`.
 *
 * @throws {ProofError} `malformed`, naming `what`.
 */
export function expectTag(node: DerNode | undefined, tag: number, what: string): DerNode {
  check(
    node !== undefined && node.tag === tag,
    'malformed',
    `${what} is absent or not of DER tag 0x${tag.toString(16)}`,
  )
  return node
}

/**
 * Returns the values inside a SEQUENCE.
 *
 * @throws {ProofError} `malformed`
 */
export function readSequence(node: DerNode | undefined, what: string): readonly DerNode[] {
  return expectTag(node, DER_TAG.sequence, what).children
}

/**
 * Returns a BOOLEAN, which is 0x00 or 0xff and nothing else.
 *
 * @throws {ProofError} `malformed`
 */
export function readBoolean(node: DerNode | undefined, what: string): boolean {
  const { content } = expectTag(node, DER_TAG.boolean, what)
  const byte = content[0]
  check(
    content.length === 1 && (byte === 0x00 || byte === 0xff),
    'malformed',
    `${what} must be 0x00 or 0xff`,
  )
  return byte === 0xff
}

/**
 * Returns the big-endian bytes of a non-negative INTEGER in its shortest form, without a sign octet: `[0]` for 0.
 *
 * @throws {ProofError} `malformed`, also for a negative one.
 */
export function readUnsignedInteger(node: DerNode | undefined, what: string): Uint8Array {
  const { content } = expectTag(node, DER_TAG.integer, what)
  const first = byteAt(content, 0)
  check(first < 0x80, 'malformed', `${what} is negative`)
  if (first !== 0 || content.length === 1) return content
  check(byteAt(content, 1) >= 0x80, 'malformed', `${what} is not in its shortest form`)
  return content.subarray(1)
}

/**
 * Returns the content of an OCTET STRING.
 *
 * @throws {ProofError} `malformed`
 */
export function readOctetString(node: DerNode | undefined, what: string): Uint8Array {
  return expectTag(node, DER_TAG.octetString, what).content
}

/** The bits of a BIT STRING, the first in the high bit of the first byte. */
export interface DerBits {
  readonly bytes: Uint8Array
  /** Bits at the end of the last byte that are not part of the value, 0–7, all zero. */
  readonly unused: number
}

/**
 * Returns a BIT STRING.
 *
 * @throws {ProofError} `malformed`
 */
export function readBitString(node: DerNode | undefined, what: string): DerBits {
  const { content } = expectTag(node, DER_TAG.bitString, what)
  const unused = byteAt(content, 0)
  const bytes = content.subarray(1)
  check(
    unused < 8 && (bytes.length > 0 || unused === 0),
    'malformed',
    `${what} has a wrong count of unused bits`,
  )
  // Reads the count itself where no byte follows, and then it is 0.
  const last = byteAt(content, content.length - 1)
  check(last % 2 ** unused === 0, 'malformed', `${what} has unused bits that are not zero`)
  return { bytes, unused }
}

/**
 * Returns an OBJECT IDENTIFIER in dotted form.
 *
 * @throws {ProofError} `malformed`; `too_large` for an arc over `OID_ARC_MAX`.
 */
export function readOid(node: DerNode | undefined, what: string): string {
  const { content } = expectTag(node, DER_TAG.oid, what)
  let text = ''
  let arc = 0
  let isInside = false
  for (const byte of content) {
    check(isInside || byte !== 0x80, 'malformed', `${what} has an arc not in its shortest form`)
    arc = arc * 0x80 + (byte & 0x7f)
    check(arc <= OID_ARC_MAX, 'too_large', `${what} has an arc over ${OID_ARC_MAX}`)
    isInside = byte >= 0x80
    if (!isInside) {
      text = text === '' ? formatFirstArcs(arc) : `${text}.${arc}`
      arc = 0
    }
  }
  check(text !== '' && !isInside, 'malformed', `${what} is empty or ends within an arc`)
  return text
}

// The first number holds two arcs: 40 × first + second, and only under first = 2 may the second exceed 39.
function formatFirstArcs(arc: number): string {
  const first = Math.min(Math.floor(arc / 40), 2)
  return `${first}.${arc - 40 * first}`
}

/**
 * Returns the Unix time in milliseconds of a UTCTime (1950–2049) or GeneralizedTime (from 2050), to the second and in
 * Z, the one form that RFC 5280 §4.1.2.5 permits for each year.
 *
 * @throws {ProofError} `malformed`
 */
export function readTime(node: DerNode | undefined, what: string): number {
  const isShort = node?.tag === DER_TAG.utcTime
  const { content } = expectTag(node, isShort ? DER_TAG.utcTime : DER_TAG.generalizedTime, what)
  const text = readAscii(content, 15, what)
  check((isShort ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text), 'malformed', `${what} is not a time in Z`)
  const century = Number(text.slice(0, 2)) >= 50 ? '19' : '20'
  const full = isShort ? `${century}${text}` : text
  check(isShort || full >= '2050', 'malformed', `${what} before 2050 must be a UTCTime`)
  const iso = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const ms = Date.parse(iso)
  // A 30th of February reads as a day of March, 24:00 as the next day: writing it again shows it.
  check(
    Number.isFinite(ms) && new Date(ms).toISOString() === iso,
    'malformed',
    `${what} is no moment of the calendar`,
  )
  return ms
}

/**
 * Returns the text of ASCII `bytes`, such as an IA5String.
 *
 * @throws {ProofError} `malformed` for a byte over 0x7f; `too_large` over `lengthMax` bytes.
 */
export function readAscii(bytes: Uint8Array, lengthMax: number, what: string): string {
  check(
    bytes.length <= lengthMax,
    'too_large',
    `${what} is ${bytes.length} bytes, at most ${lengthMax}`,
  )
  check(
    bytes.every((byte) => byte < 0x80),
    'malformed',
    `${what} is not ASCII`,
  )
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}
