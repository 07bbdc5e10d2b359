/**
 * @module The fold of revocations: which subjects are stopped, since which entry, and up to which size of the log.
 *
 *     key    target subject, UTF-8       value  bound u64 ‖ index u64 ‖ length u8 ‖ reason, ASCII ‖ row
 *     key    0x00                        value  epoch u64
 *     key    0x00 ‖ n u64                value  index u64 of the entry that made the epoch n + 1
 *
 * A row is the CBOR of `[target, bound]`, as the state root hashes it (FORMAT §6). No subject begins with a zero byte,
 * and a scan comes in the order of the targets' bytes, which is the order that the root demands: so a root is the rows
 * one after the other, and costs no parsing.
 */
import { createHash } from 'node:crypto'
import { encodeCbor, jsonString, utf8Decode, utf8Encode } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { FOLDS } from '../ledger/contract.ts'
import type {
  Agent,
  Fold,
  FoldWriter,
  RegisteredEntry,
  RevocationReader,
  State,
} from '../ledger/contract.ts'
import { join, u64At, u64Bytes } from '../ledger/layout.ts'

/** Kind of the entries that revoke (FORMAT §6). */
export const REVOKE_KIND = 'agent.revoke'

/** Bound of a revocation that nothing has reopened: no record's size is at or above it (DESIGN §8). */
export const BOUND_CLOSED: number = Number.MAX_SAFE_INTEGER

/** One revocation in force. */
export interface Revocation {
  /** `inst:…`, `agent:…` or `owner:…`. */
  readonly target: string
  /** It stops instances whose record's size is below. Of no meaning for `inst:`, which is final. */
  readonly bound: number
  /** Index of the entry that revoked. */
  readonly index: number
  readonly reason: string
}

const ZERO = Uint8Array.of(0)
const INDEX_OFFSET = 8
const LENGTH_OFFSET = 16
const REASON_OFFSET = 17
/** What the first byte of an array's head is above that of an unsigned integer of the same argument (RFC 8949 §3.1). */
const ARRAY_HEAD = 0x80

/** The value under which the fold keeps a revocation; its reason has at most 255 ASCII characters. */
export function encodeRevocation({ target, bound, index, reason }: Revocation): Uint8Array {
  const text = utf8Encode(reason)
  const row = encodeCbor([target, bound])
  return join(u64Bytes(bound), u64Bytes(index), Uint8Array.of(text.length), text, row)
}

/** The revocation of exactly this target, or undefined. */
export function findRevocation(state: State, target: string): Revocation | undefined {
  const value = state.get(FOLDS.revocations, utf8Encode(target))
  return value && decodeRevocation(target, value)
}

/** All revocations in force, ascending by the bytes of the target. Reads the whole fold. */
export function listRevocations(state: State): readonly Revocation[] {
  const list: Revocation[] = []
  for (const [key, value] of state.scan(FOLDS.revocations)) {
    if (key[0] !== 0) list.push(decodeRevocation(utf8Decode(key), value))
  }
  return list
}

/**
 * The state root over the revocations in force and, if given, one that is not among them: SHA-256 over the CBOR of the
 * array of `[target, bound]`, sorted bytewise by target (FORMAT §6). Reads the whole fold.
 */
export function revocationRoot(
  state: State,
  added?: { readonly target: string; readonly bound: number },
): Hash {
  const rows: Uint8Array[] = []
  const addedKey = added && utf8Encode(added.target)
  const addedRow = added && encodeCbor([added.target, added.bound])
  let isPlaced = addedRow === undefined
  for (const [key, value] of state.scan(FOLDS.revocations)) {
    if (key[0] === 0) continue
    if (!isPlaced && addedKey && addedRow && Buffer.compare(addedKey, key) < 0) {
      rows.push(addedRow)
      isPlaced = true
    }
    rows.push(value.subarray(REASON_OFFSET + (value[LENGTH_OFFSET] ?? 0)))
  }
  if (!isPlaced && addedRow) rows.push(addedRow)
  const head = encodeCbor(rows.length)
  head[0] = (head[0] ?? 0) + ARRAY_HEAD
  const hash = createHash('sha256').update(head)
  for (const row of rows) hash.update(row)
  return new Uint8Array(hash.digest())
}

/** Writes down every entry that revoked. */
export const revocationsFold: Fold = {
  spec: FOLDS.revocations,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (entry.kind !== REVOKE_KIND || entry.outcome.get(0) !== 'revoked') return
    const target = jsonString(statement.payload['target'], 'target')
    const reason = jsonString(statement.payload['reason'], 'reason')
    const revocation = { target, bound: BOUND_CLOSED, index: entry.index, reason }
    writer.put(FOLDS.revocations, utf8Encode(target), encodeRevocation(revocation))
    const epoch = readEpoch(writer)
    writer.put(FOLDS.revocations, epochKey(epoch), u64Bytes(entry.index))
    writer.put(FOLDS.revocations, ZERO, u64Bytes(epoch + 1))
  },
}

/** Reads the revocations in force. */
export const revocationReader: RevocationReader = {
  governs(state: State, agent: Agent, since = 0): boolean {
    if (readEpoch(state) === 0) return false
    const stops = (target: string, size: number): boolean => {
      const value = state.get(FOLDS.revocations, utf8Encode(target))
      return value !== undefined && u64At(value, INDEX_OFFSET) >= since && size < u64At(value, 0)
    }
    const chain = [...agent.ancestors, { instance: agent.instance, size: agent.recordSize }]
    return chain.some(
      ({ instance, size }) =>
        stops(`inst:${instance}`, -1) ||
        stops(`agent:${instance.slice(0, instance.lastIndexOf('/'))}`, size) ||
        stops(agent.owner, size),
    )
  },
  isRevoked(state: State, subject: string): boolean {
    return state.get(FOLDS.revocations, utf8Encode(subject)) !== undefined
  },
  epoch(state: State, size: number = state.size): number {
    let [low, high] = [0, readEpoch(state)]
    // Every epoch below `low` was made below `size`, none from `high` on.
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const value = state.get(FOLDS.revocations, epochKey(middle))
      if (value !== undefined && u64At(value, 0) < size) low = middle + 1
      else high = middle
    }
    return low
  },
}

function decodeRevocation(target: string, value: Uint8Array): Revocation {
  const reasonEnd = REASON_OFFSET + (value[LENGTH_OFFSET] ?? 0)
  const reason = utf8Decode(value.subarray(REASON_OFFSET, reasonEnd))
  return { target, bound: u64At(value, 0), index: u64At(value, INDEX_OFFSET), reason }
}

function epochKey(epoch: number): Uint8Array {
  return join(ZERO, u64Bytes(epoch))
}

function readEpoch(state: State): number {
  const value = state.get(FOLDS.revocations, ZERO)
  return value === undefined ? 0 : u64At(value, 0)
}
