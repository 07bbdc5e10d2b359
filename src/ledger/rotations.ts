/**
 * @module The rotations of the log key that took effect, as the fold of principals keeps them.
 *
 *     key    0x02    value  JSON array of [index, old vkey, new vkey, until]
 */
import { formatVkey, parseKeyRotate, parseVkey, utf8Decode, utf8Encode } from '@trustwarden/proofs'
import type { NoteKey } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { FOLDS } from './contract.ts'
import type { FoldWriter, RegisteredEntry, State } from './contract.ts'
import type { Rotation } from './log-keys.ts'

/** Kind of the entries that rotate a key (FORMAT §6). */
export const ROTATE_KIND = 'key.rotate'

const ROTATIONS_KEY = Uint8Array.of(2)

type Stored = readonly [index: number, old: string, new: string, until: number]

/** The rotations that took effect, in their order. */
export function readRotations(state: Pick<State, 'get'>): readonly Rotation[] {
  const value = state.get(FOLDS.principals, ROTATIONS_KEY)
  if (value === undefined) return []
  const key = (vkey: string): NoteKey => parseVkey(nativePrimitives, vkey)
  return (JSON.parse(utf8Decode(value)) as readonly Stored[]).map(([index, old, next, until]) => ({
    index,
    old: key(old),
    new: key(next),
    until,
  }))
}

/** Keeps a rotation that took effect. For the fold of principals. */
export function keepRotation({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
  if (entry.kind !== ROTATE_KIND || entry.outcome.get(0) !== 'effective') return
  const { old, new: next, until } = parseKeyRotate(nativePrimitives, statement)
  const rotations = [...readRotations(writer), { index: entry.index, old, new: next, until }]
  const stored = rotations.map((one): Stored => {
    return [one.index, formatVkey(one.old), formatVkey(one.new), one.until]
  })
  writer.put(FOLDS.principals, ROTATIONS_KEY, utf8Encode(JSON.stringify(stored)))
}
