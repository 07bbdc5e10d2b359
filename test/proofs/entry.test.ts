/**
 * Goal: an entry has one encoding, and decodes only in the form of its kind. Method: one right entry of each kind, round
 * trip and against bytes written by hand; each rule of FORMAT §5 and each column of §6 broken once, by name; every bit
 * flipped; the table of kinds against FORMAT.md itself; arbitrary CBOR.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64url } from '../../proofs/bytes.ts'
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from '../../proofs/cbor.ts'
import {
  decodeEntry,
  encodeEntry,
  type Entry,
  type EntryFields,
  type Link,
  parseEntryStatement,
} from '../../proofs/entry.ts'
import { KINDS } from '../../proofs/kinds.ts'
import {
  ACTION_EVENT,
  CHILD_RECORD,
  DECISION,
  ERASURE,
  GENESIS,
  KEY_ROTATE,
  MEMBER_ENROLL,
  OPERATOR_CLOCK,
  OPERATOR_ENROLL,
  OWNER,
  OWNER_ENROLL,
  POLICY_ACTIVATE,
  REVOKE,
  ROOT_RECORD,
  type Sample,
  sampled,
} from '../support/payloads.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'
import { CHILD, CHILD_NAME, PARENT } from '../support/statement-signer.ts'

const HASH = new Uint8Array(32).fill(8)
const ID = toBase64url(new Uint8Array(16))
const VERDICT: CborValue = ['allow', [], ['rule'], []]
const link = (subject: string, seq = 0): Link => ({
  subject,
  seq,
  previous: seq === 0 ? null : { index: 8, leafHash: HASH },
})
const INST = `inst:${CHILD}`
const AGENT = `agent:${CHILD_NAME}`
const agentLinks = [link(INST), link(AGENT, 3), link(OWNER, 4)]

type Fields = readonly (readonly [number, CborValue])[]

function entryOf(
  kind: string,
  sample: Sample,
  links: readonly Link[],
  outcome: Fields,
  prepared: Fields = [],
): EntryFields {
  return {
    index: 9,
    kind,
    timeMs: 1_800_000_000_123,
    media: 'application/jose',
    statement: sampled(sample).bytes,
    prepared: new Map([[0, 7], ...prepared]),
    outcome: new Map(outcome),
    links,
  }
}

const PROPOSAL: Fields = [
  [0, 'pending'],
  [1, 1],
  [2, 2],
]
const REVOKED: Fields = [
  [0, 'revoked'],
  [1, 1],
  [2, HASH],
]
const NEW: Fields = [[15, 'new']]
const PREPARED: Fields = [
  [1, ID],
  [2, HASH],
  [3, 1],
  [4, HASH],
  [5, 0],
  [6, VERDICT],
  [7, true],
  [8, 3],
]
const CERTIFICATE: Fields = [[1, Uint8Array.of(1)]]
const ISSUED: Fields = [
  [0, 'issued'],
  [1, 5],
]
const DENIED: Fields = [[0, 'deny'], [1, ['r']], ...NEW]
const MATCHED: Fields = [[0, 'matched'], [1, 8], ...NEW]
const decision = entryOf('decision', DECISION, agentLinks, DENIED, PREPARED)
const action = entryOf('action', ACTION_EVENT, agentLinks, MATCHED)
const issue = entryOf('agent.issue', ROOT_RECORD, agentLinks, ISSUED, CERTIFICATE)
const clock = entryOf('operator.clock', OPERATOR_CLOCK, [link('log', 9)], [[0, 'accepted']])
const childLinks = [link(INST), link(`inst:${PARENT}`, 2), link(AGENT), link(OWNER, 1)]

const GOOD: readonly EntryFields[] = [
  {
    ...entryOf('genesis', GENESIS, [link('log')], [[0, 'created']]),
    index: 0,
    prepared: new Map([[0, 0]]),
  },
  entryOf('operator.enroll', OPERATOR_ENROLL, [link('log', 9)], PROPOSAL),
  entryOf('owner.enroll', OWNER_ENROLL, [link(OWNER), link('log', 9)], PROPOSAL),
  entryOf('member.enroll', MEMBER_ENROLL, [link('log', 9)], PROPOSAL),
  entryOf('policy.activate', POLICY_ACTIVATE, [link('policy', 1), link('log', 9)], PROPOSAL),
  entryOf('key.rotate', KEY_ROTATE, [link('log', 9)], PROPOSAL),
  clock,
  issue,
  entryOf('agent.issue', CHILD_RECORD, childLinks, [...ISSUED, ...NEW], CERTIFICATE),
  entryOf('agent.refuse', ROOT_RECORD, [link(OWNER, 1)], [[0, 'life_too_short']]),
  entryOf(
    'agent.refuse',
    CHILD_RECORD,
    [link(`inst:${PARENT}`, 1), link(OWNER, 1)],
    [[0, 'revoked'], ...NEW],
  ),
  entryOf('agent.revoke', REVOKE, agentLinks, REVOKED),
  entryOf('agent.revoke', REVOKE, agentLinks.slice(1), REVOKED),
  entryOf('agent.revoke', REVOKE, agentLinks.slice(2), REVOKED),
  decision,
  entryOf(
    'decision',
    DECISION,
    agentLinks,
    [
      [0, 'allow'],
      [1, []],
      [2, 5],
      [15, 'old'],
    ],
    PREPARED,
  ),
  action,
  entryOf('action', ACTION_EVENT, agentLinks, [
    [0, 'absent'],
    [15, 'repeated'],
  ]),
  entryOf(
    'erasure',
    ERASURE,
    [link('log', 9)],
    [
      [0, 'erased'],
      [1, 4],
    ],
  ),
]

describe('round trip', () => {
  test.each(GOOD.map((entry) => [entry.kind, entry] as const))('%s', (_, entry) => {
    const bytes = encodeEntry(entry)
    const decoded = decodeEntry(bytes)
    expect(decoded).toEqual({ ...entry, version: 1, known: true })
    expect(encodeEntry(decoded)).toEqual(bytes)
    expect(parseEntryStatement(decoded).bytes).toEqual(entry.statement)
  })

  test('the bytes of FORMAT §5.1', () => {
    const entry: EntryFields = { ...clock, index: 1, timeMs: 2, statement: Uint8Array.of(3) }
    const links = [link('log')]
    const bytes = encodeEntry({ ...entry, prepared: new Map([[0, 1]]), links })
    const expected =
      'a80001010102' +
      `6e${Buffer.from('operator.clock').toString('hex')}` +
      `03020482` +
      `70${Buffer.from('application/jose').toString('hex')}4103` +
      `05a10001` +
      `06a10068${Buffer.from('accepted').toString('hex')}` +
      `07818363${Buffer.from('log').toString('hex')}00f6`
    expect(Buffer.from(bytes).toString('hex')).toBe(expected)
  })

  test('every kind has a sample', () => {
    expect(new Set(GOOD.map(({ kind }) => kind))).toEqual(new Set(KINDS.keys()))
  })
})

test('the table of kinds is the one of FORMAT §6', () => {
  const format = readFileSync(new URL('../../proofs/FORMAT.md', import.meta.url), 'utf8')
  const rows = [...format.matchAll(/^\| `([a-z.]+)` \| `([a-z.]+)` \| (?!.*\n.*===)/gm)]
  const table = rows.map(([, kind, type]) => [kind, type])
  expect(table).toEqual([...KINDS].map(([kind, { type }]) => [kind, type]))
})

function patch(
  map: CborMap,
  fields: readonly (readonly [number, CborValue | undefined])[],
): CborMap {
  const all = new Map<string | number, CborValue | undefined>([...map, ...fields])
  return new Map([...all].flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])))
}

/** What decoding gives for the encoding of a map, whatever is in it. */
function codeOfMap(
  fields: readonly (readonly [number, CborValue | undefined])[],
  base = clock,
): string {
  const map = decodeCbor(encodeEntry(base)) as CborMap
  return codeOf(() => decodeEntry(encodeCbor(patch(map, fields))))
}

describe('what all entries share', () => {
  const statement = clock.statement
  const links = (...all: CborValue[]): [number, CborValue] => [7, all]
  const four = ['log', 'policy', OWNER, AGENT].map((subject) => [subject, 0, null])
  test.each<[string, (readonly [number, CborValue | undefined])[], string]>([
    ['good', [], 'accepted'],
    ['version 2', [[0, 2]], 'version_unknown'],
    [
      'version 2 with other keys',
      [
        [0, 2],
        [9, 1],
      ],
      'version_unknown',
    ],
    ['no version', [[0, undefined]], 'malformed'],
    ['no outcome', [[6, undefined]], 'malformed'],
    ['a ninth key', [[8, 1]], 'malformed'],
    ['index negative', [[1, -1]], 'malformed'],
    ['kind a number', [[2, 1]], 'malformed'],
    ['kind in capitals', [[2, 'Genesis']], 'malformed'],
    ['kind too long', [[2, 'a'.repeat(65)]], 'malformed'],
    ['time text', [[3, 'now']], 'malformed'],
    ['statement without media', [[4, [statement]]], 'malformed'],
    ['statement text', [[4, ['application/jose', 'x']]], 'malformed'],
    ['another media type', [[4, ['text/plain', statement]]], 'malformed'],
    ['COSE', [[4, ['application/cose', statement]]], 'accepted'],
    ['statement over 32 KiB', [[4, ['application/jose', new Uint8Array(32_769)]]], 'too_large'],
    ['statement of 32 KiB', [[4, ['application/jose', new Uint8Array(32_768)]]], 'accepted'],
    ['prepared an array', [[5, []]], 'malformed'],
    ['prepared without a size', [[5, new Map()]], 'malformed'],
    ['prepared at a size above the index', [[5, new Map([[0, 10]])]], 'malformed'],
    ['prepared at the index', [[5, new Map([[0, 9]])]], 'accepted'],
    ['outcome no word', [[6, new Map([[0, 1]])]], 'malformed'],
    ['no link', [links()], 'malformed'],
    ['five links', [links(...four, [INST, 0, null])], 'malformed'],
    ['link of two', [links(['log', 0])], 'malformed'],
    ['link without a subject', [links([1, 0, null])], 'malformed'],
    ['link of no subject', [links(['logs', 0, null])], 'claim_invalid'],
    ['link number negative', [links(['log', -1, null])], 'malformed'],
    ['previous of one', [links(['log', 9, [8]])], 'malformed'],
    ['previous hash short', [links(['log', 9, [8, new Uint8Array(31)]])], 'malformed'],
    ['number 0 with a previous entry', [links(['log', 0, [8, HASH]])], 'chain_mismatch'],
    ['number 1 without', [links(['log', 1, null])], 'chain_mismatch'],
    ['previous at the own index', [links(['log', 9, [9, HASH]])], 'chain_mismatch'],
    ['more entries in the chain than in the log', [links(['log', 5, [3, HASH]])], 'chain_mismatch'],
    ['as many entries in the chain as in the log', [links(['log', 4, [3, HASH]])], 'accepted'],
  ])('%s', (_, fields, code) => expect(codeOfMap(fields)).toBe(code))

  test('a subject twice', () => {
    const twice = [
      ['log', 0, null],
      ['log', 0, null],
    ]
    expect(
      codeOfMap([
        [2, 'reserved.kind'],
        [7, twice],
      ]),
    ).toBe('malformed')
  })

  test('no map, bytes after it, and over 65,535 bytes', () => {
    expect(codeOf(() => decodeEntry(encodeCbor([])))).toBe('malformed')
    expect(codeOf(() => decodeEntry(Uint8Array.of(...encodeEntry(clock), 0)))).toBe('malformed')
    expect(codeOf(() => decodeEntry(new Uint8Array(65_536)))).toBe('too_large')
  })

  test('keys out of order', () => {
    const bytes = encodeEntry(clock)
    // Keys 0 and 1 with their values change places: 00 01 01 09 → 01 09 00 01.
    expect([...bytes.subarray(1, 5)]).toEqual([0, 1, 1, 9])
    bytes.set([1, 9, 0, 1], 1)
    expect(codeOf(() => decodeEntry(bytes))).toBe('not_canonical')
  })
})

describe('what a kind demands', () => {
  const fields = (key: 5 | 6, base: EntryFields, ...patches: Fields) =>
    [[key, patch(key === 5 ? base.prepared : base.outcome, patches)]] as const
  const without = (base: EntryFields, key: number): readonly [number, CborValue][] => [
    [6, new Map([...base.outcome].filter(([name]) => name !== key))],
  ]
  test.each<[string, EntryFields, readonly (readonly [number, CborValue])[], string]>([
    ['another result', clock, fields(6, clock, [0, 'created']), 'malformed'],
    ['a key that it does not have', clock, fields(6, clock, [1, 1]), 'malformed'],
    ['sequence status of an operator', clock, fields(6, clock, ...NEW), 'malformed'],
    ['prepared that it does not have', clock, fields(5, clock, [1, 1]), 'malformed'],
    ['another link', clock, [[7, [['policy', 0, null]]]], 'malformed'],
    ['links of another kind', clock, [[2, 'policy.activate']], 'malformed'],
    ['certificate no bytes', issue, fields(5, issue, [1, 'x']), 'malformed'],
    ['certificate of 16 KiB', issue, fields(5, issue, [1, new Uint8Array(16_384)]), 'accepted'],
    ['certificate over 16 KiB', issue, fields(5, issue, [1, new Uint8Array(16_385)]), 'too_large'],
    ['notAfter text', issue, fields(6, issue, [1, 'x']), 'malformed'],
    [
      'links out of order',
      issue,
      [
        [
          7,
          [
            [AGENT, 0, null],
            [INST, 0, null],
            [OWNER, 0, null],
          ],
        ],
      ],
      'malformed',
    ],
    [
      'a link too few',
      issue,
      [
        [
          7,
          [
            [INST, 0, null],
            [AGENT, 0, null],
          ],
        ],
      ],
      'malformed',
    ],
    [
      'decision id of 15 bytes',
      decision,
      fields(5, decision, [1, 'AAAAAAAAAAAAAAAAAAAA']),
      'claim_invalid',
    ],
    [
      'policy digest of 31 bytes',
      decision,
      fields(5, decision, [2, new Uint8Array(31)]),
      'malformed',
    ],
    ['verdict text', decision, fields(5, decision, [6, 'allow']), 'malformed'],
    ['reproducible a number', decision, fields(5, decision, [7, 1]), 'malformed'],
    ['reasons text', decision, fields(6, decision, [1, 'x']), 'malformed'],
    ['a reason that is no text', decision, fields(6, decision, [1, [1]]), 'malformed'],
    ['no reasons', decision, without(decision, 1), 'malformed'],
    ['permit expiry of a denial', decision, fields(6, decision, [2, 1]), 'malformed'],
    ['an allow without', decision, fields(6, decision, [0, 'allow']), 'malformed'],
    ['no sequence status', decision, without(decision, 15), 'malformed'],
    ['another sequence status', decision, fields(6, decision, [15, 'gap']), 'malformed'],
    ['absent with a decision', action, fields(6, action, [0, 'absent']), 'malformed'],
    ['matched without', action, without(action, 1), 'malformed'],
  ])('%s', (_, base, patches, code) => expect(codeOfMap(patches, base)).toBe(code))

  test.each([
    ['denied', 'accepted'],
    ['scope_not_contained', 'accepted'],
    ['Denied', 'malformed'],
    ['', 'malformed'],
  ])('refused for %j', (reason, code) => {
    const entry = entryOf('agent.refuse', ROOT_RECORD, [link(OWNER, 1)], [[0, reason]])
    expect(codeOf(() => encodeEntry(entry))).toBe(code)
  })
})

describe('a kind that this release does not know', () => {
  const base = { ...action, kind: 'agent.renew', links: [link('log', 1)] }

  test('passes, and is told', () => {
    const prepared = new Map<number, CborValue>([
      [0, 1],
      [77, 'x'],
    ])
    const decoded = decodeEntry(encodeEntry({ ...base, prepared }))
    expect(decoded.known).toBe(false)
    expect(parseEntryStatement(decoded).header.type).toBe('action')
  })

  test('has integers as keys', () => {
    const outcome = new Map<string | number, CborValue>([
      [0, 'x'],
      ['text', 1],
    ])
    expect(codeOf(() => encodeEntry({ ...base, outcome }))).toBe('malformed')
  })
})

describe('the statement', () => {
  const opened = (fields: EntryFields): Entry => decodeEntry(encodeEntry(fields))
  test.each([
    ['of another type', opened({ ...clock, statement: action.statement }), 'type_mismatch'],
    ['no statement', opened({ ...clock, statement: HASH }), 'malformed'],
    ['JWS said to be COSE', opened({ ...clock, media: 'application/cose' }), 'malformed'],
    [
      'of an owner, with a sequence status',
      opened({ ...issue, outcome: new Map([...ISSUED, ...NEW]) }),
      'outcome_mismatch',
    ],
    [
      'of an instance, without',
      opened(entryOf('agent.issue', CHILD_RECORD, childLinks, ISSUED, CERTIFICATE)),
      'outcome_mismatch',
    ],
  ])('%s', (_, entry, code) => expect(codeOf(() => parseEntryStatement(entry))).toBe(code))
})

describe('encoding refuses what decoding refuses', () => {
  const reasons = Array.from({ length: 20_000 }, () => 'abcd')
  const large = {
    ...decision,
    outcome: new Map<number, CborValue>([[0, 'deny'], [1, reasons], ...NEW]),
  }
  test.each<[string, EntryFields, string]>([
    ['over 65,535 bytes', large, 'too_large'],
    ['index a fraction', { ...clock, index: 9.5 }, 'malformed'],
    ['time negative', { ...clock, timeMs: -1 }, 'malformed'],
    [
      'previous hash short',
      {
        ...clock,
        links: [{ ...link('log', 9), previous: { index: 8, leafHash: new Uint8Array(3) } }],
      },
      'malformed',
    ],
    ['number negative', { ...clock, links: [{ ...link('log', 9), seq: -1 }] }, 'malformed'],
  ])('%s', (_, entry, code) => expect(codeOf(() => encodeEntry(entry))).toBe(code))
})

test('every bit flipped is another entry or none', () => {
  const bytes = encodeEntry({ ...clock, statement: Uint8Array.of(1) })
  for (const flipped of bitFlips(bytes)) {
    const code = codeOf(() => {
      expect(encodeEntry(decodeEntry(flipped))).toEqual(flipped)
    })
    expect(typeof code).toBe('string')
  }
})

test('arbitrary bytes and arbitrary values are refused with a code', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(codeOf(() => decodeEntry(bytes))).not.toBe('accepted')
    }),
  )
  const scalar: fc.Arbitrary<CborValue> = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.nat(),
    fc.string({ unit: 'grapheme-ascii' }),
    fc.uint8Array(),
  )
  const value: fc.Arbitrary<CborValue> = fc.oneof(
    scalar,
    fc.array(scalar),
    fc.array(fc.tuple(fc.nat({ max: 9 }), scalar)).map((pairs) => new Map(pairs)),
    fc.array(fc.array(scalar, { maxLength: 3 })),
  )
  const base = fc.constantFrom(clock, decision, action, issue)
  fc.assert(
    fc.property(base, fc.nat({ max: 8 }), value, (entry, key, any) => {
      expect(typeof codeOfMap([[key, any]], entry)).toBe('string')
    }),
    { numRuns: 500 },
  )
})
