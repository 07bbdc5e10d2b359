/**
 * Goal: the service's own decision about scopes agrees with the kit's where enumeration does not reach: long grants,
 * many of them, many literals; and hostile scopes do not make it expensive.
 * Method: random pairs of up to 16 segments, half derived from each other, decided by both; where the service says no,
 * the kit's `covers` must confirm an action that tells the two apart if sampling finds one. Then the shapes that make
 * a search over sets of states grow exponentially when it is done without antichains.
 */
import {
  canonicalScope,
  covers,
  isStrictlyContained,
  parseAction,
  parseScope,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isStrictSubset, scopeAllows } from '../../src/identity/scope.ts'

const word = fc.constantFrom('a', 'b', 'c.d', '*', '*', '*')
const grant = fc
  .tuple(
    fc.constantFrom('read', 'pay', '*'),
    fc.array(word, { minLength: 1, maxLength: 15 }),
    fc.boolean(),
  )
  .map(([verb, words, tail]) => `${verb}:${[...words, ...(tail ? ['**'] : [])].join('/')}`)
const list = fc.array(grant, { maxLength: 12 })
const subset = fc
  .tuple(list, fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }))
  .map(([scope, keep]) => [scope.filter((_, at) => keep[at]), scope] as const)

// Every `*` of a grant replaced by a value: an action that the grant covers.
function sample(text: string, value: string, further: number): string {
  const [verb = '', path = ''] = text.split(':')
  const words = path.split('/').filter((one) => one !== '**')
  const segments = words.map((one) => (one === '*' ? value : one))
  const below = path.endsWith('**') ? Array<string>(further).fill(value) : []
  const all = [...segments, ...below]
  return `${verb === '*' ? value : verb}:${(all.length === 0 ? [value] : all).join('/')}`
}

describe('isStrictSubset', () => {
  it('agrees with the kit on long grants', () => {
    let yes = 0
    fc.assert(
      fc.property(fc.oneof(fc.tuple(list, list), subset), ([left, right]) => {
        const [a, b] = [canonicalScope(left), canonicalScope(right)]
        const verdict = isStrictlyContained(parseScope(a), parseScope(b))
        expect(isStrictSubset(a, b)).toBe(verdict)
        if (verdict) yes += 1
        for (const text of verdict ? a : []) {
          for (const [value, further] of [
            ['z', 0],
            ['z', 1],
            ['a', 2],
          ] as const) {
            const action = sample(text, value, further)
            expect(scopeAllows(a, action)).toBe(true)
            expect(scopeAllows(b, action)).toBe(true)
            expect(covers(parseScope(b), parseAction(action))).toBe(true)
          }
        }
      }),
      { numRuns: 1500 },
    )
    expect(yes).toBeGreaterThan(200)
  })

  it('decides the shapes on which a search without antichains would not end', () => {
    // Each position offers four literals, each of which keeps another part of the parent's grants alive.
    const parent = Array.from({ length: 60 }, (_, at) => {
      const words = Array<string>(16).fill('*')
      words[at % 15] = `l${at}`
      return `read:${words.join('/')}`
    })
    const child = [`read:${Array(16).fill('*').join('/')}`]
    expect(isStrictSubset(child, canonicalScope(parent))).toBe(false)
    expect(isStrictSubset(canonicalScope(parent), child)).toBe(true)
    const tails = Array.from({ length: 64 }, (_, at) => {
      const words = Array<string>(15).fill('*')
      words[at % 14] = `l${at}`
      return `read:${words.join('/')}/**`
    })
    const wider = canonicalScope([...tails.slice(0, 63), 'pay:**'])
    expect(isStrictSubset(canonicalScope(tails.slice(0, 63)), wider)).toBe(true)
    expect(isStrictSubset(wider, canonicalScope(tails))).toBe(false)
  })
})
