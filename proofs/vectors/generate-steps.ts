/** @module The steps of the story, each the entry of a log. */
import { toBase64url } from '../bytes.ts'
import type { CborMap, CborValue } from '../cbor.ts'
import {
  actionDigest,
  encodeDecisionPrepared,
  findSaltDisclosure,
  inputCommitment,
  policyInput,
  type Verdict,
} from '../decision.ts'
import type { JsonObject } from '../json.ts'
import { noblePrimitives as p } from '../noble.ts'
import { formatVkey, NOTE_COSIGNATURE_V1, noteKey, type NoteKey } from '../note.ts'
import { parseScope } from '../scope.ts'
import { encodeSvidExtension } from '../svid-extension.ts'
import { type CertificateDraft, tlv, writeCertificate } from './generate-certificate.ts'
import { seeded, type VectorKey } from './generate-keys.ts'
import { contentOf, type EntryDraft, signStatement } from './generate-log.ts'
import {
  ACTION,
  ACTION_DISCLOSURES,
  actionPayload,
  CHILD_ID,
  COMMITMENT,
  committed,
  DECISION_DISCLOSURES,
  DECISION_ID,
  EMPTY,
  OPERATOR,
  OWNER,
  OWNER_PAYLOAD,
  people,
  POLICY,
  POLICY_PAYLOAD,
  RESOURCE,
  ROOT_ID,
  ROOT_NAME,
  SERVICE,
  START_MS,
  type StepName,
  type Story,
  TRUST_DOMAIN,
} from './generate-plot.ts'

const HOUR_MS = 3_600_000

const FIRST: readonly (readonly [number, CborValue])[] = [
  [0, 'effective'],
  [1, 0],
  [2, 0],
]

export const STEPS: ReadonlyMap<StepName, (story: Story) => number> = new Map([
  ['genesis', tellGenesis],
  ['operator', (story) => tellOperator(story, 'operator', people.operator)],
  ['second', (story) => tellOperator(story, 'second', people.second)],
  ['owner', tellOwner],
  ['policy', tellPolicy],
  ['root', (story) => tellIssuance(story, 'root')],
  ['child', (story) => tellIssuance(story, 'child')],
  ['decision', tellDecision],
  ['action', tellAction],
  ['clock', tellClock],
])

/** Applies what the tweaks say about a step. */
function tweaked(story: Story, name: StepName, draft: EntryDraft): EntryDraft {
  const { payload, header, signer, prepared, outcome, media, draft: parts } = story.tweaks
  return {
    ...draft,
    by: signer?.[name] ?? draft.by,
    header: { ...draft.header, ...header?.[name] },
    payload: { ...draft.payload, ...payload?.[name] },
    prepared: patchedMap(draft.prepared, prepared?.[name]),
    outcome: patchedMap(draft.outcome, outcome?.[name]),
    ...(media === undefined ? {} : { media }),
    ...parts?.[name],
  }
}

function patchedMap(
  map: CborMap,
  patch: readonly (readonly [number, CborValue | undefined])[] = [],
): CborMap {
  const made = new Map(map)
  for (const [key, value] of patch) {
    if (value === undefined) made.delete(key)
    else made.set(key, value)
  }
  return new Map([...made].sort(([a], [b]) => Number(a) - Number(b)))
}

export function tell(story: Story, name: StepName, draft: Omit<EntryDraft, 'timeMs'>): number {
  return story.log.append(tweaked(story, name, { ...draft, timeMs: story.timeMs }))
}

/** The keys that a genesis names. */
export function genesisKeys(origin: string, logKey: NoteKey): JsonObject {
  const time = noteKey(p, `${origin}/time`, NOTE_COSIGNATURE_V1, people.time.publicKey)
  return {
    log: formatVkey(logKey),
    time: formatVkey(time),
    service: toBase64url(people.service.spki),
    permit: toBase64url(people.permit.spki),
    heartbeat: toBase64url(people.heartbeat.spki),
  }
}

function tellGenesis(story: Story): number {
  const { log } = story
  return tell(story, 'genesis', {
    kind: 'genesis',
    by: people.service,
    header: { iss: SERVICE, sub: log.origin },
    payload: {
      format: 1,
      rules: 1,
      origin: log.origin,
      trust_domain: TRUST_DOMAIN,
      development: false,
      keys: genesisKeys(log.origin, log.noteKey),
      ca: [toBase64url(story.rootCertificate)],
      operators: [people.operator, people.second].map(({ spki }) => toBase64url(spki)),
      threshold: 1,
      owners: [
        OWNER_PAYLOAD,
        { key: toBase64url(people.otherOwner.spki), patterns: ['finance/treasury/**'] },
      ],
      policy: toBase64url(POLICY),
      predecessor: null,
    },
    prepared: EMPTY,
    outcome: new Map([[0, 'created']]),
    subjects: ['log'],
  })
}

function tellOperator(story: Story, name: 'operator' | 'second', key: VectorKey): number {
  return tell(story, name, {
    kind: 'operator.enroll',
    by: people.service,
    header: { iss: SERVICE, sub: `operator:${key.kid}` },
    payload: { key: toBase64url(key.spki) },
    prepared: EMPTY,
    outcome: new Map(FIRST),
    subjects: ['log'],
  })
}

function tellOwner(story: Story): number {
  return tell(story, 'owner', {
    kind: 'owner.enroll',
    by: people.service,
    header: { iss: SERVICE, sub: OWNER },
    payload: OWNER_PAYLOAD,
    prepared: EMPTY,
    outcome: new Map(FIRST),
    subjects: [OWNER, 'log'],
  })
}

function tellPolicy(story: Story): number {
  return tell(story, 'policy', {
    kind: 'policy.activate',
    by: people.service,
    header: { iss: SERVICE, sub: 'policy' },
    payload: POLICY_PAYLOAD,
    prepared: EMPTY,
    outcome: new Map(FIRST),
    subjects: ['policy', 'log'],
  })
}

function recordOf(story: Story, name: 'root' | 'child'): JsonObject {
  const ceiling = Math.floor(START_MS / 1000) + 7 * 86_400
  const common = {
    trust_domain: TRUST_DOMAIN,
    owner: OWNER,
    size: story.log.entries.length,
    ttl: 3600,
    ceiling,
  }
  if (name === 'root') {
    return {
      ...common,
      parent: null,
      child: { instance: ROOT_ID, key: people.root.kid, csr: toBase64url(seeded('csr of root')) },
      authorization: null,
      scope: ['read:transactions', 'write:reports'],
      depth: 0,
      max_depth: 2,
      may_create: ['finance/orchestrator/**'],
    }
  }
  const record = toBase64url(story.records.get('root')?.digest ?? new Uint8Array(32))
  return {
    ...common,
    parent: { instance: ROOT_ID, key: people.root.kid, record },
    child: { instance: CHILD_ID, key: people.child.kid, csr: toBase64url(seeded('csr of child')) },
    authorization: record,
    scope: ['read:transactions'],
    depth: 1,
    max_depth: 1,
    may_create: [],
  }
}

function tellIssuance(story: Story, name: 'root' | 'child'): number {
  const { log, tweaks, timeMs } = story
  const isRoot = name === 'root'
  const [key, id] = isRoot ? [people.root, ROOT_ID] : [people.child, CHILD_ID]
  const subjects = isRoot
    ? [`inst:${id}`, `agent:${nameOfInstance(id)}`, OWNER]
    : [`inst:${id}`, `inst:${ROOT_ID}`, `agent:${nameOfInstance(id)}`, OWNER]
  const draft = tweaked(story, name, {
    kind: 'agent.issue',
    by: isRoot ? people.owner : people.root,
    header: isRoot ? { iss: OWNER, sub: id } : { iss: ROOT_ID, sub: id, seq: 1 },
    payload: recordOf(story, name),
    prepared: EMPTY,
    outcome: new Map<number, CborValue>([[0, 'issued'], ...(isRoot ? [] : [[15, 'new'] as const])]),
    subjects,
    timeMs,
  })
  const statement = signStatement(log.origin, draft)
  const digest = p.sha256(contentOf(statement, draft.media))
  const size = Number(draft.payload['size'])
  const delegation = encodeSvidExtension(p, {
    recordDigest: digest,
    owner: OWNER,
    depth: isRoot ? 0 : 1,
    ancestors: isRoot ? [] : [{ instance: ROOT_ID, size: story.indexes.get('root') ?? 0 }],
    scope: parseScope(scopeOf(draft.payload)),
    origin: log.origin,
    size,
    ...tweaks.extension?.[name],
  })
  const parentEndMs = story.records.get('root')?.notAfterMs ?? Infinity
  const notAfterMs = Math.min(Math.floor((timeMs + HOUR_MS) / 1000) * 1000, parentEndMs)
  const certificate: CertificateDraft = {
    uri: id,
    spki: key.spki,
    notBeforeMs: timeMs - 10_000,
    notAfterMs,
    subject: tlv(0x30),
    issuer: ROOT_NAME,
    issuerKey: people.authority,
    issuerSpki: people.authority.spki,
    isAuthority: false,
    extendedKeyUsage: true,
    subjectKeyId: true,
    delegation,
    delegationCritical: false,
    ...tweaks.certificate?.[name],
  }
  const der = writeCertificate(certificate)
  story.records.set(name, { digest, der, notAfterMs: certificate.notAfterMs })
  return log.appendSigned(
    {
      ...draft,
      prepared: new Map<number, CborValue>([...numbered(draft.prepared), [1, der]]),
      outcome: new Map<number, CborValue>(
        [[1, certificate.notAfterMs] as const, ...numbered(draft.outcome)].sort(
          ([a], [b]) => a - b,
        ),
      ),
    },
    statement,
  )
}

function tellDecision(story: Story): number {
  const { log, timeMs, tweaks } = story
  const asked = tweaks.asked ?? ACTION
  const size = log.entries.length
  const digest = actionDigest(p, { ...COMMITMENT, instance: CHILD_ID, action: asked })
  const input = policyInput({
    agent: { identity: nameOfInstance(CHILD_ID), instance: CHILD_ID, owner: OWNER, depth: 1 },
    chain: [
      { instance: ROOT_ID, scope: ['read:transactions', 'write:reports'] },
      { instance: CHILD_ID, scope: ['read:transactions'] },
    ],
    action: asked,
    actionProperties: COMMITMENT.actionProperties ?? {},
    resource: RESOURCE,
    resourceProperties: {},
    context: { reason: 'monthly report' },
    nowMs: timeMs,
    stateSize: size,
  })
  const verdict: Verdict = tweaks.verdict ?? {
    effect: 'allow',
    reasons: [],
    matched: ['default.in_scope'],
    obligations: [],
  }
  const isAllow = verdict.effect === 'allow'
  return tell(story, 'decision', {
    kind: 'decision',
    by: people.child,
    header: { iss: CHILD_ID, sub: CHILD_ID, seq: 1 },
    payload: {
      subject: { type: 'agent', id: CHILD_ID },
      action: { name: asked },
      resource: RESOURCE,
      action_digest: toBase64url(digest),
      ...committed(DECISION_DISCLOSURES),
    },
    prepared: encodeDecisionPrepared({
      size,
      decisionId: DECISION_ID,
      policy: POLICY,
      nowMs: timeMs,
      inputCommitment: inputCommitment(p, findSaltDisclosure(DECISION_DISCLOSURES), input),
      epoch: 0,
      verdict,
      reproducible: true,
      policyIndex: story.indexes.get('policy') ?? 0,
    }),
    outcome: new Map<number, CborValue>([
      [0, verdict.effect],
      [1, verdict.reasons],
      ...(isAllow ? [[2, (Math.floor(timeMs / 1000) + 30) * 1000] as const] : []),
      [15, 'new'],
    ]),
    subjects: [`inst:${CHILD_ID}`, `agent:${nameOfInstance(CHILD_ID)}`, OWNER],
    disclosures: DECISION_DISCLOSURES,
  })
}

function tellAction(story: Story): number {
  const jti = 'event-1'
  return tell(story, 'action', {
    kind: 'action',
    by: people.child,
    header: { iss: CHILD_ID, sub: CHILD_ID, seq: 2, jti },
    payload: actionPayload(story, jti, story.tweaks.done ?? story.tweaks.asked ?? ACTION),
    prepared: EMPTY,
    outcome: new Map<number, CborValue>([
      [0, 'matched'],
      [1, story.indexes.get('decision') ?? 0],
      [15, 'new'],
    ]),
    subjects: [`inst:${CHILD_ID}`, `agent:${nameOfInstance(CHILD_ID)}`, OWNER],
    disclosures: ACTION_DISCLOSURES,
  })
}

function tellClock(story: Story): number {
  return tell(story, 'clock', {
    kind: 'operator.clock',
    by: people.operator,
    header: { iss: OPERATOR, sub: 'log' },
    payload: { time_ms: story.timeMs },
    prepared: EMPTY,
    outcome: new Map([[0, 'accepted']]),
    subjects: ['log'],
  })
}

function scopeOf(payload: JsonObject): readonly string[] {
  const scope = payload['scope']
  return Array.isArray(scope) ? scope.map(String).sort() : []
}

function nameOfInstance(id: string): string {
  return id.replace(/\/inst-[a-z0-9]+$/, '')
}

function numbered(map: CborMap): readonly (readonly [number, CborValue])[] {
  return [...map].map(([key, value]) => [Number(key), value] as const)
}
