/**
 * @module Sets of paths written as patterns: a list of segments, `*` for exactly one segment of any value, and
 * optionally a tail of any number of further segments. Grants (FORMAT §7) and name patterns both rest on it.
 *
 * Segments are an open set: there is always a value that no pattern names. That is why the decisions are exact though
 * they never look at a path: the path that puts an unnamed value in the place of each `*` stands for all others.
 */

/** The segment of a pattern that stands for exactly one segment of any value. No literal contains the character. */
export const ANY_SEGMENT = '*'

/** The paths that begin with `segments` (each a literal or `*`) and end there, or, with a `tail`, there or below. */
export interface PathPattern {
  readonly segments: readonly string[]
  readonly tail: boolean
}

/** Returns whether `path`, a list of concrete segments, is one of the paths that `pattern` denotes. */
export function matchesPath(pattern: PathPattern, path: readonly string[]): boolean {
  const { segments, tail } = pattern
  if (tail ? path.length < segments.length : path.length !== segments.length) return false
  return segments.every((segment, at) => segment === ANY_SEGMENT || segment === path[at])
}

/** Returns whether every path of `inner` is one of `outer`: exact for one pattern against one. */
export function isPatternWithin(inner: PathPattern, outer: PathPattern): boolean {
  // A `*` of `inner` is no literal, so it lies in nothing but a `*`; read as a path, it is the unnamed value.
  return (outer.tail || !inner.tail) && matchesPath(outer, inner.segments)
}

/**
 * Returns whether every path that some pattern of `inner` denotes is denoted by some pattern of `outer`.
 *
 * Exact on unions. Each tail of `inner` is expanded into every length up to the longest pattern, and a tail below
 * that: the paths of one expanded pattern differ in nothing that tells two patterns of `outer` apart except values, so
 * they are all in the union exactly if one pattern of `outer` holds them all. Runs in
 * O(|inner| × |outer| × longest²) comparisons of segments.
 */
export function isContainedInUnion(
  inner: readonly PathPattern[],
  outer: readonly PathPattern[],
): boolean {
  const longest = [...inner, ...outer].reduce((max, one) => Math.max(max, one.segments.length), 0)
  return inner.every((pattern) =>
    expand(pattern, longest).every((part) => outer.some((one) => isPatternWithin(part, one))),
  )
}

function expand(pattern: PathPattern, longest: number): readonly PathPattern[] {
  if (!pattern.tail) return [pattern]
  const parts: PathPattern[] = []
  let { segments } = pattern
  while (segments.length <= longest) {
    parts.push({ segments, tail: false })
    segments = [...segments, ANY_SEGMENT]
  }
  parts.push({ segments, tail: true })
  return parts
}
