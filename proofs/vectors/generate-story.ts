/**
 * @module One story in a log: an owner starts an orchestrator (`read:transactions`, `write:reports`), which starts a data
 * fetcher (`read:transactions`), which asks for a decision and acts.
 */
import type { CborValue } from '../cbor.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import { bundleHash, formatTrustAnchor, type TrustAnchor } from '../trust.ts'
import { writeCertificate } from './generate-certificate.ts'
import type { VectorKey } from './generate-keys.ts'
import { type EntryDraft, VectorLog } from './generate-log.ts'
import {
  EMPTY,
  OWNER,
  people,
  ROOT_NAME,
  START_MS,
  type StepName,
  type Story,
  type StoryTweaks,
  TRUST_DOMAIN,
} from './generate-plot.ts'
import { STEPS } from './generate-steps.ts'

const DAY_MS = 86_400_000

/** The steps that a bundle about the action needs. */
export const NEEDED: readonly StepName[] = [
  'genesis',
  'owner',
  'policy',
  'root',
  'child',
  'decision',
  'action',
]

/** Tells the story. */
export function tellStory(tweaks: StoryTweaks = {}): Story {
  const log = new VectorLog(tweaks.origin ?? 'log.example/logs/main')
  const rootCertificate = writeCertificate({
    uri: `spiffe://${TRUST_DOMAIN}`,
    spki: people.authority.spki,
    notBeforeMs: START_MS - DAY_MS,
    notAfterMs: START_MS + 300 * DAY_MS,
    subject: ROOT_NAME,
    issuer: ROOT_NAME,
    issuerKey: people.authority,
    issuerSpki: people.authority.spki,
    isAuthority: true,
    extendedKeyUsage: false,
    subjectKeyId: true,
    delegation: null,
    delegationCritical: false,
    ...tweaks.root,
  })
  const indexes = new Map<StepName, number>()
  const anchor: TrustAnchor = {
    key: log.noteKey,
    genesisHash: new Uint8Array(32),
    bundleHash: bundleHash(p, [rootCertificate]),
  }
  const story: Story = {
    log,
    tweaks,
    indexes,
    anchor,
    timeMs: START_MS,
    rootCertificate,
    records: new Map(),
  }
  for (const name of tweaks.order ?? STEPS.keys()) {
    const tellStep = STEPS.get(name)
    if (tellStep === undefined || tweaks.without?.includes(name) === true) continue
    story.timeMs += tweaks.delay?.[name] ?? 0
    tweaks.before?.[name]?.(story)
    indexes.set(name, tellStep(story))
    story.timeMs += 1000
  }
  const genesisHash = leafHash(p, log.entries[0] ?? new Uint8Array())
  return { ...story, anchor: { ...anchor, genesisHash } }
}

/** The trust anchor of a story, as text. */
export function anchorOf(story: Story, patch: Partial<TrustAnchor> = {}): string {
  return formatTrustAnchor(p, { ...story.anchor, ...patch })
}

/** The bundle about the story's action: these steps and entries, ascending. */
export function bundleOf(
  story: Story,
  steps: readonly StepName[] = NEEDED,
  more: readonly number[] = [],
): Uint8Array {
  const indexes = steps.flatMap((name) => story.indexes.get(name) ?? [])
  const all = [...new Set([...indexes, ...more])].sort((a, b) => a - b)
  return story.log.bundle(story.indexes.get('action') ?? 0, all)
}

/** Appends a revocation of a subject. */
export function revoke(
  story: Story,
  by: VectorKey,
  iss: string,
  target: string,
  patch: Partial<EntryDraft> = {},
): number {
  const subjects = target.startsWith('inst:')
    ? [target, `agent:${target.slice(5).replace(/\/inst-[a-z0-9]+$/, '')}`, OWNER]
    : target.startsWith('owner:')
      ? [target]
      : [target, OWNER]
  const instance = iss.startsWith('spiffe:')
  const index = story.log.append({
    kind: 'agent.revoke',
    by,
    header: { iss, sub: target, ...(instance ? { seq: 9 } : {}) },
    payload: { target, reason: 'compromised' },
    prepared: EMPTY,
    outcome: new Map<number, CborValue>([
      [0, 'revoked'],
      [1, 1],
      [2, new Uint8Array(32)],
      ...(instance ? ([[15, 'new']] as const) : []),
    ]),
    subjects,
    timeMs: story.timeMs,
    ...patch,
  })
  story.timeMs += 1000
  return index
}

/** Appends an operator's signature of a proposal. */
export function propose(
  story: Story,
  by: VectorKey,
  draft: Pick<EntryDraft, 'kind' | 'payload' | 'subjects'> & { readonly sub: string },
  counts: readonly [result: string, signed: number, needed: number],
): number {
  const index = story.log.append({
    kind: draft.kind,
    by,
    header: { iss: `operator:${by.kid}`, sub: draft.sub },
    payload: draft.payload,
    prepared: EMPTY,
    outcome: new Map<number, CborValue>(counts.map((value, key) => [key, value])),
    subjects: draft.subjects,
    timeMs: story.timeMs,
  })
  story.timeMs += 1000
  return index
}

/** The second action of the story's fetcher, or any other statement of an agent. */
export function agentDraft(
  story: Story,
  kind: string,
  by: VectorKey,
  id: string,
  parts: Pick<EntryDraft, 'payload' | 'outcome'> & Partial<EntryDraft>,
): EntryDraft {
  return {
    kind,
    by,
    header: { iss: id, sub: id, seq: story.log.entries.length + 1 },
    prepared: EMPTY,
    subjects: [`inst:${id}`, `agent:${id.replace(/\/inst-[a-z0-9]+$/, '')}`, OWNER],
    timeMs: story.timeMs,
    ...parts,
  }
}
