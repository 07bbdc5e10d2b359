/**
 * @module Reading an object that never changes once, however often it is asked for while it lives.
 */

/** A reader with a memory. */
export interface Memoized<K extends object, V> {
  (object: K): V
  /** Says what reading `object` would give, for whoever has just written it. */
  know(object: K, value: V): void
}

/** Makes a reader that remembers what `read` made of each object, as long as somebody holds the object. */
export function memoized<K extends object, V>(read: (object: K) => V): Memoized<K, V> {
  const known = new WeakMap<K, { readonly value: V }>()
  const reader = (object: K): V => {
    let found = known.get(object)
    if (found === undefined) {
      found = { value: read(object) }
      known.set(object, found)
    }
    return found.value
  }
  return Object.assign(reader, {
    know: (object: K, value: V) => void known.set(object, { value }),
  })
}
