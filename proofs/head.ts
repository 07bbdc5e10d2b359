/**
 * @module The signed tree head, as a C2SP tlog-checkpoint: the text of a note that says `size` leaves have `root`.
 *
 *     <origin>
 *     <size, decimal>
 *     <base64(root)>
 *     [extension lines, not empty]
 */
import { equalBytes, fromBase64, parseDecimal, toBase64 } from './bytes.ts'
import { check } from './errors.ts'
import { emptyRoot, HASH_LENGTH } from './merkle.ts'
import { NOTE_ED25519, type NoteKey, parseNote, verifyNote } from './note.ts'
import type { Hash, Primitives } from './primitives.ts'

/** What a log says about its tree. */
export interface Head {
  /** The log's name: not empty, one line. */
  readonly origin: string
  /** Count of leaves, 0 to 2^53−1. */
  readonly size: number
  /** 32 bytes. */
  readonly root: Hash
  /** Further lines, opaque, none of them empty. Our own heads have none. */
  readonly extensions: readonly string[]
}

/**
 * Formats a head as the text of its note; `parseHeadBody` gives back the same.
 *
 * @throws {ProofError} `malformed` for a head that no text can say.
 * @see C2SP tlog-checkpoint v1.0.0
 */
export function formatHeadBody(head: Head): string {
  const { origin, size, root, extensions } = head
  for (const line of [origin, ...extensions]) {
    check(line !== '' && !line.includes('\n'), 'malformed', 'head: a line is empty or not one line')
  }
  check(Number.isSafeInteger(size) && size >= 0, 'malformed', 'head size: not an unsigned integer')
  check(root.length === HASH_LENGTH, 'malformed', 'head root: not 32 bytes')
  return [origin, String(size), toBase64(root), ...extensions, ''].join('\n')
}

/**
 * Parses the text of a head's note, trusting nothing.
 *
 * @throws {ProofError} `malformed` or `not_canonical` for another form; `too_large` for a size above 2^53−1.
 * @see C2SP tlog-checkpoint v1.0.0
 */
export function parseHeadBody(text: string): Head {
  check(text.endsWith('\n'), 'malformed', 'head: does not end in a newline')
  const [origin, size, root, ...extensions] = text.slice(0, -1).split('\n')
  check(
    origin !== undefined && size !== undefined && root !== undefined,
    'malformed',
    'head: fewer than three lines',
  )
  check(origin !== '', 'malformed', 'head origin: empty')
  check(!extensions.includes(''), 'malformed', 'head: an empty extension line')
  const hash = fromBase64(root, 'head root')
  check(hash.length === HASH_LENGTH, 'malformed', 'head root: not 32 bytes')
  return { origin, size: parseDecimal(size, 'head size'), root: hash, extensions }
}

/**
 * Opens a head of the log `origin`: parses the note, and verifies the signature of every trusted key on it.
 *
 * At least one must be the log's own: of type 0x01 and with the origin as its name. A cosignature alone opens nothing.
 *
 * @param keys - The log's key, and those of cosigners whose lines are to be held to their keys too.
 * @throws {ProofError} `origin_mismatch` for another log's head; `key_unknown` without a signature by a trusted key of
 *   the log; `signature_invalid` or `key_invalid` as `openNote`; `root_mismatch` for size 0 with another root than the
 *   empty one; `malformed`, `not_canonical` or `too_large` for bytes that are no head.
 * @see C2SP tlog-checkpoint v1.0.0
 */
export function openHead(
  p: Primitives,
  noteBytes: Uint8Array,
  keys: readonly NoteKey[],
  origin: string,
): Head {
  const note = parseNote(noteBytes)
  const head = parseHeadBody(note.text)
  check(head.origin === origin, 'origin_mismatch', 'head: of another log')
  const byLog = verifyNote(p, note, keys).some(
    ({ key }) => key.type === NOTE_ED25519 && key.name === origin,
  )
  check(byLog, 'key_unknown', 'head: no signature by a trusted key of the log')
  const possible = head.size > 0 || equalBytes(head.root, emptyRoot(p))
  check(possible, 'root_mismatch', 'head: size 0 has the empty root and no other')
  return head
}
