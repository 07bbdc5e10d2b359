/**
 * @module Where an entry stands: its index, ledger time and links (FORMAT §5.1), and of the rest no more than where it
 * ends. For whoever checks hashes and chains alone, at several times the speed of reading an entry whole.
 */
import {
  CBOR_DEPTH_MAX,
  CBOR_MAJOR,
  ProofError,
  passStringOf,
  readHead,
  skipCbor,
} from '@trustwarden/proofs'
import type { CborReader } from '@trustwarden/proofs'
import { latin1 } from '../store/bytes.ts'
import { LedgerError } from './errors.ts'

/** A link as it lies in the bytes of its entry. */
export interface LinkFrame {
  /** One character a byte: a name to look up, not text. */
  readonly subject: string
  readonly seq: number
  /** The chain's previous entry; its leaf hash is the 32 bytes from `hashAt` on of the entry that has the link. */
  readonly previous: { readonly index: number; readonly hashAt: number } | null
}

/** Where an entry stands. */
export interface EntryFrame {
  readonly index: number
  readonly timeMs: number
  readonly links: readonly LinkFrame[]
}

const NULL = 0xf6
const HASH_LENGTH = 32
/** Data items in an entry, as in the kit's decoder. */
const ITEMS_MAX = 65_536
/** What is below the entry's own map. */
const DEPTH_MAX = CBOR_DEPTH_MAX - 1

/**
 * Reads where an entry stands.
 *
 * @throws {LedgerError} `entry_invalid` if the bytes are not a map of an entry, whatever its prepared and outcome say
 */
export function readFrame(bytes: Uint8Array): EntryFrame {
  try {
    return readEntry({ bytes, at: 0, items: ITEMS_MAX })
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    throw new LedgerError('entry_invalid', `no entry: ${thrown.message}`, { cause: thrown })
  }
}

function readEntry(reader: CborReader): EntryFrame {
  if (readHead(reader, CBOR_MAJOR.map, 'entry') !== 8) refuse('it is not a map of eight')
  readKey(reader, 0)
  const version = readHead(reader, CBOR_MAJOR.unsigned, 'version')
  if (version !== 1) refuse('its version is not known')
  readKey(reader, 1)
  const index = readHead(reader, CBOR_MAJOR.unsigned, 'index')
  readKey(reader, 2)
  passStringOf(reader, CBOR_MAJOR.text, 'kind')
  readKey(reader, 3)
  const timeMs = readHead(reader, CBOR_MAJOR.unsigned, 'time')
  for (let key = 4; key < 7; key++) {
    readKey(reader, key)
    skipCbor(reader, DEPTH_MAX)
  }
  readKey(reader, 7)
  const links = readLinks(reader)
  if (reader.at !== reader.bytes.length) refuse('bytes follow it')
  return { index, timeMs, links }
}

function readKey(reader: CborReader, key: number): void {
  const found = readHead(reader, CBOR_MAJOR.unsigned, 'key')
  if (found !== key) refuse(`it has key ${found} where ${key} was due`)
}

function readLinks(reader: CborReader): readonly LinkFrame[] {
  const links: LinkFrame[] = []
  for (let left = readHead(reader, CBOR_MAJOR.array, 'links'); left > 0; left--) {
    if (readHead(reader, CBOR_MAJOR.array, 'link') !== 3) refuse('a link is not of three')
    const start = passStringOf(reader, CBOR_MAJOR.text, 'subject')
    const subject = latin1(reader.bytes, start, reader.at)
    const seq = readHead(reader, CBOR_MAJOR.unsigned, 'seq')
    links.push({ subject, seq, previous: readPrevious(reader) })
  }
  return links
}

function readPrevious(reader: CborReader): LinkFrame['previous'] {
  if (reader.bytes[reader.at] === NULL) {
    skipCbor(reader, 0)
    return null
  }
  const count = readHead(reader, CBOR_MAJOR.array, 'previous')
  if (count !== 2) refuse('a previous entry is not of two')
  const index = readHead(reader, CBOR_MAJOR.unsigned, 'index')
  const hashAt = passStringOf(reader, CBOR_MAJOR.bytes, 'leaf hash')
  if (reader.at - hashAt !== HASH_LENGTH) refuse('a leaf hash is of another length')
  return { index, hashAt }
}

function refuse(rule: string): never {
  throw new ProofError('malformed', rule)
}
