/**
 * Goal: a pattern matches exactly the names that FORMAT §7.2 says, and one list of patterns contains another only if
 * no name falls under the second alone.
 * Method: the rules one by one; a naive recursive matcher; enumeration of all names over the literals of the patterns
 * and two fresh segments, over random pairs of lists. A name pattern that contains wrongly lets an agent create under
 * a name that is not its own, so the direction "says yes" is the one that must never be wrong.
 */
import { matchesName, parseNamePattern, patternContains, ProofError } from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

function matchesNaively(words: readonly string[], name: readonly string[]): boolean {
  const [word, ...restWords] = words
  if (word === undefined) return name.length === 0
  if (word === '**') return true
  const [segment, ...rest] = name
  return (
    segment !== undefined && (word === '*' || word === segment) && matchesNaively(restWords, rest)
  )
}

function allNames(alphabet: readonly string[], lengthMax: number): string[][] {
  let layer: string[][] = [[]]
  const names: string[][] = []
  for (let length = 1; length <= lengthMax; length += 1) {
    layer = layer.flatMap((name) => alphabet.map((segment) => [...name, segment]))
    names.push(...layer)
  }
  return names
}

const names = allNames(['a', 'b', 'x1', 'x2'], 5)

const patternText = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 3 }), fc.boolean())
  .map(([words, tail]) => [...words, ...(tail || words.length === 0 ? ['**'] : [])].join('/'))
  .filter((text) => text !== '*/**')

function denotes(patterns: readonly string[]): boolean[] {
  return names.map((name) => patterns.some((one) => matchesNaively(one.split('/'), name)))
}

describe('parseNamePattern', () => {
  it('reads literals, "*" and a last "**"', () => {
    expect(parseNamePattern('finance/*/audit')).toEqual({
      text: 'finance/*/audit',
      segments: ['finance', '*', 'audit'],
      tail: false,
    })
    expect(parseNamePattern('a/**')).toEqual({ text: 'a/**', segments: ['a'], tail: true })
    expect(parseNamePattern('**')).toEqual({ text: '**', segments: ['*'], tail: true })
    expect(parseNamePattern('*/*/**').segments).toEqual(['*', '*'])
    expect(parseNamePattern('1/2/3/4/5/6/7/8/**').segments).toHaveLength(8)
    const longest = `${`${'a'.repeat(63)}/`.repeat(8)}**`
    expect(parseNamePattern(longest).tail).toBe(true)
  })

  it.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    'a*',
    '***',
    '**/a',
    'a/**/b',
    'A',
    'a.b',
    'inst-abcde',
    'a/inst-',
    'trustsystem',
    'trustsystem/**',
    '1/2/3/4/5/6/7/8/9',
    '1/2/3/4/5/6/7/8/9/**',
    'a'.repeat(64),
    `${'a/'.repeat(400)}a`,
    'a\n',
  ])('refuses %j', (text) => {
    expect(() => parseNamePattern(text)).toThrow(
      expect.objectContaining({ name: 'ProofError', code: 'claim_invalid' }),
    )
  })

  it('refuses "*/**", whose one spelling is "**"', () => {
    expect(() => parseNamePattern('*/**')).toThrow(
      expect.objectContaining({ code: 'not_canonical' }),
    )
  })

  it('throws nothing but ProofError', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '*', '/', '-', 'A', '\u{1f600}') }),
        (text) => {
          try {
            parseNamePattern(text)
          } catch (error) {
            expect(error).toBeInstanceOf(ProofError)
          }
        },
      ),
    )
  })
})

describe('matchesName', () => {
  it('includes the node before "**", and compares by segments', () => {
    const pattern = parseNamePattern('fin/**')
    expect(matchesName(pattern, ['fin'])).toBe(true)
    expect(matchesName(pattern, ['fin', 'x', 'y'])).toBe(true)
    expect(matchesName(pattern, ['finance'])).toBe(false)
    expect(matchesName(parseNamePattern('fin/*'), ['fin'])).toBe(false)
  })

  it('agrees with the naive matcher on every name', () => {
    fc.assert(
      fc.property(patternText, (text) => {
        const pattern = parseNamePattern(text)
        const expected = denotes([text])
        expect(names.map((name) => matchesName(pattern, name))).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })
})

describe('patternContains', () => {
  it('agrees with enumeration, on unions', () => {
    const list = fc.array(patternText, { maxLength: 4 })
    let yes = 0
    fc.assert(
      fc.property(list, list, (outer, inner) => {
        const outerSet = denotes(outer)
        const expected = denotes(inner).every((isIn, at) => !isIn || outerSet[at] === true)
        if (expected) yes += 1
        expect(patternContains(outer.map(parseNamePattern), inner.map(parseNamePattern))).toBe(
          expected,
        )
      }),
      { numRuns: 1500 },
    )
    expect(yes).toBeGreaterThan(200)
  })

  it('is not taken in by a union that leaves a gap, and sees one that leaves none', () => {
    const contains = (outer: string[], inner: string[]) =>
      patternContains(outer.map(parseNamePattern), inner.map(parseNamePattern))
    expect(contains(['a', 'a/*/**'], ['a/**'])).toBe(true)
    expect(contains(['a', 'a/*/*/**'], ['a/**'])).toBe(false)
    expect(contains(['a/b', 'a/c'], ['a/*'])).toBe(false)
    expect(contains([], ['a'])).toBe(false)
    expect(contains([], [])).toBe(true)
  })

  it('errs towards no where only the limit of 8 segments would make it yes', () => {
    const lengths = Array.from({ length: 8 }, (_, at) => ['a', ...Array(at).fill('*')].join('/'))
    expect(patternContains(lengths.map(parseNamePattern), [parseNamePattern('a/**')])).toBe(false)
  })
})
