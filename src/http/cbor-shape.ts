/**
 * @module What a CBOR body may look like, decided before a decoder sees it: the items that JSON has too, and byte strings.
 * A tolerant decoder follows tags and shared references, takes indefinite lengths, keeps the last of two equal keys and
 * mends broken text, so that two readers of one body may see two requests; and it nests as deep as its stack.
 */
import { ServiceError } from '../errors.ts'

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5 } as const
/** Additional information that says how many bytes of argument follow (RFC 8949 §3). */
const ARGUMENT_LENGTHS = new Map([
  [24, 1],
  [25, 2],
  [26, 4],
  [27, 8],
])
/** false, true, null: the only items of major type 7 that are read. */
const SIMPLE: ReadonlySet<number> = new Set([0xf4, 0xf5, 0xf6])

interface Head {
  readonly major: number
  readonly argument: number
}

function refuse(why: string): ServiceError {
  return new ServiceError('request_malformed', `body: ${why}`)
}

/** Walks one item after the other. */
class Walker {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #at = 0
  #itemsLeft: number

  constructor(bytes: Uint8Array, itemsMax: number) {
    this.#itemsLeft = itemsMax
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get rest(): number {
    return this.#bytes.length - this.#at
  }

  item(depth: number): void {
    this.#count()
    const initial = this.#bytes[this.#at]
    if (initial !== undefined && SIMPLE.has(initial)) {
      this.#at += 1
      return
    }
    const { major, argument } = this.#head()
    if (major === MAJOR.unsigned || major === MAJOR.negative) return
    if (major === MAJOR.bytes) this.#take(argument)
    else if (major === MAJOR.text) this.#string(argument)
    else if (depth === 0) throw refuse('nested too deeply')
    else if (major === MAJOR.array) this.#items(argument, depth - 1)
    else this.#members(argument, depth - 1)
  }

  #count(): void {
    this.#itemsLeft -= 1
    if (this.#itemsLeft < 0) throw refuse('too many items')
  }

  #head(): Head {
    const [initial] = this.#take(1)
    const major = Math.floor((initial ?? 0) / 32)
    const info = (initial ?? 0) % 32
    if (major > MAJOR.map) throw refuse('a tag, float or other value that the route does not read')
    if (info < 24) return { major, argument: info }
    const length = ARGUMENT_LENGTHS.get(info)
    if (length === undefined) throw refuse('an indefinite length, or no CBOR')
    const at = this.#at
    this.#take(length)
    if (length === 1) return { major, argument: this.#view.getUint8(at) }
    if (length === 2) return { major, argument: this.#view.getUint16(at) }
    if (length === 4) return { major, argument: this.#view.getUint32(at) }
    const argument = this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
    if (!Number.isSafeInteger(argument)) throw refuse('an integer beyond 2^53-1')
    return { major, argument }
  }

  #take(length: number): Uint8Array {
    if (length > this.rest) throw refuse('ends within an item')
    const taken = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return taken
  }

  #string(length: number): string {
    const bytes = this.#take(length)
    try {
      return this.#text.decode(bytes)
    } catch (cause) {
      throw new ServiceError('request_malformed', 'body: text is not UTF-8', { cause })
    }
  }

  #items(count: number, depth: number): void {
    // Every item has at least one byte.
    if (count > this.rest) throw refuse('ends within an array')
    for (let at = 0; at < count; at++) this.item(depth)
  }

  #members(count: number, depth: number): void {
    if (count * 2 > this.rest) throw refuse('ends within a map')
    const names = new Set<string>()
    for (let at = 0; at < count; at++) {
      this.#count()
      const { major, argument } = this.#head()
      if (major !== MAJOR.text) throw refuse('a map key that is not text')
      const name = this.#string(argument)
      if (names.has(name)) throw refuse('a map key that stands twice')
      // No body has one, and as a name of a JavaScript object it is an index, with room for a thousand more.
      if (/^[0-9]/.test(name)) throw refuse('a map key that begins with a digit')
      names.add(name)
      this.item(depth)
    }
  }
}

/**
 * Checks that `bytes` are one item of maps with text keys, arrays, text, bytes, safe integers, booleans and null, at most
 * `depthMax` containers deep and `itemsMax` items in all, keys included, and nothing after it: time and space grow with the
 * items rather than the bytes.
 *
 * @throws {ServiceError} `request_malformed`
 * @see RFC 8949 §3
 */
export function checkCborShape(bytes: Uint8Array, depthMax: number, itemsMax: number): void {
  const walker = new Walker(bytes, itemsMax)
  walker.item(depthMax)
  if (walker.rest > 0) throw refuse('bytes after the item')
}
