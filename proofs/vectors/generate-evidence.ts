/** @module Vectors of evidence, put together. */
import { MEDIA_COSE } from '../statement.ts'
import { make, type Row } from './generate-bundle.ts'
import type { VectorCase } from './generate-cases.ts'
import { CHILD_ID, people, ROOT_ID, type StoryTweaks } from './generate-plot.ts'
import { verdictRows } from './generate-evidence-action.ts'
import { missingRows, twistedRows } from './generate-evidence-bundle.ts'
import { decisionRows } from './generate-evidence-decision.ts'
import { orderRows } from './generate-evidence-order.ts'
import { peopleRows, revocationRows } from './generate-evidence-people.ts'
import { BROKEN_RULES } from './generate-rules.ts'
import { anchorOf } from './generate-story.ts'

/**
 * Of the many, those that are written down, so that the folder stays small: the rules of delegation are in `lineage` already,
 * and of several that break one rule in one way, one is enough for a second implementation. A test checks all of them.
 */
const WRITTEN_LOGS: ReadonlySet<string> = new Set([
  'log-scope-wider',
  'log-child-record-by-other-key',
  'log-certificate-of-other-key',
  'log-extension-of-other-scope',
])
const UNWRITTEN: ReadonlySet<string> = new Set([
  'genesis-signature',
  'path-long',
  'action-for-other-log',
  'action-not-here',
  'allow-with-reasons',
  'child-name-outside-patterns',
  'claim-of-parent',
  'disclosure-of-genesis',
  'disclosure-of-no-entry',
  'disclosure-other',
  'disclosures-empty',
  'entries-swapped',
  'epoch-above-size',
  'epoch-low',
  'erased-by-revoked-owner',
  'erased-by-service',
  'event-id-twice',
  'expired-as-matched',
  'genesis-by-other-key',
  'genesis-of-other-kind',
  'head-changed',
  'head-with-extension',
  'iat-early',
  'index-negative',
  'late-as-matched',
  'link-starts-again',
  'link-to-other-chain',
  'matched-as-denied',
  'matched-to-later',
  'matched-to-no-decision',
  'mismatched-instance-not-shown',
  'name-of-other-owner-exact',
  'name-of-other-owner-literal',
  'name-outside-patterns',
  'no-entries',
  'ok-approval',
  'ok-delivered-late',
  'ok-denied-revoked-not-shown',
  'ok-epoch-of-size',
  'ok-erased-something-else',
  'ok-expired-before',
  'ok-input-withheld',
  'ok-just-before',
  'ok-late-certificate',
  'ok-link-with-room',
  'ok-mismatched-instance',
  'ok-more-entries',
  'ok-name-of-literal',
  'ok-name-of-longer-match',
  'ok-operator-pending',
  'ok-revoked-instance-by-parent',
  'ok-revoked-name-by-operator',
  'ok-revoked-other',
  'ok-revoked-owner-by-operator',
  'operator-by-service',
  'owner-by-service-after-operator',
  'owner-by-service-counted',
  'owner-early',
  'owner-of-other-service',
  'owner-signature-used',
  'path-node-short',
  'policy-index-other',
  'prepared-later',
  'reasons-other',
  'revoked-by-child',
  'revoked-by-expired-parent',
  'revoked-by-other-owner',
  'revoked-by-revoked-parent',
  'revoked-by-stranger',
  'revoked-name-by-parent',
  'scope-denied-inside',
  'scope-not-in-chain',
  'spent-by-other-decision',
  'spent-by-service',
  'subjects-of-owner',
])

const UNWRITTEN_ROTATIONS: ReadonlySet<string> = new Set([
  'ok-first-of-two',
  'ok-none',
  'ok-second',
  'by-stranger',
  'genesis-not-shown',
  'key-of-cosigner',
  'key-of-heartbeat',
  'key-of-other-log',
  'known-elsewhere',
  'log-untrusted',
  'member-of-rotation-unknown',
  'member-unknown',
  'one-operator-twice',
  'pending',
  'until-other',
  'ended-at-other-root',
  'ok-ended',
])

const WRITTEN_LINEAGES: ReadonlySet<string> = new Set(['cose-child-record-signature'])

/** Whether the vector is written to a file. */
export function isWritten({ folder, name }: Pick<VectorCase, 'folder' | 'name'>): boolean {
  // The rules are broken in both envelopes, and written in one: what differs is the envelope's, in `statement`.
  if (folder === 'lineage') return !name.startsWith('cose-') || WRITTEN_LINEAGES.has(name)
  if (folder === 'rotations' || folder === 'successor') return !UNWRITTEN_ROTATIONS.has(name)
  if (folder !== 'evidence') return true
  return name.startsWith('log-') ? WRITTEN_LOGS.has(name) : !UNWRITTEN.has(name)
}

/** All of them. */
export function evidenceCases(): readonly VectorCase[] {
  const right = make()
  const rows: readonly Row[] = [
    ...missingRows(),
    ...twistedRows(right),
    ...verdictRows(),
    ...decisionRows(),
    ...revocationRows(),
    ...peopleRows(),
    ...orderRows(),
    [
      'log-depth-wrong',
      'lineage_broken',
      'depth 2 below depth 0',
      make({ payload: { child: { depth: 2 } } }),
    ],
    [
      'log-child-of-other-owner',
      'owner_unproven',
      'the child has another owner than its parent',
      make(otherOwned()),
    ],
    ['ok-cose', 'ok', 'all of it in COSE', make({ media: MEDIA_COSE })],
    [
      'ok-cose-action',
      'ok',
      'the action in COSE, all else in JWS',
      make({ draft: { action: { media: MEDIA_COSE } } }),
    ],
    ...BROKEN_RULES.filter(([name]) => name !== 'extension-of-other-log').map(
      ([name, expect, description, tweaks]): Row => [
        `log-cose-${name}`,
        expect,
        `a log that issued it, in COSE: ${description}`,
        make({ ...tweaks, media: MEDIA_COSE }),
      ],
    ),
    ...BROKEN_RULES.filter(([name]) => name !== 'extension-of-other-log').map(
      ([name, expect, description, tweaks]): Row => [
        `log-${name}`,
        expect,
        `a log that issued it: ${description}`,
        make(tweaks),
      ],
    ),
  ]
  return rows.map(([name, expect, description, { story, text }, trust, verdict = 'matched']) => ({
    folder: 'evidence',
    name,
    description,
    specification: 'FORMAT §12',
    input: { trust: trust ?? anchorOf(story), evidence: text, verdict },
    expect,
  }))
}

function otherOwned(): StoryTweaks {
  const owner = `owner:${people.mallory.kid}`
  const name = 'spiffe://example.com/finance/orchestrator/fetcher'
  const subjects = [`inst:${CHILD_ID}`, `inst:${ROOT_ID}`, `agent:${name}`, owner]
  return { payload: { child: { owner } }, draft: { child: { subjects } } }
}
