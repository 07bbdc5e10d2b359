/**
 * @module C2SP signed-note v1.0.0: a text, an empty line, and one line for each signature.
 *
 *     <text, its last character a newline>
 *     <newline>
 *     — <key name> <base64(key id, 4 bytes ‖ signature)>
 *
 * Read are signatures of type 0x01 (Ed25519 over the text) and 0x04 (cosignature/v1: Ed25519 over time and text, C2SP
 * tlog-cosignature). Lines of any other key are carried and ignored, as the specification demands, so that a note may
 * gain signatures that an old reader does not know.
 */
import {
  concatBytes,
  copyBytes,
  equalBytes,
  fromBase64,
  fromHex,
  readU64,
  toBase64,
  toHex,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
import { check, ProofError } from './errors.ts'
import type { Primitives } from './primitives.ts'

/** Signature type byte: Ed25519 over the text. */
export const NOTE_ED25519 = 0x01
/** Signature type byte: cosignature/v1, Ed25519 over a timestamp and the text. */
export const NOTE_COSIGNATURE_V1 = 0x04

/** Most bytes of a note's text: a head needs a few hundred. */
export const NOTE_TEXT_MAX = 65_536
/** Most signature lines of a note; the specification demands at least 16. */
export const NOTE_SIGNATURES_MAX = 100
/** Most bytes of a whole note: the text and 100 lines, the longest of which (ML-DSA) take about 5,000 bytes. */
export const NOTE_BYTES_MAX = 1_048_576

/** One signature line, not verified. */
export interface NoteSignature {
  readonly name: string
  /** 4 bytes that, with the name, say which key. */
  readonly keyId: Uint8Array
  /** What follows the key id; its form is the key's affair. At least 1 byte. */
  readonly signature: Uint8Array
}

/** A note as it is written, not verified. */
export interface Note {
  /** Everything up to the empty line, with its final newline. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** A public key of a note, which the specification calls a verifier key (vkey). */
export interface NoteKey {
  readonly name: string
  readonly type: typeof NOTE_ED25519 | typeof NOTE_COSIGNATURE_V1
  readonly keyId: Uint8Array
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array
}

/** A trusted key whose signature of the note was found good. */
export interface NoteVerification {
  readonly key: NoteKey
  /** For a cosignature: when its signer says it saw the note, in seconds of Unix time. */
  readonly timestamp?: number
}

/** A note of which at least one trusted key's signature is good, and no trusted key's is bad. */
export interface OpenedNote {
  readonly text: string
  /** Each trusted key once, in the order of the signature lines. */
  readonly verifiedBy: readonly NoteVerification[]
}

const KEY_ID_LENGTH = 4
const NEWLINE = Uint8Array.of(0x0a)

/**
 * Parses a note, verifying nothing. The text ends at the last empty line.
 *
 * @throws {ProofError} `malformed` for bytes that are not a note; `not_canonical` for base64 in a second form;
 *   `too_large` over a limit.
 * @see C2SP signed-note v1.0.0
 */
export function parseNote(bytes: Uint8Array): Note {
  check(bytes.length <= NOTE_BYTES_MAX, 'too_large', `note: over ${NOTE_BYTES_MAX} bytes`)
  for (const byte of bytes) {
    if (byte < 0x20 && byte !== 0x0a) {
      throw new ProofError('malformed', 'note: a control character')
    }
  }
  const note = utf8Decode(bytes, 'note')
  const split = note.lastIndexOf('\n\n')
  check(split >= 0, 'malformed', 'note: no empty line between text and signatures')
  check(note.endsWith('\n'), 'malformed', 'note: does not end in a newline')
  const text = note.slice(0, split + 1)
  checkText(text)
  // The part after the empty line may be empty; then the one line that is left breaks the rule of its form.
  const lines = note.slice(split + 2, -1).split('\n')
  checkCount(lines.length)
  return { text, signatures: lines.map(parseSignature) }
}

/**
 * Formats a note; `parseNote` gives back the same.
 *
 * @throws {ProofError} `malformed` for a text, name, key id or signature that no note can hold, or no signature;
 *   `too_large` over a limit.
 * @see C2SP signed-note v1.0.0
 */
export function formatNote(text: string, signatures: readonly NoteSignature[]): Uint8Array {
  checkText(text)
  checkCount(signatures.length)
  const lines = signatures.map(({ name, keyId, signature }) => {
    check(isKeyName(name), 'malformed', 'note: a key name that is not permitted')
    check(keyId.length === KEY_ID_LENGTH, 'malformed', 'note: a key id is 4 bytes')
    check(signature.length > 0, 'malformed', 'note: an empty signature')
    return `— ${name} ${toBase64(concatBytes(keyId, signature))}\n`
  })
  const bytes = utf8Encode(`${text}\n${lines.join('')}`)
  // What is written is what a reader accepts; the names may still hold control characters.
  parseNote(bytes)
  return bytes
}

/**
 * Opens a note with trusted keys: verifies every signature line of one of them.
 *
 * @throws {ProofError} `signature_invalid` if a trusted key's signature does not verify; `key_unknown` if no line is of
 *   a trusted key; `key_invalid` if two different trusted keys share name and id; `malformed`, `not_canonical` or
 *   `too_large` as `parseNote`, and `too_large` for a timestamp above 2^53−1.
 * @see C2SP signed-note v1.0.0
 */
export function openNote(p: Primitives, bytes: Uint8Array, keys: readonly NoteKey[]): OpenedNote {
  const note = parseNote(bytes)
  return { text: note.text, verifiedBy: verifyNote(p, note, keys) }
}

/**
 * Verifies a parsed note with trusted keys; `openNote` is this after `parseNote`.
 *
 * @throws {ProofError} `signature_invalid`, `key_unknown`, `key_invalid` or `too_large` as `openNote`.
 */
export function verifyNote(
  p: Primitives,
  note: Note,
  keys: readonly NoteKey[],
): readonly NoteVerification[] {
  const verifiedBy: NoteVerification[] = []
  for (const signature of note.signatures) {
    const key = findKey(keys, signature)
    if (key === undefined) continue
    const verification = verifySignature(p, note.text, key, signature.signature)
    if (!verifiedBy.some((earlier) => earlier.key === key)) verifiedBy.push(verification)
  }
  check(verifiedBy.length > 0, 'key_unknown', 'note: no signature by a trusted key')
  return verifiedBy
}

/** The bytes that a signature of type 0x01 covers: the text with its final newline. */
export function noteSigningInput(text: string): Uint8Array {
  checkText(text)
  return utf8Encode(text)
}

/**
 * The bytes that a cosignature/v1 covers. The signature line then holds u64 timestamp ‖ signature.
 *
 * @param timestamp - Seconds of Unix time, at most 2^53−1.
 * @see C2SP tlog-cosignature
 */
export function cosignatureSigningInput(text: string, timestamp: number): Uint8Array {
  checkText(text)
  const valid = Number.isSafeInteger(timestamp) && timestamp >= 0
  check(valid, 'malformed', 'timestamp: not an unsigned safe integer')
  return utf8Encode(`cosignature/v1\ntime ${timestamp}\n${text}`)
}

/**
 * Computes the 4-byte id of a key: the first bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).
 *
 * @param type - The signature type byte, 0 to 255.
 * @throws {ProofError} `malformed` for a name that is not permitted.
 * @see C2SP signed-note v1.0.0
 */
export function noteKeyId(
  p: Primitives,
  name: string,
  type: number,
  publicKey: Uint8Array,
): Uint8Array {
  check(isKeyName(name), 'malformed', 'key name: empty, or with a space or a plus')
  const hash = p.sha256(concatBytes(utf8Encode(name), NEWLINE, Uint8Array.of(type), publicKey))
  return copyBytes(hash, 0, KEY_ID_LENGTH)
}

/**
 * Makes a note key from its parts.
 *
 * @throws {ProofError} `malformed` for a name that is not permitted; `key_invalid` unless the key is 32 bytes.
 */
export function noteKey(
  p: Primitives,
  name: string,
  type: NoteKey['type'],
  publicKey: Uint8Array,
): NoteKey {
  check(publicKey.length === 32, 'key_invalid', 'an Ed25519 key is 32 bytes')
  return { name, type, keyId: noteKeyId(p, name, type, publicKey), publicKey }
}

/**
 * Whether two different keys go by one name and id: 4 bytes are no secure name, two keys that share them are found within
 * minutes, and whose a signature line is cannot be told.
 */
export function areConfusable(one: NoteKey, other: NoteKey): boolean {
  const same = one.name === other.name && equalBytes(one.keyId, other.keyId)
  return same && !(one.type === other.type && equalBytes(one.publicKey, other.publicKey))
}

/** Formats a key as a vkey: `<name>+<8 hex digits of the id>+<base64(type ‖ public key)>`. */
export function formatVkey(key: NoteKey): string {
  const encoded = toBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))
  return `${key.name}+${toHex(key.keyId)}+${encoded}`
}

/**
 * Parses a vkey and checks that its id follows from its name and key.
 *
 * @throws {ProofError} `malformed` or `not_canonical` for text that is not a vkey; `algorithm_unsupported` for another
 *   type than 0x01 and 0x04; `key_invalid` for a wrong length or id.
 * @see C2SP signed-note v1.0.0
 */
export function parseVkey(p: Primitives, text: string): NoteKey {
  // Neither names nor hex digits hold a plus, but base64 does.
  const afterName = text.indexOf('+')
  const afterId = text.indexOf('+', afterName + 1)
  check(afterName >= 0 && afterId >= 0, 'malformed', 'vkey: not <name>+<id>+<key>')
  const name = text.slice(0, afterName)
  const keyId = fromHex(text.slice(afterName + 1, afterId), 'vkey id')
  const typed = fromBase64(text.slice(afterId + 1), 'vkey')
  const type = typed[0]
  if (type !== NOTE_ED25519 && type !== NOTE_COSIGNATURE_V1) {
    throw new ProofError('algorithm_unsupported', 'vkey: neither type 0x01 nor 0x04')
  }
  const key = noteKey(p, name, type, copyBytes(typed, 1))
  check(equalBytes(key.keyId, keyId), 'key_invalid', 'vkey: the id does not follow from the key')
  return key
}

/** Whether a note can hold a key of this name: not empty, no Unicode white space, no plus. */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[+\p{White_Space}]/u.test(name)
}

function checkText(text: string): void {
  check(text.endsWith('\n'), 'malformed', 'note: the text does not end in a newline')
  // No character takes more than 3 bytes for each UTF-16 code unit, so most texts need no encoding to be measured.
  const short = text.length * 3 <= NOTE_TEXT_MAX || utf8Encode(text).length <= NOTE_TEXT_MAX
  check(short, 'too_large', `note: the text is over ${NOTE_TEXT_MAX} bytes`)
}

function checkCount(count: number): void {
  check(count > 0, 'malformed', 'note: no signature')
  check(count <= NOTE_SIGNATURES_MAX, 'too_large', `note: over ${NOTE_SIGNATURES_MAX} signatures`)
}

function parseSignature(line: string): NoteSignature {
  const [mark, name, encoded, ...more] = line.split(' ')
  check(
    mark === '—' && name !== undefined && encoded !== undefined && more.length === 0,
    'malformed',
    'note: a signature line is not "— name base64"',
  )
  check(isKeyName(name), 'malformed', 'note: a key name that is not permitted')
  const bytes = fromBase64(encoded, 'note signature')
  check(bytes.length > KEY_ID_LENGTH, 'malformed', 'note: a signature without key id or content')
  return {
    name,
    keyId: copyBytes(bytes, 0, KEY_ID_LENGTH),
    signature: copyBytes(bytes, KEY_ID_LENGTH),
  }
}

function findKey(keys: readonly NoteKey[], signature: NoteSignature): NoteKey | undefined {
  const [found, ...others] = keys.filter(
    (key) => key.name === signature.name && equalBytes(key.keyId, signature.keyId),
  )
  if (found === undefined) return undefined
  // Which of the two was meant cannot be told, so neither is.
  const confusable = others.some((other) => areConfusable(found, other))
  check(!confusable, 'key_invalid', 'two trusted keys have the same name and id')
  return found
}

function verifySignature(
  p: Primitives,
  text: string,
  key: NoteKey,
  signature: Uint8Array,
): NoteVerification {
  if (key.type === NOTE_ED25519) {
    const valid = p.ed25519Verify(key.publicKey, noteSigningInput(text), signature)
    check(valid, 'signature_invalid', "note: a trusted key's signature does not verify")
    return { key }
  }
  check(signature.length === 72, 'signature_invalid', 'note: a cosignature is 72 bytes')
  const timestamp = readU64(signature, 0)
  const input = cosignatureSigningInput(text, timestamp)
  const valid = p.ed25519Verify(key.publicKey, input, signature.subarray(8))
  check(valid, 'signature_invalid', "note: a trusted key's cosignature does not verify")
  return { key, timestamp }
}
