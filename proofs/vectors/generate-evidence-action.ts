/** @module Verdicts on actions, right ones and wrong ones (FORMAT §10.7). */
import { toBase64url } from '../bytes.ts'
import type { CborValue } from '../cbor.ts'
import type { JsonObject } from '../json.ts'
import { edit, type Made, make, type Row, signedBy, WRONG } from './generate-bundle.ts'
import { seeded, type VectorKey } from './generate-keys.ts'
import {
  actionPayload,
  CHILD_ID,
  OWNER,
  people,
  ROOT_ID,
  type StoryTweaks,
} from './generate-plot.ts'
import { agentDraft } from './generate-story.ts'

export function verdictRows(): readonly Row[] {
  const outcome = (verdict: string, index?: number): StoryTweaks => ({
    outcome: { action: [[0, verdict], ...(index === undefined ? [] : [[1, index] as const])] },
  })
  const absent: StoryTweaks = {
    payload: { action: { decision: null, action_digest: null } },
    outcome: {
      action: [
        [0, 'absent'],
        [1, undefined],
      ],
    },
  }
  const unknownId: StoryTweaks = {
    payload: { action: { decision: toBase64url(seeded('other id').slice(0, 16)) } },
    outcome: {
      action: [
        [0, 'absent'],
        [1, undefined],
      ],
    },
  }
  const other: StoryTweaks = { done: 'read:transactions/2026' }
  const late: StoryTweaks = { header: { action: { iat: 1_800_000_000 - 3600 } } }
  const expired: StoryTweaks = { delay: { action: 60_000 } }
  const afterEnd: StoryTweaks = { delay: { action: 3_700_000 } }
  const denied: StoryTweaks = {
    verdict: { effect: 'deny', reasons: ['policy.too_much'], matched: [], obligations: [] },
  }
  const ok = (
    name: string,
    description: string,
    verdict: string,
    tweaks: StoryTweaks,
    more?: StoryTweaks,
  ): Row => [`ok-${name}`, 'ok', description, make({ ...tweaks, ...more }), undefined, verdict]
  const lie = (name: string, description: string, tweaks: StoryTweaks): Row => [
    name,
    'outcome_mismatch',
    description,
    make(tweaks),
  ]
  return [
    [
      'ok-absent',
      'ok',
      'no decision named',
      make(absent, ['decision', 'policy']),
      undefined,
      'absent',
    ],
    [
      'ok-absent-id-unknown',
      'ok',
      'a decision that the log does not know',
      make(unknownId, ['decision', 'policy']),
      undefined,
      'absent',
    ],
    [
      'absent-and-here',
      'outcome_mismatch',
      'absent, and the decision is in the bundle',
      make({ outcome: unknownId.outcome ?? {} }),
    ],
    [
      'matched-without-decision',
      'outcome_mismatch',
      'matched to a decision that the event does not name',
      make({ payload: absent.payload ?? {} }),
    ],
    [
      'matched-to-other-decision',
      'decision_mismatch',
      'matched to a decision of another id',
      make({ payload: unknownId.payload ?? {} }),
    ],
    [
      'matched-to-later',
      'outcome_mismatch',
      'matched to an entry after it',
      make(outcome('matched', 9)),
    ],
    [
      'matched-to-no-decision',
      'decision_missing',
      'matched to the policy',
      make(outcome('matched', 4)),
    ],
    ok('mismatched', 'another action than was decided', 'mismatched', other, outcome('mismatched')),
    lie('mismatched-as-matched', 'another action, recorded as matched', other),
    ok('denied', 'the decision was no allow', 'denied', denied, outcome('denied')),
    lie('denied-as-matched', 'a denial, recorded as matched', denied),
    ok('late', 'signed an hour ago', 'late', late, outcome('late')),
    lie('late-as-matched', 'signed an hour ago, recorded as matched', late),
    ok('late-certificate', 'after the certificate had ended', 'late', afterEnd, outcome('late')),
    ok('expired', 'after the permit had ended', 'expired', expired, outcome('expired')),
    lie('expired-as-matched', 'after the permit had ended, recorded as matched', expired),
    lie('matched-as-denied', 'a good action, recorded as denied', outcome('denied')),
    ok(
      'late-permit',
      'more than 5 minutes after the permit had ended',
      'late',
      { delay: { action: 340_000 } },
      { ...outcome('late'), payload: { action: { timestamp: '2027-01-15T08:00:10Z' } } },
    ),
    ok(
      'delivered-late',
      'in the life of the permit, and logged a minute later',
      'matched',
      { delay: { action: 60_000 } },
      { payload: { action: { timestamp: '2027-01-15T08:00:36.999Z' } } },
    ),
    ok(
      'expired-at-end',
      'at the end of the permit',
      'expired',
      { payload: { action: { timestamp: '2027-01-15T08:00:37Z' } } },
      outcome('expired'),
    ),
    ok(
      'expired-before',
      '5 s before the decision',
      'expired',
      { payload: { action: { timestamp: '2027-01-15T08:00:02Z' } } },
      outcome('expired'),
    ),
    ok('just-before', '4.999 s before the decision, by another clock', 'matched', {
      payload: { action: { timestamp: '2027-01-15T08:00:02.001Z' } },
    }),
    [
      'event-id-twice',
      'claim_invalid',
      'the event id of the decision',
      make({
        header: { action: { jti: 'twice' }, decision: { jti: 'twice' } },
        payload: { action: { event_id: 'twice' } },
      }),
    ],
    ...spentRows(),
    ...foreignRows(),
    [
      'claim-of-parent',
      'claim_invalid',
      'the event names another parent',
      make({ payload: { action: { parent_agent_id: null } } }),
    ],
    [
      'claim-of-owner',
      'claim_invalid',
      'the event names another owner',
      make({ payload: { action: { authorized_by: `owner:${people.otherOwner.kid}` } } }),
    ],
    [
      'action-by-service',
      'key_mismatch',
      'the service signs as the agent',
      make({ signer: { action: people.mallory } }),
    ],
    [
      'action-signature',
      'signature_invalid',
      "the agent's key id, another signature",
      make({ signer: { action: signedBy(people.child, people.mallory) } }),
    ],
    [
      'action-for-other-log',
      'audience_mismatch',
      'an event for another log',
      make({ header: { action: { aud: 'log.example/logs/other' } } }),
    ],
    [
      'action-digest-other',
      'claim_invalid',
      'a digest that does not follow, recorded as mismatched',
      make({ payload: { action: { action_digest: WRONG } }, ...outcome('mismatched') }),
    ],
    [
      'decision-digest-other',
      'claim_invalid',
      'a digest that does not follow in the decision',
      make({ payload: { decision: { action_digest: WRONG }, action: { action_digest: WRONG } } }),
    ],
  ]
}

/** A second action on the one decision. */
function spentRows(): readonly Row[] {
  const first = (
    name: string,
    patch: JsonObject = {},
    by: VectorKey = people.child,
  ): StoryTweaks => ({
    before: {
      action: (story) => {
        const draft = agentDraft(story, 'action', by, CHILD_ID, {
          payload: { ...actionPayload(story, name), ...patch },
          outcome: new Map<number, CborValue>([
            [0, 'matched'],
            [1, 7],
            [15, 'new'],
          ]),
        })
        story.log.append({ ...draft, header: { ...draft.header, jti: name } })
      },
    },
  })
  const spent: StoryTweaks = { outcome: { action: [[0, 'spent']] } }
  return [
    [
      'ok-spent',
      'ok',
      'an earlier action had used the decision',
      make({ ...first('first'), ...spent }, [], [8]),
      undefined,
      'spent',
    ],
    [
      'ok-spent-not-shown',
      'ok',
      'spent, and what spent it is not here',
      make({ ...first('first'), ...spent }),
      undefined,
      'spent',
    ],
    [
      'spent-as-matched',
      'outcome_mismatch',
      'two actions matched to one decision',
      make(first('first'), [], [8]),
    ],
    [
      'spent-by-other-decision',
      'decision_mismatch',
      'spent by an action on another decision',
      make(
        { ...first('first', { decision: toBase64url(seeded('other id').slice(0, 16)) }), ...spent },
        [],
        [8],
      ),
    ],
    [
      'spent-by-service',
      'key_mismatch',
      'spent by an action that the agent did not sign',
      make({ ...first('first', {}, people.mallory), ...spent }, [], [8]),
    ],
  ]
}

/** An action of the orchestrator on the decision of its fetcher. */
function foreignRows(): readonly Row[] {
  const foreign = (verdict: string): StoryTweaks => ({
    signer: { action: people.root },
    header: { action: { iss: ROOT_ID, sub: ROOT_ID } },
    payload: {
      action: {
        agent_id: 'spiffe://example.com/finance/orchestrator',
        agent_identity: ROOT_ID,
        parent_agent_id: null,
      },
    },
    outcome: { action: [[0, verdict]] },
    draft: {
      action: {
        subjects: [`inst:${ROOT_ID}`, 'agent:spiffe://example.com/finance/orchestrator', OWNER],
      },
    },
  })
  const withheld = (made: Made): Made => edit(made, (b) => delete b.disclosures['8'])
  return [
    [
      'ok-mismatched-instance',
      'ok',
      'a decision of another instance',
      withheld(make(foreign('mismatched'))),
      undefined,
      'mismatched',
    ],
    [
      'mismatched-instance-as-matched',
      'outcome_mismatch',
      'a decision of another instance, recorded as matched',
      withheld(make(foreign('matched'))),
    ],
    [
      'mismatched-instance-not-shown',
      'issuance_unproven',
      'without the issuance of whom the decision was for',
      withheld(make(foreign('mismatched'), ['child'])),
    ],
  ]
}
