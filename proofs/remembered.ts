/**
 * @module Texts that were read lately. The same few ids, keys and origins stand in every statement and entry of a log.
 */

/** Texts remembered in each of two generations, and the longest of them. */
const TEXTS_MAX = 2048
const LENGTH_MAX = 512

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

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
    const kept = old.get(text)
    // A part of a text keeps all of it alive, which may be a thousand times as long: what is kept is a copy.
    const own = text.length > LENGTH_MAX ? '' : decoder.decode(encoder.encode(text))
    // Too long, or no text that UTF-8 has a form for: read, and not remembered.
    if (own !== text) return read(text)
    const value = kept ?? read(own)
    if (young.size >= TEXTS_MAX) {
      old = young
      young = new Map()
    }
    young.set(own, value)
    return value
  }
}
