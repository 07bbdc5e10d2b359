/**
 * @module The layout of keys, as one table.
 *
 * Every key is
 *
 *     store version u8 = 0x01 | log id 8 bytes = first 8 of SHA-256(origin) | space u8 | rest
 *
 * with integers big-endian, so that keys of a space come in numeric order. Logs can share a database; formats too,
 * while one is moved into the next.
 *
 * | space | rest | value | rewritten or deleted |
 * |---|---|---|---|
 * | `m` meta | – | sealed: format u16, origin (UTF-8) | never |
 * | `e` run of entries | first index u64 | each entry with its u16 length | deleted when its bundle is full |
 * | `b` bundle of 256 entries | bundle number u64 | each entry with its u16 length | never |
 * | `t` full hash tile | level u8, index u64 | 256 hashes, 8,192 bytes | never |
 * | `r` batch record | size after the batch u64 | sealed: batch-record.ts | never |
 * | `f` fold | fold id u8, key | sealed: the fold's own | yes |
 * | `s` set digest of a fold | fold id u8 | sealed: count u64, sum 32 bytes | yes |
 * | `x` erasable value | entry index u64, ordinal u16 | the bytes | deleted by erasure |
 * | `p` pinned attachment | SHA-256 of the value | the bytes | never |
 * | `j` erasure done | index u64 of the erasure's entry | sealed: count of the values that are gone u64 | never |
 * | `l` erasable values lost | entry index u64 | sealed: nothing | with an erasure (lost.ts) |
 *
 * A sealed value ends in the first 8 bytes of SHA-256(key ‖ value without these 8) (sealed.ts).
 */
import { allocate } from '@trustwarden/proofs'
import { sha256 } from './hash.ts'
import type { KeyRange } from './store.ts'

/** First byte of every key: the version of this layout. */
export const STORE_VERSION = 1

/** Entries in a full bundle, and hashes in a full tile (C2SP tlog-tiles). */
export const BUNDLE_ENTRIES = 256

/** Bytes of a full tile: 256 hashes of 32. */
export const TILE_BYTES = 8192

const PREFIX_BYTES = 9
const LOG_ID_BYTES = 8
/** Where the rest of a key begins. */
const REST_AT = PREFIX_BYTES + 1

/** The spaces of the table above. */
export type Space = 'm' | 'e' | 'b' | 't' | 'r' | 'f' | 's' | 'x' | 'p' | 'j' | 'l'

const NOTHING = new Uint8Array(0)

/** Big-endian 8 bytes of a safe integer. */
export function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  writeU64(bytes, 0, value)
  return bytes
}

/** Writes a safe integer as 8 bytes at `offset`, big-endian. */
export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`no u64: ${value}`)
  let rest = value
  // No shifts: they cut off at 32 bits.
  for (let at = offset + 7; at >= offset; at--) {
    bytes[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

/** The integer of the 8 bytes at `offset`, big-endian; NaN if they are not there or not a safe integer. */
export function readU64(bytes: Uint8Array, offset: number): number {
  if (offset + 8 > bytes.length) return Number.NaN
  let value = 0
  for (let at = offset; at < offset + 8; at++) value = value * 256 + Number(bytes[at])
  // Rounded, a value beyond is still one beyond.
  return Number.isSafeInteger(value) ? value : Number.NaN
}

/** The integer of the 2 bytes at `offset`, big-endian; NaN if they are not there. */
export function readU16(bytes: Uint8Array, offset: number): number {
  if (offset + 2 > bytes.length) return Number.NaN
  return Number(bytes[offset]) * 256 + Number(bytes[offset + 1])
}

/** Makes and takes apart the keys of one log. */
export class Keys {
  /** Store version and log id: the first 9 bytes of each key. */
  readonly prefix: Uint8Array

  constructor(origin: string) {
    const prefix = new Uint8Array(PREFIX_BYTES)
    prefix[0] = STORE_VERSION
    prefix.set(sha256(Buffer.from(origin, 'utf8')).subarray(0, LOG_ID_BYTES), 1)
    this.prefix = prefix
  }

  /** The key of `space` with `parts` behind it. */
  of(space: Space, ...parts: readonly Uint8Array[]): Uint8Array {
    let length = 0
    for (const part of parts) length += part.length
    const key = this.#begin(space, length)
    let offset = REST_AT
    for (const part of parts) {
      key.set(part, offset)
      offset += part.length
    }
    return key
  }

  meta(): Uint8Array {
    return this.of('m')
  }

  run(firstIndex: number): Uint8Array {
    return this.of('e', u64(firstIndex))
  }

  bundle(number: number): Uint8Array {
    return this.of('b', u64(number))
  }

  tile(level: number, index: number): Uint8Array {
    return this.of('t', Uint8Array.of(level), u64(index))
  }

  batchRecord(size: number): Uint8Array {
    return this.of('r', u64(size))
  }

  fold(id: number, key: Uint8Array): Uint8Array {
    const whole = this.#begin('f', 1 + key.length)
    whole[REST_AT] = id
    whole.set(key, REST_AT + 1)
    return whole
  }

  setDigest(id: number): Uint8Array {
    return this.of('s', Uint8Array.of(id))
  }

  erasable(index: number, ordinal: number): Uint8Array {
    const key = this.#begin('x', 10)
    writeU64(key, REST_AT, index)
    key[REST_AT + 8] = Math.floor(ordinal / 256)
    key[REST_AT + 9] = ordinal % 256
    return key
  }

  pinned(digest: Uint8Array): Uint8Array {
    return this.of('p', digest)
  }

  erasureDone(index: number): Uint8Array {
    return this.of('j', u64(index))
  }

  lost(index: number): Uint8Array {
    return this.of('l', u64(index))
  }

  /** All keys of `space` that begin with `parts`. */
  range(space: Space, ...parts: readonly Uint8Array[]): KeyRange {
    const gte = this.of(space, ...parts)
    return { gte, lt: successorOf(gte) }
  }

  /** All keys of the log. */
  all(): KeyRange {
    return { gte: this.prefix, lt: successorOf(this.prefix) }
  }

  /** What follows prefix, space and `skip` further bytes in `key`. */
  rest(key: Uint8Array, skip = 0): Uint8Array {
    return key.length < PREFIX_BYTES + 1 + skip ? NOTHING : key.subarray(PREFIX_BYTES + 1 + skip)
  }

  /** The u64 that stands `skip` bytes behind the space byte; NaN if none does. */
  indexOf(key: Uint8Array, skip = 0): number {
    return readU64(key, PREFIX_BYTES + 1 + skip)
  }

  /** A key of `space` with room for `length` bytes of its rest. */
  #begin(space: Space, length: number): Uint8Array {
    const key = allocate(REST_AT + length)
    key.set(this.prefix)
    key[PREFIX_BYTES] = space.charCodeAt(0)
    return key
  }

  /** A name for messages: space and hexadecimal rest. Keys hold no personal data in the clear by themselves. */
  nameOf(key: Uint8Array): string {
    const space = String.fromCharCode(key[PREFIX_BYTES] ?? 0x3f)
    return `${space}:${Buffer.from(this.rest(key)).toString('hex')}`
  }
}

/** The least byte string above every one that begins with `prefix`, which is not empty nor all 0xff. */
function successorOf(prefix: Uint8Array): Uint8Array {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  const bytes = prefix.slice(0, end)
  bytes[end - 1] = (bytes[end - 1] ?? 0) + 1
  return bytes
}
