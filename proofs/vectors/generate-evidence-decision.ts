/** @module Decisions, policies and erasures, right ones and wrong ones (FORMAT §10.1 to §10.5). */
import { toBase64url } from '../bytes.ts'
import type { CborValue } from '../cbor.ts'
import type { JsonObject } from '../json.ts'
import { edit, type Made, make, type Row, WRONG } from './generate-bundle.ts'
import { seeded, type VectorKey } from './generate-keys.ts'
import {
  OPERATOR,
  OWNER,
  people,
  POLICY_PAYLOAD,
  type Story,
  type StoryTweaks,
  SERVICE,
  START_MS,
} from './generate-plot.ts'
import { propose, revoke } from './generate-story.ts'

const SECOND_POLICY: JsonObject = {
  policy: toBase64url(seeded('second policy')),
  revision: 'second',
}

export function decisionRows(): readonly Row[] {
  const verdict = (
    effect: 'allow' | 'deny' | 'require_approval',
    reasons: readonly string[],
  ): StoryTweaks => ({
    verdict: { effect, reasons, matched: [], obligations: [] },
  })
  const denied = { outcome: { action: [[0, 'denied']] } } as const
  const both = (decision: readonly (readonly [number, CborValue | undefined])[]): StoryTweaks => ({
    outcome: { decision, ...denied.outcome },
  })
  const deny = (reason: string): StoryTweaks =>
    both([
      [0, 'deny'],
      [1, [reason]],
      [2, undefined],
    ])
  const outOfScope: StoryTweaks = { asked: 'write:reports' }
  const wide: StoryTweaks = { asked: 'delete:everything' }
  return [
    [
      'ok-approval',
      'ok',
      'the policy wants an approval',
      make({ ...verdict('require_approval', ['big']), ...denied }),
      undefined,
      'denied',
    ],
    [
      'ok-scope-denied',
      'ok',
      'outside of the scope of the fetcher, denied',
      make({ ...outOfScope, ...deny('scope_not_in_chain') }),
      undefined,
      'denied',
    ],
    [
      'scope-not-in-child',
      'outcome_mismatch',
      'outside of the scope of the fetcher, allowed',
      make(outOfScope),
    ],
    ['scope-not-in-chain', 'outcome_mismatch', 'outside of every scope, allowed', make(wide)],
    [
      'scope-denied-inside',
      'outcome_mismatch',
      'inside of every scope, denied for it',
      make(deny('scope_not_in_chain')),
    ],
    [
      'ok-allow-with-reasons',
      'ok',
      'an allow that gives reasons is a denial',
      make({
        ...verdict('allow', ['odd']),
        ...both([
          [0, 'deny'],
          [2, undefined],
        ]),
      }),
      undefined,
      'denied',
    ],
    [
      'allow-with-reasons',
      'outcome_mismatch',
      'an allow that gives reasons',
      make(verdict('allow', ['odd'])),
    ],
    [
      'deny-as-allow',
      'outcome_mismatch',
      'the policy denied, the log allowed',
      make({
        ...verdict('deny', []),
        outcome: {
          decision: [
            [0, 'allow'],
            [2, 1_800_000_037_000],
          ],
        },
      }),
    ],
    [
      'reasons-other',
      'outcome_mismatch',
      'other reasons than the verdict',
      make({ ...verdict('deny', ['a']), outcome: { decision: [[1, ['b']]], ...denied.outcome } }),
    ],
    [
      'permit-longer',
      'outcome_mismatch',
      'a permit of an hour',
      make({ outcome: { decision: [[2, 1_800_003_607_000]] } }),
    ],
    [
      'certificate-expired',
      'outcome_mismatch',
      'allowed after the certificate had ended',
      make({ delay: { decision: 3_700_000 } }),
    ],
    [
      'ok-expired-denied',
      'ok',
      'denied after the certificate had ended',
      make({ delay: { decision: 3_700_000 }, ...deny('identity_expired') }),
      undefined,
      'denied',
    ],
    [
      'iat-early',
      'claim_invalid',
      'a request of an hour ago',
      make({ header: { decision: { iat: 1_800_000_000 - 3600 } } }),
    ],
    [
      'decision-by-service',
      'key_mismatch',
      'the service asks as the agent',
      make({ signer: { decision: people.mallory } }),
    ],
    [
      'decision-before-issuance',
      'lineage_broken',
      'prepared before the agent was issued',
      make({ prepared: { decision: [[0, 5]] } }),
    ],
    [
      'input-other',
      'outcome_mismatch',
      'a commitment to another input',
      make({ prepared: { decision: [[4, seeded('wrong')]] } }),
    ],
    [
      'ok-input-withheld',
      'ok',
      'a commitment to another input, and nothing disclosed',
      edit(make({ prepared: { decision: [[4, seeded('wrong')]] } }), (b) => (b.disclosures = {})),
    ],
    [
      'policy-index-other',
      'policy_missing',
      'the activation is another entry',
      make({ prepared: { decision: [[8, 3]] } }),
    ],
    [
      'policy-by-service-again',
      'outcome_mismatch',
      'the service puts the policy of genesis in force a second time',
      make({ prepared: { decision: [[8, 7]] }, before: { decision: activateAgain } }, [], [7]),
    ],
    [
      'owner-by-service-after-operator',
      'outcome_mismatch',
      'the service enrols after an operator has signed',
      make({ before: { owner: clocked } }, [], [3]),
    ],
    [
      'prepared-long-ago',
      'outcome_mismatch',
      'prepared 61 s before it was logged',
      make({ prepared: { decision: [[3, START_MS + 7000 - 61_000]] } }),
    ],
    [
      'prepared-later',
      'outcome_mismatch',
      'prepared after it was logged',
      make({ prepared: { decision: [[3, START_MS + 8000]] } }),
    ],
    [
      'policy-other',
      'policy_missing',
      'a policy that nobody put in force',
      make({ prepared: { decision: [[2, seeded('wrong')]] } }),
    ],
    [
      'policy-late',
      'outcome_mismatch',
      'a policy put in force after the decision was prepared',
      make(
        {
          prepared: {
            decision: [
              [0, 6],
              [8, 6],
            ],
          },
          without: ['policy'],
          before: { decision: activate },
        },
        ['policy'],
        [6],
      ),
    ],
    [
      'policy-replaced',
      'policy_missing',
      'another policy was put in force before the decision',
      make({ before: { decision: activateOther } }, [], [7]),
    ],
    [
      'policy-by-service',
      'outcome_mismatch',
      'a policy that the service chose',
      make({
        payload: { policy: { policy: WRONG } },
        prepared: { decision: [[2, seeded('wrong')]] },
      }),
    ],
    [
      'ok-erased-by-operator',
      'ok',
      'what the action disclosed was erased',
      erased(OPERATOR, people.operator),
      undefined,
      'matched',
    ],
    [
      'ok-erased-by-owner',
      'ok',
      'what the action disclosed was erased by the owner',
      erased(OWNER, people.owner),
    ],
    [
      'erased-by-other-owner',
      'outcome_mismatch',
      'erased by another owner',
      erased(`owner:${people.otherOwner.kid}`, people.otherOwner),
    ],
    [
      'erased-by-revoked-owner',
      'outcome_mismatch',
      'erased by the owner after it was revoked',
      erasedByRevoked(),
    ],
    [
      'erased-by-service',
      'key_mismatch',
      'erased by the service in the name of the owner',
      erased(OWNER, people.owner, people.service),
    ],
    [
      'ok-erased-something-else',
      'ok',
      'another entry was erased',
      erased(OPERATOR, people.operator, people.operator, [7]),
    ],
  ]
}

function activate(story: Story): void {
  propose(
    story,
    people.operator,
    {
      kind: 'policy.activate',
      payload: POLICY_PAYLOAD,
      subjects: ['policy', 'log'],
      sub: 'policy',
    },
    ['effective', 1, 1],
  )
}

/** What the service may do in the first batch alone. */
function activateAgain(story: Story): void {
  story.log.append({
    kind: 'policy.activate',
    by: people.service,
    header: { iss: SERVICE, sub: 'policy' },
    payload: POLICY_PAYLOAD,
    prepared: new Map(),
    outcome: new Map<number, CborValue>([
      [0, 'effective'],
      [1, 0],
      [2, 0],
    ]),
    subjects: ['policy', 'log'],
    timeMs: story.timeMs,
  })
  story.timeMs += 1000
}

/** An entry that an operator signed. */
function clocked(story: Story): void {
  story.log.append({
    kind: 'operator.clock',
    by: people.operator,
    header: { iss: OPERATOR, sub: 'log' },
    payload: { time_ms: story.timeMs },
    prepared: new Map(),
    outcome: new Map([[0, 'accepted']]),
    subjects: ['log'],
    timeMs: story.timeMs,
  })
  story.timeMs += 1000
}

function activateOther(story: Story): void {
  propose(
    story,
    people.operator,
    { kind: 'policy.activate', payload: SECOND_POLICY, subjects: ['policy', 'log'], sub: 'policy' },
    ['effective', 1, 1],
  )
}

/** A bundle of which the action's disclosures were erased. */
function erased(
  iss: string,
  named: VectorKey,
  by: VectorKey = named,
  entries: readonly number[] = [8],
): Made {
  const made = make(
    {
      before: {
        clock: (story) => erase(story, iss, by, entries),
      },
    },
    [],
    [9],
  )
  return edit(made, (b) => delete b.disclosures['8'])
}

/** The owner is revoked, and erases. */
function erasedByRevoked(): Made {
  const made = make(
    {
      before: {
        clock: (story) => {
          revoke(story, people.operator, OPERATOR, OWNER)
          erase(story, OWNER, people.owner, [8])
        },
      },
    },
    [],
    [9, 10],
  )
  return edit(made, (bundle) => delete bundle.disclosures['8'])
}

function erase(story: Story, iss: string, by: VectorKey, entries: readonly number[]): void {
  story.log.append({
    kind: 'erasure',
    by,
    header: { iss, sub: 'log' },
    payload: { entries, reason: 'subject_request' },
    prepared: new Map(),
    outcome: new Map<number, CborValue>([
      [0, 'erased'],
      [1, 3],
    ]),
    subjects: ['log'],
    timeMs: story.timeMs,
  })
}
