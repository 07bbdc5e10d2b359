/**
 * @module A log of a few entries, for vectors: it writes down whatever it is told to, right or wrong, with links that
 * follow, and signs the head. None of the rules of a real log are in it.
 */
import { concatBytes, toBase64url, utf8Decode, utf8Encode } from '../bytes.ts'
import { type CborMap, type CborValue, encodeCbor } from '../cbor.ts'
import { openCoseSign1 } from '../cose.ts'
import { formatEvidence } from '../evidence-bundle.ts'
import { formatHeadBody } from '../head.ts'
import { canonicalJson, type JsonObject, type JsonValue } from '../json.ts'
import { leafHash, nodeHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import { formatNote, NOTE_ED25519, noteKey, type NoteKey } from '../note.ts'
import type { Hash } from '../primitives.ts'
import type { Range } from '../range.ts'
import type { Receipt } from '../receipt.ts'
import { MEDIA_COSE, MEDIA_JOSE, type StatementMedia } from '../statement.ts'
import { coseBytes, coseHeader, signCose } from './generate-cose.ts'
import { vectorKey, type VectorKey } from './generate-keys.ts'

/** One entry, before it is signed and linked. */
export interface EntryDraft {
  readonly kind: string
  readonly by: VectorKey
  /** What the header says besides `alg`, `kid`, `aud`, `iat` and `jti`; it may replace those too, and `null` takes one away. */
  readonly header: JsonObject
  readonly payload: JsonObject
  readonly prepared: CborMap
  readonly outcome: CborMap
  readonly subjects: readonly string[]
  readonly timeMs: number
  readonly disclosures?: readonly string[]
  /** Default: JWS. */
  readonly media?: StatementMedia
  /** Instead of the links that follow. */
  readonly links?: readonly CborValue[]
}

interface ChainEnd {
  readonly seq: number
  readonly index: number
  readonly hash: Hash
}

/** A log that believes everything. */
export class VectorLog {
  readonly origin: string
  readonly key: VectorKey
  readonly noteKey: NoteKey
  readonly entries: Uint8Array[] = []
  readonly disclosures: Map<number, readonly string[]> = new Map()
  readonly #chains = new Map<string, ChainEnd>()

  constructor(origin: string, label: string = `log ${origin}`) {
    this.origin = origin
    this.key = vectorKey('EdDSA', label)
    this.noteKey = noteKey(p, origin, NOTE_ED25519, this.key.publicKey)
  }

  /** Appends an entry and returns its index. */
  append(draft: EntryDraft): number {
    return this.appendSigned(draft, signStatement(this.origin, draft))
  }

  /** Appends an entry with a statement that is already signed. */
  appendSigned(draft: EntryDraft, statement: Uint8Array): number {
    const index = this.entries.length
    const links = draft.links ?? draft.subjects.map((subject) => this.#link(subject))
    const bytes = encodeCbor(
      new Map<number, CborValue>([
        [0, 1],
        [1, index],
        [2, draft.kind],
        [3, draft.timeMs],
        [4, [draft.media ?? MEDIA_JOSE, statement]],
        [5, new Map([[0, index], ...draft.prepared])],
        [6, draft.outcome],
        [7, links],
      ]),
    )
    const hash = leafHash(p, bytes)
    for (const subject of draft.subjects) {
      const seq = (this.#chains.get(subject)?.seq ?? -1) + 1
      this.#chains.set(subject, { seq, index, hash })
    }
    this.entries.push(bytes)
    if (draft.disclosures !== undefined) this.disclosures.set(index, draft.disclosures)
    return index
  }

  /** The head over all entries, signed. */
  head(by: VectorKey = this.key, extensions: readonly string[] = []): string {
    const root = treeRoot(this.entries.map((entry) => leafHash(p, entry)))
    const { origin } = this
    const text = formatHeadBody({ origin, size: this.entries.length, root, extensions })
    const { keyId } = noteKey(p, origin, NOTE_ED25519, by.publicKey)
    const signature = by.sign(utf8Encode(text))
    return utf8Decode(formatNote(text, [{ name: origin, keyId, signature }]))
  }

  /** The inclusion proof of an entry. */
  path(index: number): readonly Hash[] {
    return inclusionPath(
      this.entries.map((entry) => leafHash(p, entry)),
      index,
    )
  }

  receipt(index: number): Receipt {
    return { index, entry: this.#entry(index), path: this.path(index), head: this.head() }
  }

  /** The entries from `start` to `end`, exclusive. */
  range(start: number, end: number): Range {
    const hashes = this.entries.map((entry) => leafHash(p, entry))
    const entries = this.entries.slice(start, end)
    return { start, entries, path: rangePath(hashes, start, end), head: this.head() }
  }

  /** A bundle of these entries, with everything that they disclose. */
  bundle(action: number, indexes: readonly number[]): Uint8Array {
    const shown = indexes.flatMap((index) => {
      const texts = this.disclosures.get(index)
      return texts === undefined ? [] : [[index, texts] as const]
    })
    return formatEvidence({
      action,
      head: this.head(),
      entries: indexes.map((index) => ({
        index,
        entry: this.#entry(index),
        path: this.path(index),
      })),
      disclosures: new Map(shown),
    })
  }

  #entry(index: number): Uint8Array {
    return this.entries[index] ?? new Uint8Array()
  }

  #link(subject: string): CborValue {
    const last = this.#chains.get(subject)
    return last === undefined
      ? [subject, 0, null]
      : [subject, last.seq + 1, [last.index, last.hash]]
  }
}

/** Signs a statement of any content. */
export function signStatement(origin: string, draft: EntryDraft): Uint8Array {
  const { by, kind, timeMs } = draft
  const header: JsonObject = {
    alg: by.alg,
    kid: by.kid,
    typ: `vnd.trustwarden.${kind}`,
    aud: origin,
    iat: Math.floor(timeMs / 1000),
    jti: `${kind}-${timeMs}`,
    ...draft.header,
  }
  const kept = Object.fromEntries(Object.entries(header).filter(([, value]) => value !== null))
  if (draft.media === MEDIA_COSE) {
    return coseBytes(signCose(by, coseHeader(kept), canonicalJson(draft.payload)))
  }
  const parts: readonly JsonValue[] = [kept, draft.payload]
  const signed = utf8Encode(parts.map((part) => toBase64url(canonicalJson(part))).join('.'))
  return concatBytes(signed, utf8Encode(`.${toBase64url(by.sign(signed))}`))
}

/** What the content digest of a statement of `signStatement` is over. */
export function contentOf(statement: Uint8Array, media: StatementMedia = MEDIA_JOSE): Uint8Array {
  if (media === MEDIA_COSE) return openCoseSign1(statement).signingInput
  return statement.subarray(0, statement.lastIndexOf(0x2e))
}

/** The root over leaf hashes (RFC 9162 §2.1.1). */
export function treeRoot(hashes: readonly Hash[]): Hash {
  const [only] = hashes
  if (only === undefined) return p.sha256(new Uint8Array())
  if (hashes.length === 1) return only
  const split = splitOf(hashes.length)
  return nodeHash(p, treeRoot(hashes.slice(0, split)), treeRoot(hashes.slice(split)))
}

/** The inclusion path of a leaf (RFC 9162 §2.1.3.1). */
export function inclusionPath(hashes: readonly Hash[], index: number): readonly Hash[] {
  if (hashes.length < 2) return []
  const split = splitOf(hashes.length)
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)]
  return index < split
    ? [...inclusionPath(left, index), treeRoot(right)]
    : [...inclusionPath(right, index - split), treeRoot(left)]
}

/** The consistency path from the first `oldSize` leaves (RFC 9162 §2.1.4.1). */
export function consistencyPath(
  hashes: readonly Hash[],
  oldSize: number,
  whole = true,
): readonly Hash[] {
  if (oldSize === hashes.length) return whole ? [] : [treeRoot(hashes)]
  const split = splitOf(hashes.length)
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)]
  return oldSize <= split
    ? [...consistencyPath(left, oldSize, whole), treeRoot(right)]
    : [...consistencyPath(right, oldSize - split, false), treeRoot(left)]
}

/** The range proof of the leaves from `start` to `end`, exclusive (FORMAT §11.4). */
export function rangePath(hashes: readonly Hash[], start: number, end: number): readonly Hash[] {
  if (start === 0 && end === hashes.length) return []
  const split = splitOf(hashes.length)
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)]
  if (end <= split) return [...rangePath(left, start, end), treeRoot(right)]
  if (start >= split) return [...rangePath(right, start - split, end - split), treeRoot(left)]
  return [...rangePath(left, start, split), ...rangePath(right, 0, end - split)]
}

/** The largest power of two below a size. */
function splitOf(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}
