/**
 * @module Reading an object that never changes once, however often it is asked for while it lives.
 */

/** Makes a reader that remembers what `read` made of each object, as long as somebody holds the object. */
export function memoized<K extends object, V>(read: (object: K) => V): (object: K) => V {
  const known = new WeakMap<K, { readonly value: V }>()
  return (object) => {
    let found = known.get(object)
    if (found === undefined) {
      found = { value: read(object) }
      known.set(object, found)
    }
    return found.value
  }
}
