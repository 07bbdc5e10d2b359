/**
 * @module Rows in the order of their keys, in memory: a walk over all or over those of a prefix costs no sort and no copy.
 */
import { latin1, lowerBound } from './bytes.ts'

/** Rows by key, ascending by the bytes of their keys. */
export class SortedRows<T extends { readonly key: Uint8Array }> {
  /** Keys as one character a byte, which keeps their order. */
  #names: string[] = []
  #rows: T[] = []
  /** Whether somebody walks over `#rows`: the next change makes a copy then, and the walk goes on over the old one. */
  #lent = false

  /** The row of `key`. */
  get(key: Uint8Array): T | undefined {
    const name = latin1(key)
    const at = this.#lowerBound(name)
    return this.#names[at] === name ? this.#rows[at] : undefined
  }

  /** Sets the row of its key. */
  set(row: T): void {
    const name = latin1(row.key)
    const at = this.#lowerBound(name)
    this.#own()
    if (this.#names[at] === name) {
      this.#rows[at] = row
      return
    }
    this.#names.splice(at, 0, name)
    this.#rows.splice(at, 0, row)
  }

  /** Takes the row of `key` out, if there is one. */
  delete(key: Uint8Array): void {
    const name = latin1(key)
    const at = this.#lowerBound(name)
    if (this.#names[at] !== name) return
    this.#own()
    this.#names.splice(at, 1)
    this.#rows.splice(at, 1)
  }

  /** The rows whose keys begin with `prefix`, as they are now: later changes do not show in what it returned. */
  rows(prefix: Uint8Array): readonly T[] {
    if (prefix.length === 0) {
      this.#lent = true
      return this.#rows
    }
    const name = latin1(prefix)
    const from = this.#lowerBound(name)
    let to = from
    while (this.#names[to]?.startsWith(name) === true) to++
    return this.#rows.slice(from, to)
  }

  #own(): void {
    if (!this.#lent) return
    this.#rows = [...this.#rows]
    this.#lent = false
  }

  #lowerBound(name: string): number {
    return lowerBound(this.#names.length, (at) => (this.#names[at] ?? '') < name)
  }
}
