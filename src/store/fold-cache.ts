/**
 * @module Values of folds on disk that were read or written lately, in memory, so that a hot key costs no read and no
 * hash. What it holds was checked when it was read, or is what the last commit wrote: it never differs from what an
 * undamaged disk would answer, and damage done to the disk since then is found by the scrub.
 */
import type { CommittedValue } from './batch.ts'
import { latin1 } from './bytes.ts'

/**
 * Bytes of keys and values kept at most, by default: what some thousand agents at work and their open decisions need. What is
 * kept grows old in V8's heap: 32 MiB made the service 40 to 100 MiB larger, and its statements no cheaper.
 */
export const FOLD_CACHE_BYTES: number = 8 * 1024 * 1024

/** What a value costs besides its own bytes: two arrays, an object, a name and their places in a map. */
const OVERHEAD_BYTES = 512

/** Two generations: what is used moves to the young one; when that is full the old one is let go. */
export class FoldCache {
  readonly #bytesMax: number
  #young = new Map<string, CommittedValue>()
  #old = new Map<string, CommittedValue>()
  #youngBytes = 0

  /** @param bytesMax - 0: nothing is kept. */
  constructor(bytesMax: number = FOLD_CACHE_BYTES) {
    this.#bytesMax = bytesMax
  }

  /** The committed value of a key, if it is kept. */
  get(name: string): CommittedValue | undefined {
    const young = this.#young.get(name)
    if (young !== undefined) return young
    const old = this.#old.get(name)
    if (old !== undefined) this.#keep(name, old)
    return old
  }

  /** Keeps what was read and checked, or what a commit wrote; `undefined`: the key was deleted. */
  set(name: string, value: CommittedValue | undefined): void {
    if (value !== undefined) this.#keep(name, value)
    else {
      this.#young.delete(name)
      this.#old.delete(name)
    }
  }

  #keep(name: string, committed: CommittedValue): void {
    if (this.#bytesMax === 0) return
    // A key that is set again counts again: the generation only ends sooner.
    this.#youngBytes += name.length + committed.value.length + OVERHEAD_BYTES
    if (2 * this.#youngBytes > this.#bytesMax) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#young.set(name, committed)
  }
}

/** The name of a fold's key, in the cache and in a batch. */
export function nameOfFoldKey(fold: number, key: Uint8Array): string {
  return `f${String.fromCharCode(fold)}${latin1(key)}`
}
