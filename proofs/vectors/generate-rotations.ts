/** @module Vectors of rotations of the log key and of successors (FORMAT §13.3, §13.4). */
import { toBase64url, toHex, utf8Decode } from '../bytes.ts'
import type { EvidenceEntry } from '../evidence-bundle.ts'
import type { JsonObject } from '../json.ts'
import { rotationInput } from '../key-rotation.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import { formatVkey, NOTE_COSIGNATURE_V1, NOTE_ED25519, noteKey, type NoteKey } from '../note.ts'
import { formatRotations, type RotationProof } from '../rotations.ts'
import {
  formatTrust,
  formatTrustAnchor,
  type LogEnd,
  type Trust,
  type TrustedKey,
} from '../trust.ts'
import type { VectorCase } from './generate-cases.ts'
import type { Row } from './generate-encodings.ts'
import { seeded, vectorKey, type VectorKey } from './generate-keys.ts'
import { signStatement, treeRoot } from './generate-log.ts'
import { people, type StoryTweaks, type Story } from './generate-plot.ts'
import { propose, tellStory } from './generate-story.ts'

const OLD_ORIGIN = 'log.example/logs/main'
const NEW_ORIGIN = 'log.example/logs/next'
const OTHER_ORIGIN = 'other.example/logs/main'
const next = vectorKey('EdDSA', 'log key 2')
const third = vectorKey('EdDSA', 'log key 3')
/** Two keys of one key id under `OLD_ORIGIN`, 04cc420c: the first two among `log key 0`, `log key 1`, … that share theirs. */
const twins = [vectorKey('EdDSA', 'log key 113735'), vectorKey('EdDSA', 'log key 129152')] as const

/** How one rotation differs from the right one. */
interface Told {
  readonly from?: VectorKey
  readonly to?: VectorKey
  readonly until?: number
  /** Members of the payload that are replaced, after both keys have signed. */
  readonly payload?: JsonObject
  /** Who signs the proposal, in order, and what the log records of each. */
  readonly by?: readonly (readonly [VectorKey, 'pending' | 'effective', number])[]
}

const TWO: NonNullable<Told['by']> = [
  [people.operator, 'pending', 1],
  [people.second, 'effective', 2],
]

const logKey = (key: VectorKey, origin = OLD_ORIGIN): NoteKey =>
  noteKey(p, origin, NOTE_ED25519, key.publicKey)

/** A log of three entries: genesis and two operators, both of whom have to sign. */
function begin(tweaks: StoryTweaks = {}): Story {
  const order = ['genesis', 'operator', 'second'] as const
  return tellStory({ order, payload: { genesis: { threshold: 2 } }, ...tweaks })
}

/** Appends a rotation, and returns the index of its last entry. */
function rotate(story: Story, told: Told = {}): number {
  const { from = story.log.key, to = next, by = TWO } = told
  const size = story.log.entries.length
  const until = told.until ?? size + by.length + 2000
  const [old, now] = [logKey(from), logKey(to)]
  const input = rotationInput({ old, new: now, until })
  const payload = {
    key: 'log',
    old: formatVkey(old),
    new: formatVkey(now),
    until,
    old_signature: toBase64url(from.sign(input)),
    new_signature: toBase64url(to.sign(input)),
    ...told.payload,
  }
  const draft = { kind: 'key.rotate', payload, subjects: ['log'], sub: 'log' }
  for (const [operator, result, signed] of by) propose(story, operator, draft, [result, signed, 2])
  return story.log.entries.length - 1
}

/** The head of a log, a line for each signer. */
function headBy({ log }: Story, signers: readonly VectorKey[]): string {
  const [first = '', ...more] = signers.map((signer) => log.head(signer))
  return first + more.map((note) => note.slice(note.indexOf('\n\n') + 2)).join('')
}

/** A proof as far as the log goes: of its last rotation, unless entries are left out. */
function proof(
  story: Story,
  signers: readonly VectorKey[] = [next, story.log.key],
  without: readonly number[] = [],
): RotationProof {
  const entries = story.log.entries
    .slice(0, 9)
    .map((entry, index): EvidenceEntry => ({ index, entry, path: story.log.path(index) }))
    .filter(({ index }) => !without.includes(index))
  return { head: headBy(story, signers), entries }
}

const file = (...proofs: readonly RotationProof[]): string => utf8Decode(formatRotations(proofs))

/** The trust in a log by these keys, each from a size on. */
function trustIn(
  story: Story,
  keys: readonly (readonly [VectorKey, number])[] = [],
  end?: LogEnd,
): Trust {
  const all = [[story.log.key, 0] as const, ...keys]
  const ranges = all.map(([key, from], at): TrustedKey => {
    const after = all[at + 1]
    return { key: logKey(key), from, to: after === undefined ? null : after[1] - 1 }
  })
  const log = { origin: OLD_ORIGIN, anchor: story.anchor, keys: ranges }
  return { logs: [end === undefined ? log : { ...log, end }] }
}

const text = (trust: Trust): string => formatTrust(p, trust)

/** One rotation that is told otherwise, under the anchor alone. */
function one(
  name: string,
  expect: Row[1],
  description: string,
  told: Told,
  shown: (story: Story) => RotationProof = proof,
): Row {
  const story = begin()
  rotate(story, told)
  const trust = text(trustIn(story))
  return [name, expect, description, { trust, rotations: file(shown(story)), followed: trust }]
}

/** Another text than the one of a right file. */
function edited(
  name: string,
  expect: Row[1],
  description: string,
  change: (all: Edited) => void,
): Row {
  const story = begin()
  rotate(story)
  const all = JSON.parse(file(proof(story))) as Edited
  change(all)
  const trust = text(trustIn(story))
  return [name, expect, description, { trust, rotations: JSON.stringify(all), followed: trust }]
}

type Edited = Record<string, unknown> & {
  rotations: (Record<string, unknown> & { entries: unknown[] })[]
}

function rotationRows(): readonly Row[] {
  const vkey = (key: NoteKey): JsonObject => ({ new: formatVkey(key) })
  const cosigner = noteKey(p, OLD_ORIGIN, NOTE_COSIGNATURE_V1, next.publicKey)
  const wrong = toBase64url(new Uint8Array(64).fill(1))
  return [
    ...rightRows(),
    one('one-operator', 'outcome_mismatch', 'one of two operators, recorded as effective', {
      by: [[people.operator, 'effective', 1]],
    }),
    one('one-operator-twice', 'link_missing', 'the same operator twice', {
      by: [
        [people.operator, 'pending', 1],
        [people.operator, 'effective', 2],
      ],
    }),
    one(
      'signature-not-shown',
      'link_missing',
      'the signature of the first operator is left out',
      {},
      (story) => proof(story, undefined, [3]),
    ),
    one('pending', 'link_missing', 'one operator signed, and the log says so', {
      by: [[people.operator, 'pending', 1]],
    }),
    one('by-stranger', 'link_missing', 'signed by somebody who is no operator', {
      by: [
        [people.operator, 'pending', 1],
        [people.late, 'effective', 2],
      ],
    }),
    one('old-key-alone', 'signature_invalid', 'the new key did not sign', {
      payload: { new_signature: wrong },
    }),
    one('new-key-alone', 'signature_invalid', 'the old key did not sign', {
      payload: { old_signature: wrong },
    }),
    one('until-other', 'signature_invalid', 'another size than the keys signed', {
      payload: { until: 3000 },
    }),
    one('until-near', 'outcome_mismatch', 'the old key signs 1,023 sizes on', { until: 4 + 1023 }),
    one('until-far', 'outcome_mismatch', 'the old key signs 60,000,001 sizes on', {
      until: 4 + 60_000_001,
    }),
    one('key-of-other-log', 'origin_mismatch', 'the new key is named for another log', {
      payload: vkey(logKey(next, OTHER_ORIGIN)),
    }),
    one('key-of-cosigner', 'algorithm_unsupported', 'the new key is a cosigner', {
      payload: vkey(cosigner),
    }),
    one('key-same', 'claim_invalid', 'the new key is the old one', {
      payload: vkey(logKey(vectorKey('EdDSA', `log ${OLD_ORIGIN}`))),
    }),
    one('key-of-heartbeat', 'claim_invalid', 'a key of another kind', {
      payload: { key: 'heartbeat' },
    }),
    one('of-other-key', 'key_mismatch', 'the old key is not the one that is trusted', {
      from: third,
    }),
    one('head-by-new-alone', 'key_unknown', 'the head is not signed by the old key', {}, (story) =>
      proof(story, [next]),
    ),
    one('genesis-not-shown', 'link_missing', 'genesis is left out', {}, (story) =>
      proof(story, undefined, [0]),
    ),
    edited('format-other', 'version_unknown', 'another format', (all) => {
      all['format'] = 'trustwarden-rotations/2'
    }),
    edited('member-unknown', 'malformed', 'a member that is not listed', (all) => {
      all['more'] = 1
    }),
    edited('member-of-rotation-unknown', 'malformed', 'a member that is not listed', (all) => {
      for (const rotation of all.rotations) rotation['more'] = 1
    }),
    edited('entries-shuffled', 'not_canonical', 'entries that do not ascend', (all) => {
      for (const rotation of all.rotations) rotation.entries.reverse()
    }),
    ...laterRows(),
  ]
}

function rightRows(): readonly Row[] {
  const story = begin()
  const before = text(trustIn(story))
  const at = rotate(story)
  const first = proof(story)
  const after = text(trustIn(story, [[next, at + 1]]))
  const again = rotate(story, { from: next, to: third })
  const second = proof(story, [third, next, story.log.key])
  const twice = text(
    trustIn(story, [
      [next, at + 1],
      [third, again + 1],
    ]),
  )
  const farthest = begin()
  const then = rotate(farthest, { until: 4 + 60_000_000 })
  return [
    [
      'ok-until-farthest',
      'ok',
      'the old key signs 60,000,000 sizes on, as many as may be',
      {
        trust: text(trustIn(farthest)),
        rotations: file(proof(farthest)),
        followed: text(trustIn(farthest, [[next, then + 1]])),
      },
    ],
    [
      'ok',
      'ok',
      'two of two operators',
      { trust: before, rotations: file(first), followed: after },
    ],
    ['ok-none', 'ok', 'no rotation', { trust: before, rotations: file(), followed: before }],
    [
      'ok-known',
      'ok',
      'one that is trusted already',
      { trust: after, rotations: file(first), followed: after },
    ],
    [
      'ok-two',
      'ok',
      'two, one after the other',
      { trust: before, rotations: file(first, second), followed: twice },
    ],
    [
      'ok-second',
      'ok',
      'the second alone',
      { trust: after, rotations: file(second), followed: twice },
    ],
    [
      'second-alone',
      'key_mismatch',
      'the second, without the first',
      { trust: before, rotations: file(second), followed: before },
    ],
    [
      'known-elsewhere',
      'key_mismatch',
      'one that is trusted from another size on',
      {
        trust: text(trustIn(story, [[next, at]])),
        rotations: file(first),
        followed: before,
      },
    ],
    [
      'log-untrusted',
      'trust_mismatch',
      'of a log that is not trusted',
      {
        trust: formatTrustAnchor(p, { ...story.anchor, key: logKey(story.log.key, OTHER_ORIGIN) }),
        rotations: file(first),
        followed: before,
      },
    ],
    [
      'log-ended',
      'head_out_of_range',
      'above the end of the log',
      {
        trust: text(trustIn(story, [], { size: 2, root: seeded('end') })),
        rotations: file(first),
        followed: before,
      },
    ],
  ]
}

/** What a second rotation, or a thief with the old key, may try. */
function laterRows(): readonly Row[] {
  const back = begin()
  const at = rotate(back)
  const first = proof(back)
  const known = text(trustIn(back, [[next, at + 1]]))
  rotate(back, { from: next, to: back.log.key })
  const returned = file(proof(back, [back.log.key, next]))
  const replayed = begin()
  rotate(replayed)
  const once = proof(replayed)
  rotate(replayed, { to: third })
  const twice = file(once, proof(replayed, [next, replayed.log.key]))
  const long = begin()
  const last = rotate(long, { until: 4 + 1024 })
  const [filler = new Uint8Array()] = long.log.entries.slice(last)
  const draft = {
    kind: 'note.some',
    by: people.operator,
    header: {},
    payload: {},
    prepared: new Map(),
    outcome: new Map([[0, 'x']]),
    subjects: ['log'],
    timeMs: long.timeMs,
  }
  const statement = filler.length > 0 ? signStatement(OLD_ORIGIN, draft) : filler
  while (long.log.entries.length <= 4 + 1024) long.log.appendSigned(draft, statement)
  const anchor = text(trustIn(long))
  return [
    [
      'to-key-of-before',
      'key_mismatch',
      'back to the first key',
      { trust: known, rotations: returned, followed: known },
    ],
    [
      'ok-first-of-two',
      'ok',
      'the first, of a log that went on',
      { trust: text(trustIn(back)), rotations: file(first), followed: known },
    ],
    [
      'old-key-again',
      'key_mismatch',
      'the old key rotated once more',
      { trust: text(trustIn(replayed)), rotations: twice, followed: known },
    ],
    ...twinRows(),
    [
      'head-above-until',
      'head_out_of_range',
      'the old key signed a head above the size that the operators signed',
      {
        trust: anchor,
        rotations: file(proof(long)),
        followed: anchor,
      },
    ],
  ]
}

/** Keys that a line of a note does not tell apart. */
function twinRows(): readonly Row[] {
  const [one, other] = twins
  const direct = begin()
  const at = rotate(direct, { to: one })
  const known = text(trustIn(direct, [[one, at + 1]]))
  rotate(direct, { from: one, to: other })
  const later = begin()
  const first = rotate(later, { to: one })
  const second = rotate(later, { from: one, to: third })
  const two = trustIn(later, [
    [one, first + 1],
    [third, second + 1],
  ])
  const after = text(two)
  const last = rotate(later, { from: third, to: other })
  const keys = two.logs.flatMap((log) => log.keys)
  const added = { vkey: formatVkey(logKey(other)), from: last + 1, to: null }
  const listed = [
    ...keys.map(({ key, from, to }) => ({ vkey: formatVkey(key), from, to: to ?? last })),
    added,
  ]
  const anchor = formatTrustAnchor(p, later.anchor)
  const both = JSON.stringify({ format: 'trustwarden-trust/1', logs: [{ anchor, keys: listed }] })
  return [
    [
      'key-id-same',
      'claim_invalid',
      'the new key is another one of the key id of the old key',
      { trust: known, rotations: file(proof(direct, [one])), followed: known },
    ],
    [
      'key-id-of-before',
      'key_invalid',
      'the new key has the key id of a key that was retired before',
      { trust: after, rotations: file(proof(later, [third])), followed: after },
    ],
    [
      'trust-of-one-key-id',
      'key_invalid',
      'a trust file with two keys of one key id',
      { trust: both, rotations: file(), followed: both },
    ],
  ]
}

function successorRows(): readonly Row[] {
  const old = begin()
  const root = treeRoot(old.log.entries.map((entry) => leafHash(p, entry)))
  const end = { size: old.log.entries.length, root }
  const before = text(trustIn(old))
  const named = { origin: OLD_ORIGIN, size: end.size, root: toBase64url(root) }
  const found = (predecessor: JsonObject | null, origin = NEW_ORIGIN): Story =>
    tellStory({ origin, order: ['genesis'], payload: { genesis: { predecessor } } })
  const made = found(named)
  const input = (story: Story, trust: string, followed = trust): JsonObject => ({
    trust,
    anchor: formatTrustAnchor(p, story.anchor),
    genesis: toHex(story.log.entries[0] ?? new Uint8Array()),
    followed,
  })
  const own = {
    origin: NEW_ORIGIN,
    anchor: made.anchor,
    keys: [{ key: made.anchor.key, from: 0, to: null }],
  }
  const ended = trustIn(old, [], end)
  const after: Trust = { logs: [...ended.logs, own] }
  const another = found({ ...named, size: 2 })
  const sameKey = { ...made.anchor, key: logKey(old.log.key, NEW_ORIGIN) }
  const reused = tellStory({
    origin: NEW_ORIGIN,
    order: ['genesis'],
    payload: {
      genesis: { predecessor: named, keys: { ...keysOf(made), log: formatVkey(sameKey.key) } },
    },
  })
  const withKey = { ...reused, anchor: { ...reused.anchor, key: sameKey.key } }
  return [
    ['ok', 'ok', 'the old log ends where the genesis says', input(made, before, text(after))],
    ['ok-ended', 'ok', 'the old log ended there already', input(made, text(ended), text(after))],
    ['ok-known', 'ok', 'both are trusted already', input(made, text(after))],
    [
      'genesis-other',
      'genesis_mismatch',
      'another genesis than the anchor names',
      { ...input(made, before), genesis: toHex(another.log.entries[0] ?? new Uint8Array()) },
    ],
    [
      'no-predecessor',
      'link_missing',
      'the genesis names no predecessor',
      input(found(null), before),
    ],
    [
      'predecessor-untrusted',
      'trust_mismatch',
      'the predecessor is not trusted',
      input(found({ ...named, origin: OTHER_ORIGIN }), before),
    ],
    [
      'predecessor-itself',
      'claim_invalid',
      'the genesis names its own log',
      input(found({ ...named, origin: NEW_ORIGIN }), before),
    ],
    [
      'ended-at-other-size',
      'trust_mismatch',
      'the old log ended at another size',
      input(another, text(ended)),
    ],
    [
      'ended-at-other-root',
      'trust_mismatch',
      'the old log ended at another root',
      input(found({ ...named, root: toBase64url(seeded('root')) }), text(ended)),
    ],
    [
      'known-with-other-genesis',
      'trust_mismatch',
      'a log of that origin is trusted with another genesis',
      input(another, text({ logs: [...trustIn(old).logs, own] })),
    ],
    [
      'key-of-predecessor',
      'key_mismatch',
      'the log key was the one of the predecessor',
      input(withKey, before),
    ],
  ]
}

function keysOf(story: Story): JsonObject {
  const time = noteKey(p, `${story.log.origin}/time`, NOTE_COSIGNATURE_V1, people.time.publicKey)
  const { service, permit, heartbeat } = people
  const [s, m, h] = [service, permit, heartbeat].map(({ spki }) => toBase64url(spki))
  return { time: formatVkey(time), service: s ?? '', permit: m ?? '', heartbeat: h ?? '' }
}

function cases(folder: string, specification: string, rows: readonly Row[]): readonly VectorCase[] {
  return rows.map(([name, expect, description, input]) => ({
    folder,
    name,
    description,
    specification,
    input,
    expect,
  }))
}

/** All of them. */
export function rotationCases(): readonly VectorCase[] {
  return [
    ...cases('rotations', 'FORMAT §11.7, §13.3', rotationRows()),
    ...cases('successor', 'FORMAT §13.4', successorRows()),
  ]
}
