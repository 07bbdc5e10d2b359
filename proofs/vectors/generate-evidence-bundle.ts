/** @module Bundles that lack something, or were twisted. */
import type { ProofErrorCode } from '../errors.ts'
import {
  type Bundle,
  edit,
  type Made,
  make,
  otherKey,
  type Row,
  signedBy,
  WRONG,
} from './generate-bundle.ts'
import { seeded } from './generate-keys.ts'
import { ACTION_DISCLOSURES, disclosed, people, type StepName } from './generate-plot.ts'
import { genesisKeys } from './generate-steps.ts'
import { anchorOf } from './generate-story.ts'

export function missingRows(): readonly Row[] {
  const row = (step: StepName, expect: ProofErrorCode): Row => [
    `without-${step}`,
    expect,
    `no ${step} entry`,
    make({}, [step]),
  ]
  return [
    ['ok', 'ok', 'the action of the fetcher, matched', make()],
    [
      'ok-more-entries',
      'ok',
      'with entries that it does not need',
      make({}, [], ['operator', 'second', 'clock']),
    ],
    row('genesis', 'link_missing'),
    row('owner', 'owner_unproven'),
    row('policy', 'policy_missing'),
    row('root', 'link_missing'),
    row('child', 'issuance_unproven'),
    row('decision', 'decision_missing'),
    row('action', 'link_missing'),
  ]
}

export function twistedRows(right: Made): readonly Row[] {
  const { story } = right
  const other = make({ origin: 'log.example/logs/other' })
  const row = (
    name: string,
    expect: Row[1],
    description: string,
    change: (bundle: Bundle) => unknown,
  ): Row => [name, expect, description, edit(right, change)]
  const entry = (bundle: Bundle, at: number): Bundle['entries'][number] =>
    bundle.entries[at] ?? { index: 0, entry: '', path: [] }
  return [
    row(
      'ok-without-disclosures',
      'ok',
      'what was disclosed is withheld',
      (b) => (b.disclosures = {}),
    ),
    row('action-is-decision', 'link_missing', 'about the decision', (b) => (b.action = 7)),
    row(
      'action-not-here',
      'link_missing',
      'about an entry that is not here',
      (b) => (b.action = 9),
    ),
    row(
      'path-flipped',
      'inclusion_mismatch',
      'a node of a path',
      (b) => (entry(b, 6).path[0] = WRONG),
    ),
    row('path-short', 'malformed', 'a node less', (b) => entry(b, 6).path.pop()),
    row('paths-swapped', 'inclusion_mismatch', 'the paths of two entries', (b) => {
      const path = entry(b, 3).path
      entry(b, 3).path = entry(b, 2).path
      entry(b, 2).path = path
    }),
    row('entries-swapped', 'inclusion_mismatch', 'two entries in the place of each other', (b) => {
      const bytes = entry(b, 3).entry
      entry(b, 3).entry = entry(b, 4).entry
      entry(b, 4).entry = bytes
    }),
    row('entries-shuffled', 'not_canonical', 'not ascending', (b) => b.entries.reverse()),
    row('entry-twice', 'not_canonical', 'an entry twice', (b) => b.entries.push(entry(b, 6))),
    row('entry-of-other-log', 'inclusion_mismatch', 'an entry of another log', (b) => {
      entry(b, 5).entry = (JSON.parse(other.text) as Bundle).entries[5]?.entry ?? ''
    }),
    row(
      'entry-long',
      'too_large',
      'an entry over its limit',
      (b) => (entry(b, 5).entry = 'A'.repeat(90_000)),
    ),
    row(
      'path-long',
      'too_large',
      '54 nodes',
      (b) => (entry(b, 5).path = Array.from({ length: 54 }, () => 'A'.repeat(43))),
    ),
    row(
      'path-node-short',
      'malformed',
      'a node of 30 bytes',
      (b) => (entry(b, 5).path[0] = 'A'.repeat(40)),
    ),
    row('no-entries', 'link_missing', 'nothing', (b) => {
      b.entries = []
      b.disclosures = {}
    }),
    row('index-negative', 'malformed', 'an index below zero', (b) => (entry(b, 0).index = -1)),
    row(
      'head-of-other-log',
      'trust_mismatch',
      'the head of a log that is not trusted',
      (b) => (b.head = other.story.log.head()),
    ),
    row(
      'head-by-operator',
      'key_unknown',
      'a head that an operator signed',
      (b) => (b.head = story.log.head(people.operator)),
    ),
    row(
      'head-with-extension',
      'malformed',
      'a head with an extension line',
      (b) => (b.head = story.log.head(story.log.key, ['x'])),
    ),
    row(
      'head-changed',
      'signature_invalid',
      'a head of another size',
      (b) => (b.head = b.head.replace('\n10\n', '\n11\n')),
    ),
    row(
      'disclosure-other',
      'disclosure_unmatched',
      'other details',
      (b) =>
        (b.disclosures['8'] = [
          ...ACTION_DISCLOSURES.slice(0, 2),
          disclosed('details', { rows: 43 }),
        ]),
    ),
    row(
      'disclosure-missing',
      'disclosure_missing',
      'the details are missing',
      (b) => (b.disclosures['8'] = ACTION_DISCLOSURES.slice(0, 2)),
    ),
    row(
      'disclosure-of-no-entry',
      'malformed',
      'a disclosure of an entry that is not here',
      (b) => (b.disclosures['9'] = [...ACTION_DISCLOSURES]),
    ),
    row(
      'disclosure-of-genesis',
      'disclosure_unmatched',
      'a disclosure where nothing was committed to',
      (b) => (b.disclosures['0'] = [...ACTION_DISCLOSURES]),
    ),
    row('disclosures-empty', 'malformed', 'an empty list', (b) => (b.disclosures['8'] = [])),
    row(
      'format-other',
      'version_unknown',
      'version 2',
      (b) => (b['format'] = 'trustwarden-evidence/2'),
    ),
    row('member-unknown', 'malformed', 'a member that is not listed', (b) => (b['note'] = 'x')),
    [
      'member-twice',
      'malformed',
      'a member twice',
      { story, text: right.text.replace('{', '{"action":8,') },
    ],
    [
      'anchor-of-other-genesis',
      'genesis_mismatch',
      'another genesis',
      right,
      anchorOf(story, { genesisHash: seeded('wrong') }),
    ],
    [
      'anchor-of-other-roots',
      'genesis_mismatch',
      'other roots',
      right,
      anchorOf(story, { bundleHash: seeded('wrong') }),
    ],
    ['anchor-of-other-log', 'trust_mismatch', 'another log', right, anchorOf(other.story)],
    [
      'anchor-of-other-key',
      'key_unknown',
      'another key of the same log',
      right,
      anchorOf(story, { key: otherKey(story) }),
    ],
    [
      'genesis-of-other-key',
      'genesis_mismatch',
      'a genesis that names another log key than the anchor',
      make({ payload: { genesis: { keys: genesisKeys(story.log.origin, otherKey(story)) } } }),
    ],
    [
      'genesis-of-other-kind',
      'genesis_mismatch',
      'a log that begins with something else',
      make({ without: ['genesis'] }, [], ['operator']),
    ],
    [
      'genesis-by-other-key',
      'key_mismatch',
      'a genesis that its service key did not sign',
      make({ signer: { genesis: people.permit } }),
    ],
    [
      'genesis-signature',
      'signature_invalid',
      'a genesis with the signature of another key',
      make({ signer: { genesis: signedBy(people.service, people.permit) } }),
    ],
  ]
}
