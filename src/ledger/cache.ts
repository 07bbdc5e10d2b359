/**
 * @module A bounded map that lets go of what was not used for long.
 */

interface Kept<V> {
  readonly value: V
  /** Whether it was asked for again since it came, or since it was last spared. */
  isUsed: boolean
}

/**
 * Map of at most `max` values, by second chance: whoever finds a value marks it, and what is let go is the oldest without
 * a mark. To keep the exact order of use, each use would write to the map, which costs a reader more than all the rest.
 */
export class Cache<K, V extends object> {
  readonly #values = new Map<K, Kept<V>>()
  readonly #max: number
  readonly #isKept: (value: V) => boolean
  /** What was used last: asked for again and again, it was used once. */
  #newest: { readonly key: K; readonly value: V } | undefined

  /** @param isKept - Whether a value is small enough to be kept: the bound is a count. Default: each is. */
  constructor(max: number, isKept: (value: V) => boolean = () => true) {
    this.#max = max
    this.#isKept = isKept
  }

  /** The value of `key`, made by `make` if it is not there. Undefined is not kept. */
  get(key: K, make: () => V | undefined): V | undefined {
    if (this.#newest?.key === key) return this.#newest.value
    const known = this.#values.get(key)
    const value = known === undefined ? make() : known.value
    if (value === undefined || !this.#isKept(value)) return value
    if (known === undefined) {
      this.#makeRoom()
      this.#values.set(key, { value, isUsed: false })
    } else known.isUsed = true
    this.#newest = { key, value }
    return value
  }

  #makeRoom(): void {
    for (const [key, kept] of this.#values) {
      if (this.#values.size < this.#max) return
      this.#values.delete(key)
      // What is spared comes last, and is met again in this round if all were.
      if (kept.isUsed) this.#values.set(key, { value: kept.value, isUsed: false })
    }
  }
}
