/**
 * @module The fold of sequence windows: which of an instance's counters were seen (FORMAT §10.6).
 *
 *     key    instance id, UTF-8
 *     value  highest seq u64 ‖ bitmap 128 bytes                                136 bytes
 *
 * Bit `s mod 1024` of the bitmap says whether `s` was seen, for the 1,024 counters below the highest: any 1,024 in a row
 * have different bits, so nothing is ever shifted.
 */
import { allocate, utf8Encode } from '@trustwarden/proofs'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { u64At, writeU64 } from './layout.ts'

/** Outcome key that holds the status (FORMAT §6). */
export const SEQUENCE_STATUS_KEY = 15

/** How many counters below the highest are told apart. */
export const SEQUENCE_WINDOW = 1024

const BITMAP_AT = 8
const WINDOW_BYTES = BITMAP_AT + SEQUENCE_WINDOW / 8

/** What the window says of a counter: above it or unseen in it, seen, or below it. */
export type SequenceStatus = 'new' | 'repeated' | 'old'

/** The status of counter `seq` of `instance` before it is applied. */
export function sequenceStatus(state: State, instance: string, seq: number): SequenceStatus {
  const window = state.get(FOLDS.sequences, utf8Encode(instance))
  if (window === undefined) return 'new'
  const highest = u64At(window, 0)
  if (seq > highest) return 'new'
  if (seq === highest) return 'repeated'
  if (seq < highest - SEQUENCE_WINDOW) return 'old'
  return hasBit(window, seq) ? 'repeated' : 'new'
}

/** Remembers the counters of every statement that has one. */
export const sequencesFold: Fold = {
  spec: FOLDS.sequences,
  apply({ statement }: RegisteredEntry, writer: FoldWriter): void {
    const { iss, seq } = statement.header
    if (seq === undefined) return
    const key = utf8Encode(iss)
    const before = writer.get(FOLDS.sequences, key)
    const after = before === undefined ? firstWindow(seq) : markSeen(before, seq)
    if (after !== before) writer.put(FOLDS.sequences, key, after)
  },
}

function firstWindow(seq: number): Uint8Array {
  const window = allocate(WINDOW_BYTES)
  writeU64(window, 0, seq)
  return window
}

/** The window with `seq` in it: the same array where nothing changes, else a new one. */
function markSeen(window: Uint8Array, seq: number): Uint8Array {
  const highest = u64At(window, 0)
  if (seq === highest || seq < highest - SEQUENCE_WINDOW) return window
  if (seq - highest > SEQUENCE_WINDOW) return firstWindow(seq)
  const after = allocate(WINDOW_BYTES)
  after.set(window)
  if (seq < highest) {
    setBit(after, seq, true)
    return after
  }
  // The counters from the old highest on take over the bits of those that leave the window.
  for (let s = highest; s < seq; s++) setBit(after, s, false)
  setBit(after, highest, true)
  writeU64(after, 0, seq)
  return after
}

function hasBit(window: Uint8Array, seq: number): boolean {
  const bit = seq % SEQUENCE_WINDOW
  return ((window[placeOf(bit)] ?? 0) & (1 << (bit % 8))) !== 0
}

function setBit(window: Uint8Array, seq: number, value: boolean): void {
  const bit = seq % SEQUENCE_WINDOW
  const at = placeOf(bit)
  const mask = 1 << (bit % 8)
  window[at] = value ? (window[at] ?? 0) | mask : (window[at] ?? 0) & ~mask
}

function placeOf(bit: number): number {
  return BITMAP_AT + Math.floor(bit / 8)
}
