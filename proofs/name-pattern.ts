/**
 * @module Patterns over agents' names: what an owner may start (`owner.enroll`) and what an agent may create
 * (`may_create`). They are written without the trust domain: `finance/*`, `finance/audit/**`, `**`.
 *
 * `*` is exactly one segment of any value. A last segment `**` is the name before it and every name below; alone it is
 * every name. The trust domain is for the caller to compare.
 */
import { check } from './errors.ts'
import { ANY_SEGMENT, isContainedInUnion, matchesPath, type PathPattern } from './path-pattern.ts'
import { isNameSegment, NAME_SEGMENTS_MAX, RESERVED_NAME_SEGMENT } from './spiffe-id.ts'

/** Patterns in one list: whether one list contains another takes a comparison of each with each. @see FORMAT §1.4 */
export const NAME_PATTERNS_MAX = 64

const ANY_BELOW = '**'
// As many segments as a name has, of 63 characters each, with their slashes, and a last `**`.
const LENGTH_MAX = 64 * NAME_SEGMENTS_MAX + ANY_BELOW.length

/** A name pattern, read. Of two that match a name, the longer (by `segments`) is the more particular. */
export interface NamePattern extends PathPattern {
  readonly text: string
}

/**
 * Reads one name pattern.
 *
 * @throws {ProofError} `claim_invalid`; `not_canonical` for `*` before a last `**` and nothing else, which is `**`.
 * @see FORMAT §7.2
 */
export function parseNamePattern(text: string): NamePattern {
  check(
    text.length <= LENGTH_MAX,
    'claim_invalid',
    `name pattern is ${text.length} characters, at most ${LENGTH_MAX}`,
  )
  const words = text.split('/')
  const tail = words.at(-1) === ANY_BELOW
  const prefix = tail ? words.slice(0, -1) : words
  check(
    prefix.length <= NAME_SEGMENTS_MAX,
    'claim_invalid',
    `name pattern has ${prefix.length} segments, at most ${NAME_SEGMENTS_MAX} and "**"`,
  )
  check(
    prefix.every((word) => word === ANY_SEGMENT || isNameSegment(word)),
    'claim_invalid',
    'segment of the name pattern must be "*", a last "**" or a name segment',
  )
  check(
    prefix[0] !== RESERVED_NAME_SEGMENT,
    'claim_invalid',
    `name pattern must not start with "${RESERVED_NAME_SEGMENT}"`,
  )
  check(
    !(tail && prefix.length === 1 && prefix[0] === ANY_SEGMENT),
    'not_canonical',
    'name pattern of every name is written "**"',
  )
  return { text, segments: prefix.length === 0 ? [ANY_SEGMENT] : prefix, tail }
}

/** Returns whether the name with these segments (`parseAgentName`, `parseInstanceId`) falls under `pattern`. */
export function matchesName(pattern: NamePattern, nameSegments: readonly string[]): boolean {
  return matchesPath(pattern, nameSegments)
}

/**
 * Returns whether every name under some pattern of `inner` falls under some pattern of `outer`.
 *
 * Sound: never true if a name falls under `inner` alone. Exact on unions, but for one thing: a name has at most
 * `NAME_SEGMENTS_MAX` segments, and the decision is taken as if there were longer ones, so a list that spells out every
 * permitted length below `a` does not contain `a` + `/**`. An empty `inner` is contained in everything.
 */
export function patternContains(
  outer: readonly NamePattern[],
  inner: readonly NamePattern[],
): boolean {
  return isContainedInUnion(inner, outer)
}
