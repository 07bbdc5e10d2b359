/**
 * @module A bounded map that lets go of what was used longest ago.
 */

/** Least-recently-used map of at most `max` values. */
export class Cache<K, V extends object> {
  readonly #values = new Map<K, V>()
  readonly #max: number
  readonly #isKept: (value: V) => boolean
  /** The key that was used last: asked for again, it is where it belongs. */
  #newest: K | undefined

  /** @param isKept - Whether a value is small enough to be kept: the bound is a count. Default: each is. */
  constructor(max: number, isKept: (value: V) => boolean = () => true) {
    this.#max = max
    this.#isKept = isKept
  }

  /** The value of `key`, made by `make` if it is not there. Undefined is not kept. */
  get(key: K, make: () => V | undefined): V | undefined {
    const value = this.#values.get(key) ?? make()
    if (value === undefined || key === this.#newest || !this.#isKept(value)) return value
    this.#newest = key
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size > this.#max) {
      for (const oldest of this.#values.keys()) {
        this.#values.delete(oldest)
        break
      }
    }
    return value
  }
}
