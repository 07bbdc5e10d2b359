/**
 * @module Texts that were read lately. The same few ids, keys and origins stand in every statement and entry of a log.
 */

/** Texts remembered in each of two generations, and the longest of them. */
const TEXTS_MAX = 2048
const LENGTH_MAX = 512

/**
 * Makes a reader that remembers what `read` made of the texts that it was given lately. What `read` returns must never
 * change; what it refuses is not remembered.
 */
export function remembered<T extends object | string>(
  read: (text: string) => T,
): (text: string) => T {
  let young = new Map<string, T>()
  let old = new Map<string, T>()
  return (text) => {
    const known = young.get(text)
    if (known !== undefined) return known
    const value = old.get(text) ?? read(text)
    if (text.length <= LENGTH_MAX) {
      if (young.size >= TEXTS_MAX) {
        old = young
        young = new Map()
      }
      young.set(text, value)
    }
    return value
  }
}
