/**
 * @module C2SP tlog-proof: one text that shows, offline, that a log has an entry. The entry itself is not in it.
 *
 *     c2sp.org/tlog-proof@v1
 *     [extra <base64>]
 *     index <decimal>
 *     <base64(hash)>          one line for each node, from the leaf's sibling to the root's child
 *     <empty line>
 *     <the checkpoint, byte by byte>
 */
import {
  concatBytes,
  copyBytes,
  fromBase64,
  parseDecimal,
  toBase64,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
import { check } from './errors.ts'
import { type Head, openHead, parseHeadBody } from './head.ts'
import { HASH_LENGTH, INCLUSION_PATH_MAX, verifyInclusion } from './merkle.ts'
import { type NoteKey, parseNote } from './note.ts'
import type { Hash, Primitives } from './primitives.ts'

/** A proof as it is written, not verified. */
export interface TlogProof {
  /** Opaque data beside the proof, that nothing authenticates; at least 1 byte where there is any. */
  readonly extra?: Uint8Array
  /** 0-based position of the entry. */
  readonly index: number
  /** Sibling hashes, 32 bytes each, leaf to root, at most 53. */
  readonly path: readonly Hash[]
  /** The signed note of the head to which the path leads, cosignatures included. */
  readonly checkpoint: Uint8Array
}

/** What a verifier brings along: nothing of it is read from the proof. */
export interface TlogProofTrust {
  /** The log's name. */
  readonly origin: string
  /** The log's key, and cosigners' keys whose lines are to be held to them too. */
  readonly keys: readonly NoteKey[]
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1'
/** Most bytes before the checkpoint: 64 KiB of extra data as base64, the index and 53 hashes. */
const PREAMBLE_MAX = 98_304

/**
 * Formats a proof; `parseTlogProof` gives back the same.
 *
 * @throws {ProofError} `malformed`, `not_canonical` or `too_large` for a proof that `parseTlogProof` would refuse.
 * @see C2SP tlog-proof
 */
export function formatTlogProof(proof: TlogProof): Uint8Array {
  const { extra, index, path, checkpoint } = proof
  const lines = [FIRST_LINE]
  if (extra !== undefined) lines.push(`extra ${toBase64(extra)}`)
  lines.push(`index ${index}`, ...path.map((hash) => toBase64(hash)), '', '')
  const bytes = concatBytes(utf8Encode(lines.join('\n')), checkpoint)
  parseTlogProof(bytes)
  return bytes
}

/**
 * Parses a proof, trusting nothing. Its checkpoint is parsed too, and kept as the bytes it is.
 *
 * @throws {ProofError} `version_unknown` for another first line; `malformed`, `not_canonical` or `too_large` for bytes
 *   that are no proof or hold no checkpoint.
 * @see C2SP tlog-proof
 */
export function parseTlogProof(bytes: Uint8Array): TlogProof {
  const end = endOfPreamble(bytes)
  const [first, ...lines] = utf8Decode(bytes.subarray(0, end), 'proof').split('\n')
  check(first === FIRST_LINE, 'version_unknown', `proof: the first line is not ${FIRST_LINE}`)
  const extra = parseExtra(lines[0])
  const [indexLine, ...hashLines] = extra === undefined ? lines : lines.slice(1)
  check(indexLine?.startsWith('index ') === true, 'malformed', 'proof: no index line')
  const index = parseDecimal(indexLine.slice('index '.length), 'proof index')
  const fits = hashLines.length <= INCLUSION_PATH_MAX
  check(fits, 'too_large', `proof: over ${INCLUSION_PATH_MAX} hashes`)
  const path = hashLines.map((line) => {
    const hash = fromBase64(line, 'proof hash')
    check(hash.length === HASH_LENGTH, 'malformed', 'proof hash: not 32 bytes')
    return hash
  })
  const checkpoint = copyBytes(bytes, end + 2)
  parseHeadBody(parseNote(checkpoint).text)
  const proof = { index, path, checkpoint }
  return extra === undefined ? proof : { ...proof, extra }
}

/**
 * Verifies that the entry with `leafHash` is in the trusted log, and returns the head under which it is.
 *
 * The head is verified before the path, so that a path is never held against a root that nobody signed.
 *
 * @param leafHash - SHA-256(0x00 ‖ entry), computed by the caller from the entry that it has.
 * @throws {ProofError} `inclusion_mismatch` if the path does not lead to the head's root; otherwise as
 *   `parseTlogProof`, `openHead` and `verifyInclusion`.
 * @see C2SP tlog-proof
 */
export function verifyTlogProof(
  p: Primitives,
  bytes: Uint8Array,
  leafHash: Hash,
  trust: TlogProofTrust,
): Head {
  const { index, path, checkpoint } = parseTlogProof(bytes)
  const head = openHead(p, checkpoint, trust.keys, trust.origin)
  verifyInclusion(p, { leafIndex: index, treeSize: head.size, leafHash, path, root: head.root })
  return head
}

/** Where the first empty line begins, less the newline before it. */
function endOfPreamble(bytes: Uint8Array): number {
  let end = bytes.indexOf(0x0a)
  while (end >= 0 && bytes[end + 1] !== 0x0a) end = bytes.indexOf(0x0a, end + 1)
  check(end >= 0, 'malformed', 'proof: no empty line before the checkpoint')
  check(end <= PREAMBLE_MAX, 'too_large', `proof: over ${PREAMBLE_MAX} bytes before the checkpoint`)
  return end
}

function parseExtra(line: string | undefined): Uint8Array | undefined {
  if (!line?.startsWith('extra ')) return undefined
  const extra = fromBase64(line.slice('extra '.length), 'proof extra')
  check(extra.length > 0, 'malformed', 'proof extra: empty')
  return extra
}
