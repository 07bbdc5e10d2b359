/** @module Revocations and enrolments, right ones and wrong ones (FORMAT §6). */
import { toBase64url } from '../bytes.ts'
import type { JsonObject } from '../json.ts'
import { make, type Row } from './generate-bundle.ts'
import type { VectorKey } from './generate-keys.ts'
import {
  CHILD_ID,
  OPERATOR,
  OWNER,
  OWNER_PAYLOAD,
  people,
  ROOT_ID,
  type StepName,
  type Story,
  type StoryTweaks,
} from './generate-plot.ts'
import { propose, revoke } from './generate-story.ts'

export function revocationRows(): readonly Row[] {
  const inst = `inst:${CHILD_ID}`
  const parent = `inst:${ROOT_ID}`
  const name = 'agent:spiffe://example.com/finance/orchestrator'
  const before = (step: StepName, by: VectorKey, iss: string, target: string): StoryTweaks => ({
    before: { [step]: (story: Story) => void revoke(story, by, iss, target) },
  })
  const revoked = { outcome: { action: [[0, 'revoked']] } } as const
  const operator = [people.operator, OPERATOR] as const
  const ok = (what: string, by: VectorKey, iss: string, target: string): Row => [
    `ok-revoked-${what}`,
    'ok',
    `revoked before the action: ${what}`,
    make({ ...before('action', by, iss, target), ...revoked }, [], [8]),
    undefined,
    'revoked',
  ]
  const epoch: StoryTweaks = { prepared: { decision: [[5, 1]] } }
  const deny: StoryTweaks = {
    outcome: {
      decision: [
        [0, 'deny'],
        [1, ['identity_revoked']],
        [2, undefined],
      ],
      action: [[0, 'denied']],
    },
  }
  return [
    ok('instance-by-operator', ...operator, inst),
    ok('instance-by-parent', people.root, ROOT_ID, inst),
    ok('parent-by-owner', people.owner, OWNER, parent),
    ok('name-by-operator', ...operator, name),
    ok('owner-by-operator', ...operator, OWNER),
    [
      'revoked-as-matched',
      'outcome_mismatch',
      'revoked before the action, recorded as matched',
      make(before('action', ...operator, inst), [], [8]),
    ],
    [
      'ok-revoked-not-shown',
      'ok',
      'recorded as revoked, and no revocation is here',
      make({ ...before('action', ...operator, inst), ...revoked }),
      undefined,
      'revoked',
    ],
    [
      'ok-revoked-after',
      'ok',
      'revoked after the action',
      make(before('clock', ...operator, inst), [], [9]),
    ],
    [
      'ok-revoked-other',
      'ok',
      'somebody else was revoked',
      make(before('action', ...operator, `owner:${people.otherOwner.kid}`), [], [8]),
    ],
    [
      'allowed-though-revoked',
      'outcome_mismatch',
      'revoked before the decision, allowed',
      make({ ...before('decision', ...operator, parent), ...epoch }, [], [7]),
    ],
    [
      'ok-denied-revoked',
      'ok',
      'revoked before the decision, denied',
      make({ ...before('decision', ...operator, parent), ...deny, ...epoch }, [], [7]),
      undefined,
      'denied',
    ],
    [
      'ok-denied-revoked-not-shown',
      'ok',
      'denied as revoked, and no revocation is here',
      make({ ...before('decision', ...operator, parent), ...deny, ...epoch }),
      undefined,
      'denied',
    ],
    [
      'issued-though-revoked',
      'revoked',
      'the fetcher was issued after its parent was revoked',
      make(before('child', ...operator, parent), [], [6]),
    ],
    [
      'epoch-low',
      'outcome_mismatch',
      'a revocation before the decision that its epoch does not count',
      make(before('decision', ...operator, `owner:${people.otherOwner.kid}`), [], [7]),
    ],
    [
      'epoch-above-size',
      'outcome_mismatch',
      'an epoch above the size that the decision was prepared at',
      make({ prepared: { decision: [[5, 8]] } }),
    ],
    [
      'ok-epoch-of-size',
      'ok',
      'an epoch that is the size that the decision was prepared at',
      make({ prepared: { decision: [[5, 7]] } }),
    ],
    [
      'revoked-by-revoked-parent',
      'outcome_mismatch',
      'the parent was revoked itself',
      make(
        {
          before: {
            action: (story) => {
              revoke(story, ...operator, parent)
              revoke(story, people.root, ROOT_ID, inst)
            },
          },
          ...revoked,
        },
        [],
        [8, 9],
      ),
    ],
    [
      'revoked-by-expired-parent',
      'certificate_expired',
      'the certificate of the parent had ended',
      make(
        {
          ...before('action', people.root, ROOT_ID, inst),
          ...revoked,
          delay: { action: 3_700_000 },
        },
        [],
        [8],
      ),
    ],
    [
      'revoked-by-itself',
      'outcome_mismatch',
      'an instance may not revoke itself',
      make({ ...before('action', people.child, CHILD_ID, inst), ...revoked }, [], [8]),
    ],
    [
      'revoked-by-child',
      'outcome_mismatch',
      'an instance may not revoke its parent',
      make({ ...before('action', people.child, CHILD_ID, parent), ...revoked }, [], [8]),
    ],
    [
      'revoked-name-by-parent',
      'outcome_mismatch',
      'an instance may not revoke a name',
      make({ ...before('action', people.root, ROOT_ID, name), ...revoked }, [], [8]),
    ],
    [
      'revoked-by-other-owner',
      'outcome_mismatch',
      'another owner may not revoke it',
      make(
        {
          ...before('action', people.otherOwner, `owner:${people.otherOwner.kid}`, inst),
          ...revoked,
        },
        [],
        [8],
      ),
    ],
    [
      'revoked-by-service',
      'key_mismatch',
      'the service signs as the owner',
      make({ ...before('action', people.service, OWNER, inst), ...revoked }, [], [8]),
    ],
    [
      'revoked-by-stranger',
      'link_missing',
      'an operator whose enrolment is not here',
      make(
        { ...before('action', people.late, `operator:${people.late.kid}`, inst), ...revoked },
        [],
        [8],
      ),
    ],
  ]
}

export function peopleRows(): readonly Row[] {
  const enroll = {
    kind: 'owner.enroll',
    payload: OWNER_PAYLOAD,
    subjects: [OWNER, 'log'],
    sub: OWNER,
  }
  const two = { payload: { genesis: { threshold: 2 } } } as const
  const signed = (
    ...signatures: readonly (readonly [
      VectorKey,
      string,
      number,
      number,
      (JsonObject | undefined)?,
      number?,
    ])[]
  ): StoryTweaks => ({
    ...two,
    without: ['owner'],
    before: {
      root: (story) => {
        for (const [key, result, count, needed, payload = OWNER_PAYLOAD, wait = 0] of signatures) {
          story.timeMs += wait
          propose(story, key, { ...enroll, payload }, [result, count, needed])
        }
      },
    },
  })
  const { operator, second, late } = people
  const lateOperator = {
    kind: 'operator.enroll',
    payload: { key: toBase64url(late.spki) },
    subjects: ['log'],
    sub: `operator:${late.kid}`,
  }
  const enrolledLate: StoryTweaks = {
    without: ['owner'],
    before: {
      root: (story) => {
        propose(story, operator, lateOperator, ['effective', 1, 1])
        propose(story, late, enroll, ['effective', 1, 1])
      },
    },
  }
  const other = { ...OWNER_PAYLOAD, patterns: ['**'] }
  return [
    [
      'ok-owner-of-two-operators',
      'ok',
      'an owner enrolled by two operators',
      make(signed([operator, 'pending', 1, 2], [second, 'effective', 2, 2]), [], [4, 5]),
    ],
    [
      'owner-one-of-two-missing',
      'owner_unproven',
      'the first signature is not here',
      make(signed([operator, 'pending', 1, 2], [second, 'effective', 2, 2]), [], [5]),
    ],
    [
      'owner-pending',
      'owner_unproven',
      'one signature of two',
      make(signed([operator, 'pending', 1, 2]), [], [4]),
    ],
    [
      'owner-one-operator-twice',
      'owner_unproven',
      'two signatures of one operator',
      make(signed([operator, 'pending', 1, 2], [operator, 'effective', 2, 2]), [], [4, 5]),
    ],
    [
      'owner-two-payloads',
      'owner_unproven',
      'two signatures of different proposals',
      make(signed([operator, 'pending', 1, 2, other], [second, 'effective', 2, 2]), [], [4, 5]),
    ],
    [
      'owner-signature-old',
      'owner_unproven',
      'the first signature is more than 7 days old',
      make(
        signed([operator, 'pending', 1, 2], [second, 'effective', 2, 2, undefined, 8 * 86_400_000]),
        [],
        [4, 5],
      ),
    ],
    [
      'owner-signature-used',
      'owner_unproven',
      'the first signature had its effect before',
      make(
        signed(
          [operator, 'pending', 1, 2],
          [second, 'effective', 2, 2],
          [operator, 'effective', 2, 2],
        ),
        [],
        [4, 5, 6],
      ),
    ],
    [
      'owner-one-of-one',
      'outcome_mismatch',
      'one signature is enough, says the log, and genesis says two',
      make(signed([operator, 'effective', 1, 1]), [], [4]),
    ],
    [
      'owner-early',
      'outcome_mismatch',
      'effective with one of two',
      make(signed([operator, 'effective', 1, 2]), [], [4]),
    ],
    [
      'ok-owner-of-late-operator',
      'ok',
      'an owner enrolled by an operator enrolled later',
      make(enrolledLate, [], [4, 5]),
    ],
    [
      'owner-of-unknown-operator',
      'link_missing',
      'the enrolment of the operator is not here',
      make(enrolledLate, [], [5]),
    ],
    [
      'owner-by-service',
      'outcome_mismatch',
      'the service enrols an owner whom genesis does not name',
      make({ payload: { owner: { patterns: ['**'] } } }),
    ],
    [
      'owner-by-service-counted',
      'outcome_mismatch',
      'the service signs, with a count',
      make({ outcome: { owner: [[1, 1]] } }),
    ],
    [
      'owner-after-issuance',
      'owner_unproven',
      'enrolled after the issuance',
      make(
        {
          without: ['owner'],
          before: { child: (story) => void propose(story, operator, enroll, ['effective', 1, 1]) },
        },
        [],
        [5],
      ),
    ],
    [
      'owner-of-other-service',
      'key_mismatch',
      'enrolled by a service that genesis does not name',
      make({
        signer: { owner: people.permit },
        header: { owner: { iss: `service:${people.permit.kid}` } },
      }),
    ],
    [
      'operator-by-service',
      'outcome_mismatch',
      'the service enrols an operator whom genesis does not name',
      make(
        {
          signer: { second: people.service },
          payload: { second: { key: toBase64url(late.spki) } },
          header: { second: { sub: `operator:${late.kid}` } },
        },
        [],
        ['second'],
      ),
    ],
    [
      'ok-operator-pending',
      'ok',
      'an operator who is not enrolled yet',
      make(
        {
          before: {
            root: (story) => void propose(story, operator, lateOperator, ['pending', 1, 2]),
          },
        },
        [],
        [5],
      ),
    ],
    [
      'name-outside-patterns',
      'delegation_invalid',
      'a name that the owner may not start',
      make(patterns(['legal/**'], ['finance/treasury/**'])),
    ],
    [
      'name-of-other-owner',
      'delegation_invalid',
      'a name that another owner has by a longer match',
      make(patterns(['finance/**'], ['finance/orchestrator/**'])),
    ],
    [
      'child-name-outside-patterns',
      'delegation_invalid',
      'a child of a name that the owner may not give',
      make(patterns(['finance/orchestrator'], ['legal/**'])),
    ],
    [
      'name-of-other-owner-literal',
      'delegation_invalid',
      'a literal of another owner where this one has a star',
      make(patterns(['finance/*/**'], ['finance/orchestrator/**'])),
    ],
    [
      'name-of-other-owner-exact',
      'delegation_invalid',
      'another owner has the name without all below it',
      make(patterns(['finance/orchestrator/**'], ['finance/orchestrator'])),
    ],
    [
      'ok-name-of-literal',
      'ok',
      'a literal where another owner has a star',
      make(patterns(['finance/orchestrator/**'], ['finance/*/**'])),
    ],
    [
      'ok-name-of-longer-match',
      'ok',
      'a name that another owner has by a shorter match',
      make(patterns(['finance/orchestrator/**'], ['finance/**'])),
    ],
  ]
}

/** Two owners with these patterns. */
function patterns(own: readonly string[], other: readonly string[]): StoryTweaks {
  const first = { ...OWNER_PAYLOAD, patterns: own }
  const second = { key: toBase64url(people.otherOwner.spki), patterns: other }
  return { payload: { genesis: { owners: [first, second] }, owner: first } }
}
