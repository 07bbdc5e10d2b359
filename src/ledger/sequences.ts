/**
 * @module The fold of sequence windows: which of an instance's counters were seen (FORMAT §10.6).
 *
 *     key    instance id, UTF-8
 *     value  highest seq u64 ‖ bitmap 128 bytes                                136 bytes
 *
 * Bit `s mod 1024` of the bitmap says whether `s` was seen, for the 1,024 counters below the highest: any 1,024 in a row
 * have different bits, so nothing is ever shifted.
 */
import { utf8Encode } from '@trustwarden/proofs'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { join, u64At, u64Bytes } from './layout.ts'

/** Outcome key that holds the status (FORMAT §6). */
export const SEQUENCE_STATUS_KEY = 15

/** How many counters below the highest are told apart. */
export const SEQUENCE_WINDOW = 1024

/** What the window says of a counter: above it or unseen in it, seen, or below it. */
export type SequenceStatus = 'new' | 'repeated' | 'old'

interface Window {
  readonly highest: number
  /** 128 bytes. */
  readonly seen: Uint8Array
}

/** The status of counter `seq` of `instance` before it is applied. */
export function sequenceStatus(state: State, instance: string, seq: number): SequenceStatus {
  const window = windowOf(state, instance)
  if (window === undefined || seq > window.highest) return 'new'
  if (seq === window.highest) return 'repeated'
  if (seq < window.highest - SEQUENCE_WINDOW) return 'old'
  return hasBit(window.seen, seq) ? 'repeated' : 'new'
}

/** Remembers the counters of every statement that has one. */
export const sequencesFold: Fold = {
  spec: FOLDS.sequences,
  apply({ statement }: RegisteredEntry, writer: FoldWriter): void {
    const { iss, seq } = statement.header
    if (seq === undefined) return
    const before = windowOf(writer, iss)
    const after = before === undefined ? firstWindow(seq) : markSeen(before, seq)
    if (after === before) return
    writer.put(FOLDS.sequences, utf8Encode(iss), join(u64Bytes(after.highest), after.seen))
  },
}

function windowOf(state: State, instance: string): Window | undefined {
  const value = state.get(FOLDS.sequences, utf8Encode(instance))
  return value && { highest: u64At(value, 0), seen: value.slice(8, 8 + SEQUENCE_WINDOW / 8) }
}

function firstWindow(seq: number): Window {
  return { highest: seq, seen: new Uint8Array(SEQUENCE_WINDOW / 8) }
}

function markSeen(window: Window, seq: number): Window {
  const { highest } = window
  if (seq === highest || seq < highest - SEQUENCE_WINDOW) return window
  const seen = window.seen.slice()
  if (seq < highest) {
    setBit(seen, seq, true)
    return { highest, seen }
  }
  if (seq - highest > SEQUENCE_WINDOW) return firstWindow(seq)
  // The counters from the old highest on take over the bits of those that leave the window.
  for (let s = highest; s < seq; s++) setBit(seen, s, false)
  setBit(seen, highest, true)
  return { highest: seq, seen }
}

function hasBit(seen: Uint8Array, seq: number): boolean {
  const bit = seq % SEQUENCE_WINDOW
  return ((seen[Math.floor(bit / 8)] ?? 0) & (1 << (bit % 8))) !== 0
}

function setBit(seen: Uint8Array, seq: number, value: boolean): void {
  const bit = seq % SEQUENCE_WINDOW
  const at = Math.floor(bit / 8)
  const mask = 1 << (bit % 8)
  seen[at] = value ? (seen[at] ?? 0) | mask : (seen[at] ?? 0) & ~mask
}
