/** @module Times, indexes and chain links, right ones and wrong ones (FORMAT §5). */
import type { CborValue } from '../cbor.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives } from '../noble.ts'
import { make, type Row } from './generate-bundle.ts'
import { seeded } from './generate-keys.ts'
import {
  actionPayload,
  CHILD_ID,
  OPERATOR,
  OWNER,
  people,
  ROOT_ID,
  type Story,
  type StoryTweaks,
} from './generate-plot.ts'
import { agentDraft, revoke, tellStory } from './generate-story.ts'

export function orderRows(): readonly Row[] {
  const links = (patch: (subject: string, at: number) => CborValue): readonly CborValue[] =>
    [`inst:${CHILD_ID}`, 'agent:spiffe://example.com/finance/orchestrator/fetcher', OWNER].map(
      patch,
    )
  const { log } = tellStory()
  const hash = leafHash(noblePrimitives, log.entries[7] ?? new Uint8Array())
  const of = (
    change: (subject: string, at: number) => readonly [number, CborValue],
  ): StoryTweaks => ({
    draft: { action: { links: links((subject, at) => [subject, ...change(subject, at)]) } },
  })
  return [
    [
      'time-goes-back',
      'outcome_mismatch',
      'ledger time decreases',
      make({ draft: { action: { timeMs: 1_800_000_000_000 } } }),
    ],
    [
      'index-other',
      'index_mismatch',
      'an entry that says another index',
      make(
        {
          before: {
            action: (story) => void story.log.entries.push(log.entries[7] ?? new Uint8Array()),
          },
        },
        [],
        [8],
      ),
    ],
    [
      'link-of-other-hash',
      'chain_mismatch',
      'the hash of another leaf',
      make(of(() => [2, [7, seeded('leaf')]])),
    ],
    ['link-of-other-number', 'chain_mismatch', 'a number too high', make(of(() => [3, [7, hash]]))],
    [
      'link-to-other-chain',
      'chain_mismatch',
      'a link to an entry of another chain',
      make(of(() => [2, [4, seeded('leaf')]])),
    ],
    [
      'link-starts-again',
      'chain_mismatch',
      'number 0 in the middle of a chain',
      make(of(() => [0, null])),
    ],
    [
      'link-without-room',
      'chain_mismatch',
      'more entries between than there is room for',
      make({ before: { action: silent }, ...of(() => [6, [8, seeded('leaf')]]) }),
    ],
    [
      'ok-link-with-room',
      'ok',
      'an entry between that is not here',
      make({ before: { action: silent } }),
    ],
    [
      'subjects-other',
      'chain_mismatch',
      "the chains of the parent instead of the agent's",
      make({
        draft: {
          action: {
            subjects: [`inst:${ROOT_ID}`, 'agent:spiffe://example.com/finance/orchestrator', OWNER],
          },
        },
      }),
    ],
    [
      'subjects-of-owner',
      'chain_mismatch',
      'an enrolment in the chain of another owner',
      make({ draft: { owner: { subjects: [`owner:${people.otherOwner.kid}`, 'log'] } } }),
    ],
    [
      'instance-used',
      'chain_mismatch',
      'an instance that is not new',
      make({
        before: {
          child: (story) => void revoke(story, people.operator, OPERATOR, `inst:${CHILD_ID}`),
        },
      }),
    ],
    [
      'ok-kind-unknown',
      'ok',
      'an entry of a kind that nobody knows',
      make({ before: { action: strange } }, [], [8]),
    ],
    [
      'issued-before-parent',
      'chain_mismatch',
      'the parent was issued after its child',
      make({
        order: [
          'genesis',
          'operator',
          'second',
          'owner',
          'policy',
          'child',
          'root',
          'decision',
          'action',
          'clock',
        ],
      }),
    ],
  ]
}

/** A second decision of the fetcher, that is in no bundle. */
function silent(story: Story): void {
  const draft = agentDraft(story, 'action', people.child, CHILD_ID, {
    payload: { ...actionPayload(story, 'silent'), decision: null, action_digest: null },
    outcome: new Map<number, CborValue>([
      [0, 'absent'],
      [15, 'new'],
    ]),
  })
  story.log.append({ ...draft, header: { ...draft.header, jti: 'silent' } })
  story.timeMs += 1000
}

/** An entry of a kind that no release knows yet. */
function strange(story: Story): void {
  const id = CHILD_ID
  const outcome = new Map<number, CborValue>([
    [0, 'moved'],
    [7, true],
  ])
  story.log.append(agentDraft(story, 'motion', people.child, id, { payload: {}, outcome }))
  story.timeMs += 1000
}
