/**
 * @module The decision whether a child's scope is a strict subset of its parent's, written a second time (invariants 4
 * and 8): the kit expands patterns and compares them one by one; here each scope is an automaton, and a search looks
 * for an action that one accepts and the other does not. Only the grammar is shared with the kit.
 */
import { parseAction, parseScope } from '@trustwarden/proofs'
import { memoized } from '../memo.ts'

/**
 * A state of a scope's automaton: before one word of one grant (the verb is the first word), or behind its last word,
 * where an action may end. States are compared by identity.
 */
type State =
  | { readonly word: string; readonly next: State }
  | { readonly word: undefined; readonly tail: boolean }

/** A state of one scope, and every state that the other can be in after the same words. */
interface Pair {
  readonly state: State
  readonly others: ReadonlySet<State>
}

const ANY = '*'

/** Stands for every word that no grant names. No word of a grant or action is empty. */
const UNNAMED = ''

/**
 * Returns whether `parent` permits every action that `child` permits, and at least one more.
 *
 * @param child - Grants in canonical form, as `parent`.
 * @throws {ProofError} `scope_invalid` or `not_canonical` if either cannot be read.
 */
export function isStrictSubset(child: readonly string[], parent: readonly string[]): boolean {
  const inner = parseScope(child).texts.map(compile)
  const outer = parseScope(parent).texts.map(compile)
  return !hasActionOutside(inner, outer) && hasActionOutside(outer, inner)
}

/**
 * Returns whether `scope` permits `action`.
 *
 * @param scope - Grants in canonical form.
 * @throws {ProofError} `scope_invalid` or `not_canonical` if either cannot be read.
 */
export function scopeAllows(scope: readonly string[], action: string): boolean {
  parseAction(action)
  return readGrants(scope).some((grant) => grant.test(action))
}

/** Once for each scope: an agent is asked about as long as it is remembered, with the same one. */
const readGrants = memoized((scope: readonly string[]) => parseScope(scope).texts.map(toRegExp))

// Of the characters of a grant, only `.` and `*` mean something to a regular expression.
function toRegExp(grant: string): RegExp {
  const [verb = '', path = ''] = grant.split(':')
  const below = path.replace(/(^|\/)\*\*$/, '')
  const tail = below === path ? '' : below === '' ? '[^/:]+(/[^/:]+)*' : '(/[^/:]+)*'
  const words = `${verb}:${below}`.replaceAll('.', '\\.').replaceAll(ANY, '[^/:]+')
  return new RegExp(`^${words}${tail}$`)
}

// Returns the state before the verb.
function compile(grant: string): State {
  const words = grant.replace(':', '/').split('/')
  const tail = words.at(-1) === '**'
  if (tail) words.pop()
  // A path has at least one segment, so a tail directly behind the verb begins with any one word.
  if (words.length === 1) words.push(ANY)
  return words.reduceRight<State>((next, word) => ({ word, next }), { word: undefined, tail })
}

/**
 * Returns whether some action is accepted by `inner` and not by `outer`: inclusion of automata by antichains (De Wulf,
 * Doyen, Henzinger and Raskin, CAV 2006).
 *
 * Of two pairs with the same state, the one with fewer states of `outer` finds every action that the other finds. So a
 * pair is followed only if none followed before has a subset of its states: without that, their number would grow
 * exponentially with the length of the grants.
 */
function hasActionOutside(inner: readonly State[], outer: readonly State[]): boolean {
  const pending: Pair[] = inner.map((state) => ({ state, others: new Set(outer) }))
  const followed = new Map<State, ReadonlySet<State>[]>()
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const { state, others } = pair
    const known = followed.get(state) ?? []
    if (known.some((set) => isSubset(set, others))) continue
    if (isEnd(state) && ![...others].some(isEnd)) return true
    followed.set(state, [...known.filter((set) => !isSubset(others, set)), others])
    for (const word of wordsWorthTrying(state, others)) {
      const next = step(state, word)
      if (next !== undefined) pending.push({ state: next, others: stepAll(others, word) })
    }
  }
  return false
}

// The unnamed word comes last, so that it is followed first: it leaves `outer` the fewest states.
function wordsWorthTrying(state: State, others: ReadonlySet<State>): readonly string[] {
  if (state.word !== undefined && state.word !== ANY) return [state.word]
  const named = new Set<string>()
  for (const { word } of others) if (word !== undefined && word !== ANY) named.add(word)
  return [...named, UNNAMED]
}

function step(state: State, word: string): State | undefined {
  if (state.word === undefined) return state.tail ? state : undefined
  return state.word === ANY || state.word === word ? state.next : undefined
}

function stepAll(states: ReadonlySet<State>, word: string): ReadonlySet<State> {
  const next = new Set<State>()
  for (const state of states) {
    const after = step(state, word)
    if (after !== undefined) next.add(after)
  }
  return next
}

function isEnd(state: State): boolean {
  return state.word === undefined
}

function isSubset(inner: ReadonlySet<State>, outer: ReadonlySet<State>): boolean {
  if (inner.size > outer.size) return false
  for (const state of inner) if (!outer.has(state)) return false
  return true
}
