/**
 * @module The fold that knows every statement by issuer and event id, so that a repeat finds its entry and two
 * statements never share an id.
 *
 *     key    H(iss ‖ 0x00 ‖ jti)                  32 bytes: neither name can hold a zero byte
 *     value  index u64 ‖ content digest 32        40 bytes
 *
 * A repeat is the same content, whatever its signature bytes (FORMAT §3.3): ECDSA has many for one content.
 */
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { join, textKey, u64At, u64Bytes } from './layout.ts'

/** Where a statement with this issuer and event id is, and what it says. */
export interface KnownEvent {
  readonly index: number
  readonly contentDigest: Hash
}

/** Finds the entry of a statement by issuer and event id. */
export function findEvent(state: State, issuer: string, eventId: string): KnownEvent | undefined {
  const value = state.get(FOLDS.dedup, keyOf(issuer, eventId))
  return value && { index: u64At(value, 0), contentDigest: value.slice(8, 40) }
}

/** Remembers issuer, event id, index and content digest of every entry. */
export const dedupFold: Fold = {
  spec: FOLDS.dedup,
  apply({ entry, statement, contentDigest }: RegisteredEntry, writer: FoldWriter): void {
    const key = keyOf(statement.header.iss, statement.header.jti)
    writer.put(FOLDS.dedup, key, join(u64Bytes(entry.index), contentDigest))
  },
}

function keyOf(issuer: string, eventId: string): Uint8Array {
  return nativePrimitives.sha256(textKey(`${issuer}\u0000${eventId}`))
}
