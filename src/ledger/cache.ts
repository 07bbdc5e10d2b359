/**
 * @module A bounded map that lets go of what was used longest ago.
 */

/** Least-recently-used map of at most `max` values. */
export class Cache<K, V extends object> {
  readonly #values = new Map<K, V>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** The value of `key`, made by `make` if it is not there. Undefined is not kept. */
  get(key: K, make: () => V | undefined): V | undefined {
    const value = this.#values.get(key) ?? make()
    if (value === undefined) return undefined
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
