/**
 * @module The fold that knows every statement by issuer and event id, so that a repeat finds its entry and two
 * statements never share an id.
 *
 *     key    H(iss ‖ 0x00 ‖ jti)                  32 bytes: neither name can hold a zero byte
 *     value  index u64 ‖ content digest 32        40 bytes
 *
 * A repeat is the same content, whatever its signature bytes (FORMAT §3.3): ECDSA has many for one content.
 */
import { utf8Encode } from '@trustwarden/proofs'
import type { Hash, StatementHeader } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { memoized } from '../memo.ts'
import type { Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { join, u64At, u64Bytes } from './layout.ts'

/** Where a statement with this issuer and event id is, and what it says. */
export interface KnownEvent {
  readonly index: number
  readonly contentDigest: Hash
}

/** Finds the entry of a statement by issuer and event id. */
export function findEvent(state: State, header: StatementHeader): KnownEvent | undefined {
  const value = state.get(FOLDS.dedup, keyOf(header))
  return value && { index: u64At(value, 0), contentDigest: value.slice(8, 40) }
}

/** Remembers issuer, event id, index and content digest of every entry. */
export const dedupFold: Fold = {
  spec: FOLDS.dedup,
  apply({ entry, statement, contentDigest }: RegisteredEntry, writer: FoldWriter): void {
    writer.put(FOLDS.dedup, keyOf(statement.header), join(u64Bytes(entry.index), contentDigest))
  },
}

/** Prepare, the writer and the fold ask for the same one. */
const keyOf = memoized(
  ({ iss, jti }: StatementHeader): Uint8Array =>
    nativePrimitives.sha256(utf8Encode(`${iss}\u0000${jti}`)),
)
