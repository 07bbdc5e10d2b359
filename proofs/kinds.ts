/**
 * @module The kinds of entries, as data: which statement each holds, whose chains it links, and what is found and
 * decided about it. One row of FORMAT §6 is one row here.
 */

/** The subjects of one link: what stands before the colon, or the whole subject. */
export type LinkSlot = 'log' | 'policy' | 'owner' | 'agent' | 'inst'

/** The form of one value of `prepared` or `outcome`. */
export type FieldForm =
  | 'uint'
  | 'bool'
  | 'hash'
  | 'decision-id'
  | 'certificate'
  | 'reasons'
  | 'verdict'
  | 'sequence'

/** One key of `prepared` or `outcome` besides 0. */
export interface FieldRule {
  readonly form: FieldForm
  /** The results with which it is there, and no other; all of them if absent. */
  readonly results?: readonly string[]
  /** Whether it may be absent: only where that follows from the statement and not from the entry. */
  readonly optional?: true
}

/** What an entry of a kind looks like. */
export interface KindRule {
  /** The type of its statement, without the prefix of `typ`. */
  readonly type: string
  /** The alternatives for its links, each in order. */
  readonly links: readonly (readonly LinkSlot[])[]
  readonly prepared: ReadonlyMap<number, FieldRule>
  /** The words that the outcome's key 0 may be; `undefined` where any reason code may stand. */
  readonly results: readonly string[] | undefined
  readonly outcome: ReadonlyMap<number, FieldRule>
}

/** The outcome key of an instance's sequence status (FORMAT §6, §10.6). */
export const OUTCOME_SEQUENCE = 15

const NOTHING: ReadonlyMap<number, FieldRule> = new Map()
const UINT: FieldRule = { form: 'uint' }
const SEQUENCE: FieldRule = { form: 'sequence' }
// Owners and operators have no `seq`, and whether the signer is an instance is said in the statement.
const SEQUENCE_OF_INSTANCE: FieldRule = { form: 'sequence', optional: true }
const AGENT_LINKS: KindRule['links'] = [['inst', 'agent', 'owner']]

const PROPOSAL: Pick<KindRule, 'prepared' | 'results' | 'outcome'> = {
  prepared: NOTHING,
  results: ['pending', 'effective'],
  outcome: new Map([
    [1, UINT],
    [2, UINT],
  ]),
}

const DECISION_PREPARED: ReadonlyMap<number, FieldRule> = new Map<number, FieldRule>([
  [1, { form: 'decision-id' }],
  [2, { form: 'hash' }],
  [3, UINT],
  [4, { form: 'hash' }],
  [5, UINT],
  [6, { form: 'verdict' }],
  [7, { form: 'bool' }],
  [8, UINT],
])

/** The verdicts on an action whose decision was found in the log: all but `absent`. */
const FOUND_VERDICTS: readonly string[] = [
  'mismatched',
  'denied',
  'spent',
  'revoked',
  'late',
  'expired',
  'matched',
]

/** Every kind that this release knows. @see FORMAT §6 */
export const KINDS: ReadonlyMap<string, KindRule> = new Map<string, KindRule>([
  [
    'genesis',
    {
      type: 'genesis',
      links: [['log']],
      prepared: NOTHING,
      results: ['created'],
      outcome: NOTHING,
    },
  ],
  ['operator.enroll', { type: 'operator.enroll', links: [['log']], ...PROPOSAL }],
  ['owner.enroll', { type: 'owner.enroll', links: [['owner', 'log']], ...PROPOSAL }],
  ['member.enroll', { type: 'member.enroll', links: [['log']], ...PROPOSAL }],
  ['policy.activate', { type: 'policy.activate', links: [['policy', 'log']], ...PROPOSAL }],
  ['key.rotate', { type: 'key.rotate', links: [['log']], ...PROPOSAL }],
  [
    'operator.clock',
    {
      type: 'operator.clock',
      links: [['log']],
      prepared: NOTHING,
      results: ['accepted'],
      outcome: NOTHING,
    },
  ],
  [
    'agent.issue',
    {
      type: 'agent.issue',
      links: [
        ['inst', 'inst', 'agent', 'owner'],
        ['inst', 'agent', 'owner'],
      ],
      prepared: new Map<number, FieldRule>([[1, { form: 'certificate' }]]),
      results: ['issued'],
      outcome: new Map([
        [1, UINT],
        [OUTCOME_SEQUENCE, SEQUENCE_OF_INSTANCE],
      ]),
    },
  ],
  [
    'agent.refuse',
    {
      type: 'agent.issue',
      links: [['inst', 'owner'], ['owner']],
      prepared: NOTHING,
      results: undefined,
      outcome: new Map([[OUTCOME_SEQUENCE, SEQUENCE_OF_INSTANCE]]),
    },
  ],
  [
    'agent.revoke',
    {
      type: 'agent.revoke',
      links: [['inst', 'agent', 'owner'], ['agent', 'owner'], ['owner']],
      prepared: NOTHING,
      results: ['revoked', 'already_revoked'],
      outcome: new Map<number, FieldRule>([
        [1, UINT],
        [2, { form: 'hash' }],
        [OUTCOME_SEQUENCE, SEQUENCE_OF_INSTANCE],
      ]),
    },
  ],
  [
    'decision',
    {
      type: 'decision',
      links: AGENT_LINKS,
      prepared: DECISION_PREPARED,
      results: ['allow', 'deny', 'require_approval'],
      outcome: new Map<number, FieldRule>([
        [1, { form: 'reasons' }],
        [2, { form: 'uint', results: ['allow'] }],
        [OUTCOME_SEQUENCE, SEQUENCE],
      ]),
    },
  ],
  [
    'action',
    {
      type: 'action',
      links: AGENT_LINKS,
      prepared: NOTHING,
      results: ['absent', ...FOUND_VERDICTS],
      outcome: new Map<number, FieldRule>([
        [1, { form: 'uint', results: FOUND_VERDICTS }],
        [OUTCOME_SEQUENCE, SEQUENCE],
      ]),
    },
  ],
  [
    'erasure',
    {
      type: 'erasure',
      links: [['log']],
      prepared: NOTHING,
      results: ['erased'],
      outcome: new Map([[1, UINT]]),
    },
  ],
])
