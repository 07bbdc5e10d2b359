/**
 * Goal: the grammar of scopes is read strictly and in one form, and containment is decided exactly on what scopes
 * denote (invariant 4), by the kit and by the service alike.
 * Method: every verdict is compared with ENUMERATION: a naive recursive matcher (written here, sharing nothing) applied
 * to all actions over the literals of both scopes and two fresh values for verb and segment, up to two segments longer
 * than the longest grant. First exhaustively over a small grammar, then over thousands of random pairs, half of which
 * are derived from each other, since independent ones are rarely contained.
 */
import { createHash } from 'node:crypto'
import {
  ACTION_SEGMENTS_MAX,
  canonicalScope,
  covers,
  isContained,
  isStrictlyContained,
  noblePrimitives,
  parseAction,
  parseGrant,
  parseScope,
  ProofError,
  SCOPE_GRANTS_MAX,
  scopeHash,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isStrictSubset, scopeAllows } from '../../src/identity/scope.ts'

const VERBS = ['r', 'w', 'x1', 'x2']
const SEGMENTS = ['a', 'b', 'x1', 'x2']
const LENGTH_MAX = 3

function matchesPathNaively(words: readonly string[], path: readonly string[]): boolean {
  const [word, ...restWords] = words
  if (word === undefined) return path.length === 0
  if (word === '**') return true
  const [segment, ...rest] = path
  if (segment === undefined) return false
  return (word === '*' || word === segment) && matchesPathNaively(restWords, rest)
}

interface Sample {
  readonly verb: string
  readonly path: readonly string[]
  readonly text: string
}

function allActions(segmentsMax: number): readonly Sample[] {
  const samples: Sample[] = []
  let layer: string[][] = [[]]
  for (let length = 1; length <= segmentsMax; length += 1) {
    layer = layer.flatMap((path) => SEGMENTS.map((segment) => [...path, segment]))
    for (const verb of VERBS) {
      for (const path of layer) samples.push({ verb, path, text: `${verb}:${path.join('/')}` })
    }
  }
  return samples
}

// 4 verbs × (4 + 16 + … + 4^5) paths.
const actions = allActions(LENGTH_MAX + 2)
const denotations = new Map<string, Uint8Array>()

function denotationOf(grant: string): Uint8Array {
  let bits = denotations.get(grant)
  if (bits === undefined) {
    const [verb, path = ''] = grant.split(':')
    const words = path.split('/')
    bits = Uint8Array.from(actions, (action) =>
      Number((verb === '*' || verb === action.verb) && matchesPathNaively(words, action.path)),
    )
    denotations.set(grant, bits)
  }
  return bits
}

function denotes(scope: readonly string[]): Uint8Array {
  const union = new Uint8Array(actions.length)
  for (const grant of scope) {
    const bits = denotationOf(grant)
    for (let at = 0; at < bits.length; at += 1) if (bits[at] === 1) union[at] = 1
  }
  return union
}

function relation(inner: Uint8Array, outer: Uint8Array): { within: boolean; strictly: boolean } {
  let within = true
  let more = false
  for (let at = 0; at < inner.length; at += 1) {
    if (inner[at] === 1 && outer[at] === 0) within = false
    if (inner[at] === 0 && outer[at] === 1) more = true
  }
  return { within, strictly: within && more }
}

const pathText = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', '*', '*'), { maxLength: LENGTH_MAX }), fc.boolean())
  .map(([words, tail]) => [...words, ...(tail || words.length === 0 ? ['**'] : [])].join('/'))
const grantText = fc
  .tuple(fc.constantFrom('r', 'r', 'w', '*'), pathText)
  .map(([verb, path]) => `${verb}:${path}`)
const list = fc.array(grantText, { maxLength: 5 })

/** Replaces a grant by several that denote the same or a little less, so that unions decide. */
function split(grant: string, choice: number): readonly string[] {
  const [verb = '', path = ''] = grant.split(':')
  const words = path.split('/')
  if (choice === 0 || words.at(-1) !== '**') return choice === 3 ? [] : [grant]
  const prefix = words.slice(0, -1)
  const node = prefix.length === 0 ? ['*'] : prefix
  if (node.length >= LENGTH_MAX) return [grant]
  const below = `${verb}:${[...node, '*', '**'].join('/')}`
  return choice === 1 ? [`${verb}:${node.join('/')}`, below] : [below]
}

const derived = fc
  .tuple(
    list,
    fc.array(fc.nat(3), { minLength: 5, maxLength: 5 }),
    fc.array(grantText, { maxLength: 1 }),
  )
  .map(([scope, choices, added]) => {
    const inner = scope.flatMap((grant, at) => split(grant, choices[at] ?? 0))
    return [[...inner, ...added], scope] as const
  })
const pair = fc.oneof(fc.tuple(list, list), derived)

describe('containment', () => {
  it('agrees with enumeration, in kit and service, over thousands of random pairs', () => {
    const seen = { strict: 0, equal: 0, apart: 0 }
    fc.assert(
      fc.property(pair, ([left, right]) => {
        const [a, b] = [canonicalScope(left), canonicalScope(right)]
        const [inner, outer] = [parseScope(a), parseScope(b)]
        const { within, strictly } = relation(denotes(left), denotes(right))
        expect(isContained(inner, outer)).toBe(within)
        expect(isStrictlyContained(inner, outer)).toBe(strictly)
        expect(isStrictSubset(a, b)).toBe(strictly)
        seen[strictly ? 'strict' : within ? 'equal' : 'apart'] += 1
      }),
      { numRuns: 6000 },
    )
    // Each verdict was put to the test, not only the common one.
    expect(Math.min(seen.strict, seen.equal, seen.apart)).toBeGreaterThan(200)
  })

  it('agrees with enumeration over every pair of up to two grants of a small grammar', () => {
    const paths = [
      'a',
      '*',
      'a/a',
      'a/*',
      '*/a',
      '*/*',
      '**',
      'a/**',
      'a/a/**',
      'a/*/**',
      '*/a/**',
      '*/*/**',
    ]
    const grants = paths.map((path) => `r:${path}`)
    const scopes = [
      [],
      ...grants.flatMap((one, at) => grants.slice(at).map((other) => [one, other])),
    ]
      .map((scope) => canonicalScope(scope))
      .map((texts) => ({ texts, scope: parseScope(texts), bits: denotes(texts) }))
    const wrong: string[] = []
    for (const a of scopes) {
      for (const b of scopes) {
        const { within, strictly } = relation(a.bits, b.bits)
        const isRight =
          isContained(a.scope, b.scope) === within &&
          isStrictlyContained(a.scope, b.scope) === strictly &&
          isStrictSubset(a.texts, b.texts) === strictly
        if (!isRight) wrong.push(`${a.texts.join()} in ${b.texts.join()}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it.each([
    [['r:x', 'r:x/*/**'], ['r:x/**'], false],
    [['r:x'], ['r:x/**'], true],
    [['r:**'], ['*:**'], true],
    [['*:**'], ['*:**'], false],
    [['r:*', 'r:*/*/**'], ['r:**'], false],
    [['r:a', 'w:a'], ['*:a'], true],
    [['*:a'], ['r:a', 'w:a'], false],
    [['r:a'], ['r:a', 'r:b'], true],
    [['r:fin/**'], ['r:finance/**'], false],
    [[], ['r:a'], true],
    [[], [], false],
    [['r:a'], [], false],
  ] as const)('%j strictly within %j: %j', (child, parent, expected) => {
    expect(isStrictlyContained(parseScope(child), parseScope(parent))).toBe(expected)
    expect(isStrictSubset(child, parent)).toBe(expected)
  })

  it('has a writable action for every difference: lengths that reach the limit are told apart', () => {
    const lengths = Array.from(
      { length: 16 },
      (_, at) => `r:${['a', ...Array(at).fill('*')].join('/')}`,
    )
    const child = parseScope(canonicalScope(lengths))
    const parent = parseScope(['r:a/**'])
    expect(isStrictlyContained(child, parent)).toBe(true)
    const witness = parseAction(`r:${['a', ...Array(16).fill('b')].join('/')}`)
    expect(covers(parent, witness)).toBe(true)
    expect(covers(child, witness)).toBe(false)
    expect(witness.segments.length).toBeLessThanOrEqual(ACTION_SEGMENTS_MAX)
  })
})

describe('covers', () => {
  it('agrees with the naive matcher and with the service on every action', () => {
    fc.assert(
      fc.property(list, fc.nat(actions.length - 1), (grants, start) => {
        const texts = canonicalScope(grants)
        const scope = parseScope(texts)
        const bits = denotes(grants)
        const wrong: string[] = []
        for (let step = 0; step < 200; step += 1) {
          const at = (start + step * 37) % actions.length
          const text = actions[at]?.text ?? ''
          const expected = bits[at] === 1
          if (covers(scope, parseAction(text)) !== expected) wrong.push(`kit: ${text}`)
          if (scopeAllows(texts, text) !== expected) wrong.push(`service: ${text}`)
        }
        expect(wrong, texts.join()).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('takes a dot for a dot', () => {
    const scope = ['r:a.b/*', 'r:v1.0/**']
    for (const [action, expected] of [
      ['r:a.b/c', true],
      ['r:axb/c', false],
      ['r:v1.0', true],
      ['r:v1x0', false],
    ] as const) {
      expect(covers(parseScope(scope), parseAction(action))).toBe(expected)
      expect(scopeAllows(scope, action)).toBe(expected)
    }
  })
})

describe('grammar', () => {
  it('reads verbs, segments, "*" and a last "**"', () => {
    expect(parseGrant('read:reports/*/x')).toEqual({
      verb: 'read',
      segments: ['reports', '*', 'x'],
      tail: false,
    })
    expect(parseGrant('*:a/**')).toEqual({ verb: '*', segments: ['a'], tail: true })
    expect(parseGrant('r:**')).toEqual({ verb: 'r', segments: ['*'], tail: true })
    expect(parseGrant('r:*/**')).toEqual(parseGrant('r:**'))
    expect(parseAction('read:transactions')).toEqual({ verb: 'read', segments: ['transactions'] })
    const word = 'a'.repeat(64)
    expect(parseGrant(`${word}:${Array(16).fill(word).join('/')}`).segments).toHaveLength(16)
    expect(parseAction(`r:${Array(32).fill(word).join('/')}`).segments).toHaveLength(32)
  })

  const invalid = [
    '',
    ':',
    'read',
    'read:',
    ':a',
    'r:a/',
    'r:/a',
    'r:a//b',
    'r:.',
    'r:..',
    'r:a/../b',
    'R:a',
    'r:A',
    'r:a b',
    'r:a%62',
    'r:é',
    'r:a:b',
    'r:-a',
    'r:_a',
    'r:a\n',
    'r:a\u0000',
    `${'a'.repeat(65)}:a`,
    `r:${'a'.repeat(65)}`,
    'a'.repeat(5000),
    'r: a',
  ]

  it.each([
    ...invalid,
    '**:a',
    'r*:a',
    'r:a*',
    'r:***',
    'r:**/a',
    'r:a/**/b',
    `r:${'a/'.repeat(16)}a`,
    `r:${'a/'.repeat(16)}**`,
  ])('refuses the grant %j', (text) => {
    const refusal = expect.objectContaining({ name: 'ProofError', code: 'scope_invalid' })
    expect(() => parseGrant(text)).toThrow(refusal)
    expect(() => parseScope([text])).toThrow(refusal)
    expect(() => isStrictSubset([text], ['*:**'])).toThrow(refusal)
    expect(() => isStrictSubset([], [text])).toThrow(refusal)
    expect(() => scopeAllows([text], 'r:a')).toThrow(refusal)
  })

  it.each([...invalid, '*:a', 'r:*', 'r:a/**', `r:${'a/'.repeat(32)}a`])(
    'refuses the action %j',
    (text) => {
      const refusal = expect.objectContaining({ name: 'ProofError', code: 'scope_invalid' })
      expect(() => parseAction(text)).toThrow(refusal)
      expect(() => scopeAllows([], text)).toThrow(refusal)
    },
  )

  it.each([
    ['pay:invoices;amount<=100', 'amount'],
    ['pay:invoices?rate=5', 'rate'],
    ['pay:**;time', 'time'],
    ['pay:a;', ''],
    ['pay:a;é\nx', ''],
  ])('refuses the dimension of %j by name', (text, name) => {
    expect(() => parseGrant(text)).toThrow(`dimension "${name}" is not supported`)
    expect(() => parseAction(text)).toThrow(`dimension "${name}" is not supported`)
  })

  it('throws nothing but ProofError', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('a', '*', '/', ':', ';', '.', 'A') }),
    )
    fc.assert(
      fc.property(fc.array(text, { maxLength: 3 }), (texts) => {
        for (const run of [
          () => canonicalScope(texts),
          () => parseScope(texts),
          () => texts.map(parseAction),
        ]) {
          try {
            run()
          } catch (error) {
            expect(error).toBeInstanceOf(ProofError)
          }
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('canonical form', () => {
  it('is a fixed point that denotes the same, and nothing else is read', () => {
    fc.assert(
      fc.property(list, (grants) => {
        const texts = canonicalScope(grants)
        expect(canonicalScope(texts)).toEqual(texts)
        expect(canonicalScope(grants.toReversed())).toEqual(texts)
        expect(parseScope(texts).texts).toEqual(texts)
        expect(Buffer.compare(denotes(texts), denotes(grants))).toBe(0)
        if (JSON.stringify(grants) !== JSON.stringify(texts)) {
          expect(() => parseScope(grants)).toThrow(
            expect.objectContaining({ code: 'not_canonical' }),
          )
        }
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    [
      ['r:b', 'r:a'],
      ['r:a', 'r:b'],
    ],
    [['r:a', 'r:a'], ['r:a']],
    [['r:*/**'], ['r:**']],
    [['r:a', 'r:*'], ['r:*']],
    [['r:a', 'r:a/**'], ['r:a/**']],
    [['r:a/**', 'r:a/b/**'], ['r:a/**']],
    [['r:a', '*:a'], ['*:a']],
    [['r:*/**', 'r:**'], ['r:**']],
    [[], []],
  ])('%j becomes %j', (given, expected) => expect(canonicalScope(given)).toEqual(expected))

  it('takes 64 grants and refuses 65', () => {
    const grants = Array.from({ length: SCOPE_GRANTS_MAX + 1 }, (_, at) => `r:a${at}`)
    expect(parseScope(canonicalScope(grants.slice(1))).grants).toHaveLength(64)
    expect(() => canonicalScope(grants)).toThrow(expect.objectContaining({ code: 'scope_invalid' }))
  })

  it('is hashed as its texts joined by line feeds', () => {
    const texts = ['pay:invoices/**', 'read:**']
    const expected = createHash('sha256').update('pay:invoices/**\nread:**').digest()
    expect(Buffer.from(scopeHash(noblePrimitives, parseScope(texts)))).toEqual(expected)
    const empty = createHash('sha256').digest()
    expect(Buffer.from(scopeHash(noblePrimitives, parseScope([])))).toEqual(empty)
  })
})
