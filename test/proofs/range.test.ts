/**
 * Goal: a range as a file holds for exactly the entries of the log that follow each other, and has one form. Method: the
 * story of the vectors; every member changed; every bit of a small file flipped.
 */
import { describe, expect, test } from 'vitest'
import { utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import {
  formatRange,
  parseRange,
  openRange,
  RANGE_BYTES_MAX,
  type Range,
} from '../../proofs/range.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { people } from '../../proofs/vectors/generate-plot.ts'
import { anchorOf, tellStory } from '../../proofs/vectors/generate-story.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { codeOf, flipBit } from '../support/proof-code.ts'

const story = tellStory()
const { log } = story
const trust = parseTrust(p, utf8Encode(anchorOf(story)))
const range = log.range(3, 9)
const text = utf8Decode(formatRange(range))

const openCode = (one: Range): string => codeOf(() => openRange(p, one, trust))
const parseCode = (one: string): string => codeOf(() => parseRange(utf8Encode(one)))

describe('openRange', () => {
  test('holds for every range of the story, and names what it read', () => {
    for (let start = 0; start < 10; start++) {
      for (let end = start + 1; end <= 10; end++) {
        const opened = openRange(p, log.range(start, end), trust)
        expect([opened.start, opened.end, opened.head.size]).toEqual([start, end, 10])
        expect(opened.entries.map(({ index, entry }) => [index, entry.index])).toEqual(
          Array.from({ length: end - start }, (_, at) => [start + at, start + at]),
        )
      }
    }
  })

  test('refuses an entry that says another index', () => {
    const other = tellStory({
      before: { action: (told) => void told.log.entries.push(log.entries[7] ?? new Uint8Array()) },
    })
    const own = parseTrust(p, utf8Encode(anchorOf(other)))
    expect(codeOf(() => openRange(p, other.log.range(6, 9), own))).toBe('index_mismatch')
  })

  test('takes an entry of an unknown kind, and refuses an unknown version', () => {
    const motion = tellStory()
    motion.log.append({
      kind: 'motion',
      by: people.operator,
      header: { iss: `operator:${people.operator.kid}`, sub: 'log' },
      payload: {},
      prepared: new Map(),
      outcome: new Map([[0, 'moved']]),
      subjects: ['log'],
      timeMs: motion.timeMs,
    })
    const own = parseTrust(p, utf8Encode(anchorOf(motion)))
    const [last] = openRange(p, motion.log.range(10, 11), own).entries
    expect([last?.entry.kind, last?.entry.known]).toEqual(['motion', false])
    const bytes = motion.log.entries[10] ?? new Uint8Array()
    motion.log.entries[10] = bytes.with(2, 2)
    const changed = parseTrust(p, utf8Encode(anchorOf(motion)))
    expect(codeOf(() => openRange(p, motion.log.range(10, 11), changed))).toBe('version_unknown')
  })

  test('refuses every flipped bit of entries, path and start', () => {
    const small = log.range(2, 4)
    for (const [at, entry] of small.entries.entries()) {
      // One bit of each byte: all of them take a minute.
      for (let bit = 0; bit < entry.length * 8; bit += 7) {
        const entries = small.entries.with(at, flipBit(entry, bit))
        expect(openCode({ ...small, entries })).toBe('inclusion_mismatch')
      }
    }
    for (const [at, node] of small.path.entries()) {
      for (let bit = 0; bit < 256; bit += 1) {
        const path = small.path.with(at, flipBit(node, bit))
        expect(openCode({ ...small, path })).toBe('inclusion_mismatch')
      }
    }
    for (let bit = 0; bit < 53; bit += 1) {
      const start = Number(BigInt(small.start) ^ (1n << BigInt(bit)))
      expect(openCode({ ...small, start })).toMatch(/^(inclusion_mismatch|malformed)$/)
    }
  })
})

describe('parseRange', () => {
  test('gives back what formatRange wrote', () => {
    expect(parseRange(utf8Encode(text))).toEqual(range)
  })

  test.each([
    ['malformed', 'null'],
    ['malformed', '[]'],
    ['malformed', '{}'],
    ['version_unknown', text.replace('range/1', 'range/2')],
    ['malformed', text.replace(',"start":3', '')],
    ['malformed', text.replace('"start":3', '"start":-3')],
    ['malformed', text.replace('"start":3', '"start":"3"')],
    ['malformed', text.replace('"start":3', '"start":3,"start":3')],
    ['malformed', text.replace('{', '{"end":9,')],
    ['malformed', text.replace(/"entries":\[[^\]]*\]/, '"entries":[]')],
    ['malformed', text.replace(/"entries":\[[^\]]*\]/, '"entries":[1]')],
    ['malformed', text.replace(/"path":\[[^\]]*\]/, '"path":["AA"]')],
    ['malformed', text.replace(/"path":\[[^\]]*\]/, '"path":{}')],
    ['too_large', text.replace(/"path":\[[^\]]*\]/, `"path":[${Array(105).fill('""').join()}]`)],
    ['too_large', text.replace(/"entries":\[[^\]]*\]/, `"entries":["${'A'.repeat(87_384)}"]`)],
    ['malformed', text.replace(/"head":"[^"]*"/, '"head":1')],
    ['malformed', `${text}x`],
  ])('is %s: case %#', (code, one) => {
    expect(parseCode(one)).toBe(code)
  })

  test('reads 16 MiB and no more', () => {
    const long = text + ' '.repeat(RANGE_BYTES_MAX - utf8Encode(text).length)
    expect([parseCode(long), parseCode(`${long} `)]).toEqual(['accepted', 'too_large'])
  })
})
