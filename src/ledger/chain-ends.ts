/**
 * @module Where the chains of a range of entries end, in bounded memory: what every link is held against where no state is
 * rebuilt. What does not fit goes to a store beside.
 */
import type { Hash } from '@trustwarden/proofs'
import type { Store } from '../store/store.ts'
import type { LinkFrame } from './entry-frame.ts'
import { join, u64At, u64Bytes } from './layout.ts'

/** Chains kept in memory, some 20 MiB. */
const CHAINS_MAX = 65_536

/** An entry that has links. */
export interface LinkedEntry {
  readonly index: number
  readonly bytes: Uint8Array
  readonly leafHash: Hash
}

interface End {
  seq: number
  index: number
  leafHash: Uint8Array
}

/** The ends of chains, as entries come. */
export class ChainEnds {
  readonly #store: Store
  readonly #from: number
  readonly #max: number
  readonly #ends = new Map<string, End>()
  #stored = false

  /**
   * @param from - Index of the first entry: the first link of a chain may name one before it.
   * @param store - An empty one.
   */
  constructor(from: number, store: Store, max: number = CHAINS_MAX) {
    this.#from = from
    this.#store = store
    this.#max = max
  }

  /** Whether a link of `entry` goes on where its chain ended, which it does from then on. */
  follow({ subject, seq, previous }: LinkFrame, { index, bytes, leafHash }: LinkedEntry): boolean {
    const end = this.#ends.get(subject) ?? this.#read(subject)
    if (end === undefined) {
      this.#ends.set(subject, { seq, index, leafHash })
      const isFirst = previous === null
      return isFirst === (seq === 0) && (isFirst || previous.index < this.#from)
    }
    const follows =
      previous !== null &&
      previous.index === end.index &&
      seq === end.seq + 1 &&
      hasAt(bytes, previous.hashAt, end.leafHash)
    end.seq = seq
    end.index = index
    end.leafHash = leafHash
    return follows
  }

  /** Writes what there is too much of. Between two entries. */
  async spill(): Promise<void> {
    if (this.#ends.size <= this.#max) return
    this.#stored = true
    const ends = [...this.#ends]
    this.#ends.clear()
    await this.#store.write(
      ends.map(([subject, { seq, index, leafHash }]) => ({
        type: 'put' as const,
        key: keyOf(subject),
        value: join(u64Bytes(seq), u64Bytes(index), leafHash),
      })),
    )
  }

  #read(subject: string): End | undefined {
    const value = this.#stored ? this.#store.get(keyOf(subject)) : undefined
    if (value === undefined) return undefined
    const end = { seq: u64At(value, 0), index: u64At(value, 8), leafHash: value.slice(16) }
    this.#ends.set(subject, end)
    return end
  }
}

/** Whether `bytes` hold `hash` from `at` on. */
function hasAt(bytes: Uint8Array, at: number, hash: Uint8Array): boolean {
  for (let n = 0; n < hash.length; n++) if (bytes[at + n] !== hash[n]) return false
  return true
}

function keyOf(subject: string): Uint8Array {
  return new Uint8Array(Buffer.from(`c${subject}`, 'latin1'))
}
