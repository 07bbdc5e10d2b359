/** @module Vectors of lineages: the right one, and what can be wrong with it. */
import { BROKEN_RULES, END_MS, MALLORY, payload } from './generate-rules.ts'
import { toHex, utf8Decode } from '../bytes.ts'
import { type JsonObject, jsonString } from '../json.ts'
import type { CborValue } from '../cbor.ts'
import { decodeEntry } from '../entry.ts'
import { formatLineage } from '../lineage.ts'
import { MEDIA_COSE } from '../statement.ts'
import type { VectorCase } from './generate-cases.ts'
import { seeded } from './generate-keys.ts'
import {
  CHILD_ID,
  OWNER,
  people,
  ROOT_ID,
  START_MS,
  type Story,
  type StoryTweaks,
  TRUST_DOMAIN,
} from './generate-plot.ts'

import { anchorOf, tellStory } from './generate-story.ts'

/** All of them. */
export function lineageCases(): readonly VectorCase[] {
  const story = tellStory()
  const right = lineageOf(story)
  const text = jsonString(right['lineage'], 'lineage')
  const self = story.indexes.get('child') ?? 0
  const bare = (indexes: readonly number[]): string =>
    utf8Decode(formatLineage({ receipts: indexes.map((index) => story.log.receipt(index)) }))
  const root = story.indexes.get('root') ?? 0
  const swapped = tellStory({ certificate: { child: { notAfterMs: END_MS - 60_000 } } })
  const other = tellStory({ origin: 'log.example/logs/other' })
  const rows: readonly (readonly [string, VectorCase['expect'], string, JsonObject])[] = [
    ['ok', 'ok', 'the fetcher, from the owner down', right],
    ['ok-cose', 'ok', 'all of it in COSE', lineageOf(tellStory({ media: MEDIA_COSE }))],
    [
      'ok-cose-parent',
      'ok',
      "the owner's record in COSE, the parent's in JWS",
      lineageOf(tellStory({ draft: { root: { media: MEDIA_COSE } } })),
    ],
    [
      'ok-depth-0',
      'ok',
      'the orchestrator alone',
      { ...right, lineage: bare([root]), certificate: certificateOf(story, 'root') },
    ],
    [
      'receipts-missing',
      'issuance_unproven',
      'no receipts at all',
      { ...right, lineage: bare([]) },
    ],
    [
      'parent-missing',
      'issuance_unproven',
      'no receipt of the parent',
      { ...right, lineage: bare([self]) },
    ],
    [
      'self-missing',
      'issuance_unproven',
      'no receipt of the agent itself',
      { ...right, lineage: bare([root]) },
    ],
    [
      'self-twice',
      'issuance_unproven',
      'the last twice',
      { ...right, lineage: bare([root, self, self]) },
    ],
    [
      'shuffled',
      'issuance_unproven',
      'self before root',
      { ...right, lineage: bare([self, root]) },
    ],
    [
      'of-other-kind',
      'issuance_unproven',
      'the receipt of an enrolment',
      { ...right, lineage: bare([story.indexes.get('owner') ?? 0, self]) },
    ],
    [
      'certificate-swapped',
      'issuance_unproven',
      'another certificate of the same key and authority',
      { ...right, certificate: certificateOf(swapped, 'child') },
    ],
    [
      'expired',
      'certificate_expired',
      'two hours later',
      { ...right, at_ms: START_MS + 7_200_000 },
    ],
    ['before', 'certificate_expired', 'an hour before', { ...right, at_ms: START_MS - 3_600_000 }],
    [
      'owner-other',
      'lineage_broken',
      'the enrolment of another owner',
      { ...right, owner: { key: toHex(people.otherOwner.spki), patterns: ['**'] } },
    ],
    [
      'owner-patterns-other',
      'delegation_invalid',
      'an owner of other names',
      { ...right, owner: { key: toHex(people.owner.spki), patterns: ['legal/**'] } },
    ],
    [
      'trust-domain-expected-other',
      'spiffe_id_invalid',
      'another trust domain expected',
      { ...right, trust_domain: 'example.org' },
    ],
    [
      'roots-other',
      'trust_mismatch',
      'roots that the anchor does not name',
      {
        ...right,
        roots: [
          toHex(tellStory({ root: { notAfterMs: START_MS + 400 * 86_400_000 } }).rootCertificate),
        ],
      },
    ],
    [
      'log-not-trusted',
      'origin_mismatch',
      'the trust of another log',
      { ...right, trust: anchorOf(other) },
    ],
    [
      'receipts-of-other-log',
      'origin_mismatch',
      'receipts of another log',
      { ...right, lineage: lineageOf(other)['lineage'] ?? '' },
    ],
    [
      'format-other',
      'version_unknown',
      'version 2',
      { ...right, lineage: text.replace('lineage/1', 'lineage/2') },
    ],
    [
      'member-unknown',
      'malformed',
      'a member that is not listed',
      { ...right, lineage: text.replace('{', '{"note":1,') },
    ],
    [
      'too-many',
      'too_large',
      'ten receipts',
      {
        ...right,
        lineage: text.replace(
          /"receipts":\[(.*)\]/s,
          (_, list: string) => `"receipts":[${Array.from({ length: 5 }, () => list).join(',')}]`,
        ),
      },
    ],
    [
      'depth-wrong',
      'issuance_unproven',
      'depth 2 below depth 0',
      lineageOf(tellStory(payload('child', { depth: 2 }))),
    ],
    [
      'child-of-other-owner',
      'lineage_broken',
      'the child has another owner than its parent',
      lineageOf(
        tellStory({
          ...payload('child', { owner: MALLORY }),
          ...linked([CHILD_INST, ROOT_INST, CHILD_NAME, MALLORY]),
        }),
      ),
    ],
    [
      'links-of-other-child',
      'chain_mismatch',
      'the issuance stands in the chain of another instance',
      lineageOf(tellStory(linked([`${CHILD_INST}b`, ROOT_INST, CHILD_NAME, OWNER]))),
    ],
    [
      'links-child-used',
      'chain_mismatch',
      'the instance has an entry before its issuance',
      lineageOf(tellStory({ before: { child: useChild } })),
    ],
    [
      'links-disagree',
      'chain_mismatch',
      "the link of the parent's chain names another entry than the parent's issuance",
      lineageOf(tellStory({ draft: { child: { links: disagreeing() } } })),
    ],
    ...BROKEN_RULES.map(
      ([name, expect, description, tweaks]) =>
        [name, expect, description, lineageOf(tellStory(tweaks))] as const,
    ),
    ...BROKEN_RULES.map(
      ([name, expect, description, tweaks]) =>
        [
          `cose-${name}`,
          expect,
          `in COSE: ${description}`,
          lineageOf(tellStory({ ...tweaks, media: MEDIA_COSE })),
        ] as const,
    ),
  ]
  return rows.map(([name, expect, description, input]) => ({
    folder: 'lineage',
    name,
    description,
    specification: 'FORMAT §8, §9',
    input,
    expect,
  }))
}

const CHILD_INST = `inst:${CHILD_ID}`
const ROOT_INST = `inst:${ROOT_ID}`
const CHILD_NAME = `agent:${CHILD_ID.slice(0, CHILD_ID.lastIndexOf('/'))}`

/** The fetcher's issuance links these subjects. */
function linked(subjects: readonly string[]): StoryTweaks {
  return { draft: { child: { subjects } } }
}

/** The fetcher is revoked before it was ever issued. */
function useChild({ log, timeMs }: Story): void {
  log.append({
    kind: 'agent.revoke',
    by: people.operator,
    header: { iss: `operator:${people.operator.kid}`, sub: CHILD_INST },
    payload: { target: CHILD_INST, reason: 'unspecified' },
    prepared: new Map(),
    outcome: new Map([[0, 'revoked']]),
    subjects: [CHILD_INST, CHILD_NAME, OWNER],
    timeMs,
  })
}

/** Links of the right subjects, one of which gives the parent's issuance another hash. */
function disagreeing(): readonly CborValue[] {
  const { log, indexes } = tellStory()
  const { links } = decodeEntry(log.entries[indexes.get('child') ?? 0] ?? new Uint8Array())
  return links.map(({ subject, seq, previous }) => {
    const hash = subject === ROOT_INST ? seeded('leaf') : previous?.leafHash
    return [subject, seq, previous && hash ? [previous.index, hash] : null]
  })
}

/** The lineage of a story's fetcher, with all that it is held to. */
export function lineageOf(story: Story): JsonObject {
  const { log, indexes } = story
  const receipts = [indexes.get('root'), indexes.get('child')].map((index) =>
    log.receipt(index ?? 0),
  )
  return {
    certificate: certificateOf(story, 'child'),
    lineage: utf8Decode(formatLineage({ receipts })),
    trust: anchorOf(story),
    origin: log.origin,
    trust_domain: TRUST_DOMAIN,
    roots: [toHex(story.rootCertificate)],
    owner: { key: toHex(people.owner.spki), patterns: ['finance/**'] },
    at_ms: story.timeMs,
  }
}

function certificateOf(story: Story, name: 'root' | 'child'): string {
  return toHex(story.records.get(name)?.der ?? new Uint8Array())
}
