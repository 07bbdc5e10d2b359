/**
 * @module Scopes: what an agent may do, as a list of grants, and whether one scope lies strictly within another
 * (FORMAT §7.1).
 *
 *     grant  = verb ":" path              read:reports/2026/*     pay:invoices/**     *:**
 *     path   = segment *( "/" segment )
 *
 * A `*` in the place of the verb is every verb, in the place of a segment exactly one segment of any value. A last
 * segment `**` is the node before it and everything below; since a path has at least one segment, `**` alone says what
 * `*` and a tail say. Nothing else is special. Verbs and segments are lower-case ASCII and open sets: no list of
 * literals ever amounts to a `*`.
 *
 * Left out: bounds by dimension (an amount, a rate). They have a place in the grammar and are refused by name.
 */
import { utf8Encode } from './bytes.ts'
import { check } from './errors.ts'
import {
  ANY_SEGMENT,
  isContainedInUnion,
  isPatternWithin,
  matchesPath,
  type PathPattern,
} from './path-pattern.ts'
import type { Hash, Primitives } from './primitives.ts'

/** Grants in one scope: one link of a chain must stay cheap to evaluate in a policy. */
export const SCOPE_GRANTS_MAX = 64

/** Segments in the path of a grant, a last `**` counted. */
export const GRANT_SEGMENTS_MAX = 16

/**
 * Segments in the path of an action: more than in a grant, so that whatever tells two scopes apart (never longer than
 * the longest grant and one segment) is an action that somebody can ask for.
 */
export const ACTION_SEGMENTS_MAX = 32

/** Characters in a verb or a segment. */
export const SCOPE_WORD_LENGTH_MAX = 64

const WORD = /^[a-z0-9][a-z0-9._-]*$/
const WORD_RULE = 'a lower-case letter or digit, then letters, digits, ".", "_" or "-"'
const ANY_BELOW = '**'

/** What an agent does or asks to do: a verb and a path, no wildcards. */
export interface Action {
  readonly verb: string
  /** At least one. */
  readonly segments: readonly string[]
}

/** One grant, read: `verb` and each of the `segments` a literal or `*`; with `tail` also everything below. */
export interface Grant {
  readonly verb: string
  /** At least one; the text `**` alone reads as `*` with a tail. */
  readonly segments: readonly string[]
  readonly tail: boolean
}

/** A scope that was read in its canonical form. An empty one permits nothing and cannot be delegated from. */
export interface Scope {
  readonly grants: readonly Grant[]
  /** The canonical text of each grant, in order. */
  readonly texts: readonly string[]
}

/**
 * Reads one grant. The text need not be the canonical one: the path of any segment and a tail reads as `**` does.
 *
 * @throws {ProofError} `scope_invalid`, also for every dimension, by name.
 * @see FORMAT §7.1
 */
export function parseGrant(text: string): Grant {
  const { verb, segments } = splitWords(text, 'grant', GRANT_SEGMENTS_MAX)
  const tail = segments.at(-1) === ANY_BELOW
  const prefix = tail ? segments.slice(0, -1) : segments
  for (const [what, word] of [['verb', verb], ...prefix.map((one) => ['segment', one])] as const) {
    check(
      word === ANY_SEGMENT || !word.includes(ANY_SEGMENT),
      'scope_invalid',
      `${what} of the grant: "*" stands alone, and "**" only as the last segment`,
    )
    if (word !== ANY_SEGMENT) checkWord(word, `${what} of the grant`)
  }
  return { verb, segments: prefix.length === 0 ? [ANY_SEGMENT] : prefix, tail }
}

/**
 * Reads a concrete action, such as `read:transactions`.
 *
 * @throws {ProofError} `scope_invalid`, also for any wildcard.
 * @see FORMAT §7.1
 */
export function parseAction(text: string): Action {
  const action = splitWords(text, 'action', ACTION_SEGMENTS_MAX)
  checkWord(action.verb, 'verb of the action')
  for (const segment of action.segments) checkWord(segment, 'segment of the action')
  return action
}

/**
 * Returns the canonical form of a list of grants: `**` for `*` with a tail, in the order of their bytes, each once,
 * and none that lies within one other.
 *
 * It denotes what the list denotes. It is one spelling of a list, not of a set: a node, and in another grant all that
 * is below it, denote what the node with `**` does, and stay two grants. What is decided, is decided on the sets.
 *
 * @throws {ProofError} `scope_invalid` if a grant breaks the grammar, or over `SCOPE_GRANTS_MAX` grants.
 * @see FORMAT §7.1
 */
export function canonicalScope(list: readonly string[]): readonly string[] {
  check(
    list.length <= SCOPE_GRANTS_MAX,
    'scope_invalid',
    `scope has ${list.length} grants, at most ${SCOPE_GRANTS_MAX}`,
  )
  const byText = new Map<string, PathPattern>()
  for (const text of list) {
    const grant = parseGrant(text)
    byText.set(formatGrant(grant), toPattern(grant))
  }
  const kept: string[] = []
  for (const [text, pattern] of byText) {
    const isWithinOther = [...byText].some(
      ([other, outer]) => other !== text && isPatternWithin(pattern, outer),
    )
    if (!isWithinOther) kept.push(text)
  }
  return kept.sort()
}

/**
 * Reads a scope that is given in its canonical form.
 *
 * @throws {ProofError} `scope_invalid` if a grant breaks the grammar, or over `SCOPE_GRANTS_MAX` grants;
 *   `not_canonical` if the list is not what `canonicalScope` makes of it.
 * @see FORMAT §7.1
 */
export function parseScope(list: readonly string[]): Scope {
  const texts = canonicalScope(list)
  check(
    texts.length === list.length && texts.every((text, at) => text === list[at]),
    'not_canonical',
    'scope is not canonical: grants in order of their bytes, "**" for "*/**", none within another',
  )
  return { grants: texts.map(parseGrant), texts }
}

/** Returns whether some grant of `scope` permits `action`. */
export function covers(scope: Scope, action: Action): boolean {
  const path = [action.verb, ...action.segments]
  return scope.grants.some((grant) => matchesPath(toPattern(grant), path))
}

/**
 * Returns whether `outer` permits every action that `inner` permits. Exact: decided on what the scopes denote, as
 * unions, not on their texts.
 *
 * @see FORMAT §7.1
 */
export function isContained(inner: Scope, outer: Scope): boolean {
  return isContainedInUnion(inner.grants.map(toPattern), outer.grants.map(toPattern))
}

/**
 * Returns whether `outer` permits every action that `inner` permits, and at least one more: what a child's scope must
 * be to its parent's. The empty scope is strictly within every other, and nothing is within the empty one.
 *
 * @see FORMAT §7.1
 */
export function isStrictlyContained(inner: Scope, outer: Scope): boolean {
  return isContained(inner, outer) && !isContained(outer, inner)
}

/**
 * Returns SHA-256 over the canonical texts of the grants, joined by one line feed. No text contains one, and none is
 * empty, so two scopes have the same hash only if they have the same texts.
 *
 * @see FORMAT §7.1
 */
export function scopeHash(p: Primitives, scope: Scope): Hash {
  return p.sha256(utf8Encode(scope.texts.join('\n')))
}

// The verb is the first segment of the pattern: `*` means the same for both, and a path has at least one segment more.
function toPattern(grant: Grant): PathPattern {
  return { segments: [grant.verb, ...grant.segments], tail: grant.tail }
}

function formatGrant(grant: Grant): string {
  const path = grant.segments.join('/')
  if (!grant.tail) return `${grant.verb}:${path}`
  return `${grant.verb}:${path === ANY_SEGMENT ? ANY_BELOW : `${path}/${ANY_BELOW}`}`
}

function splitWords(text: string, what: string, segmentsMax: number): Action {
  const lengthMax = (SCOPE_WORD_LENGTH_MAX + 1) * (segmentsMax + 1) - 1
  check(
    text.length <= lengthMax,
    'scope_invalid',
    `${what} is ${text.length} characters, at most ${lengthMax}`,
  )
  const dimensions = text.search(/[;?]/)
  if (dimensions >= 0) {
    const name = text.slice(dimensions + 1).replace(/[^A-Za-z0-9_-].*$/s, '')
    check(false, 'scope_invalid', `dimension "${name}" is not supported`)
  }
  const colon = text.indexOf(':')
  check(colon >= 0, 'scope_invalid', `${what} has no ":" between verb and path`)
  const segments = text.slice(colon + 1).split('/')
  check(
    segments.length <= segmentsMax,
    'scope_invalid',
    `path of the ${what} has ${segments.length} segments, at most ${segmentsMax}`,
  )
  return { verb: text.slice(0, colon), segments }
}

function checkWord(word: string, what: string): void {
  check(
    word.length <= SCOPE_WORD_LENGTH_MAX,
    'scope_invalid',
    `${what} is ${word.length} characters, at most ${SCOPE_WORD_LENGTH_MAX}`,
  )
  check(WORD.test(word), 'scope_invalid', `${what} must be ${WORD_RULE}`)
}
