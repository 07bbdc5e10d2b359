/**
 * @module Handlers and folds that are as small as can be, for tests of the ledger alone: a note, an urgent note, a note
 * that is prepared on state which others change, an erasure, and the clock.
 *
 * Kinds that FORMAT §6 does not list pass as unknown ones: what all entries share is checked of them.
 */
import { utf8Encode } from '@trustwarden/proofs'
import { FOLDS } from '../../src/ledger/contract.ts'
import type {
  CborMap,
  Fold,
  Registration,
  State,
  StatementHandler,
  Submission,
} from '../../src/ledger/contract.ts'
import { erasedBy, erasedIndexes } from '../../src/ledger/erasures.ts'
import { u64At, u64Bytes } from '../../src/ledger/layout.ts'

const CHANGED = utf8Encode('changed')
const COUNT = utf8Encode('count')

/** What a test does to the handlers while they run. */
export interface Script {
  /** How often `prepare` of each type ran. */
  readonly prepared: Map<string, number>
  /** Awaited in `prepare`. */
  beforePrepare?: (type: string) => Promise<void>
  /** Register says `stale` so many more times. */
  stale: number
  /** Register throws. */
  throws?: boolean
  /** What `repeat` answers. */
  refuseRepeats?: boolean
}

export const newScript = (): Script => ({ prepared: new Map(), stale: 0 })

/** Index of the last `test.change`, or −1. */
function changedAt(state: State): number {
  const value = state.get(FOLDS.log, CHANGED)
  return value === undefined ? -1 : u64At(value, 0)
}

/** How many entries there were, as the counting fold has it. */
export function countedIn(state: State): number {
  const value = state.get(FOLDS.log, COUNT)
  return value === undefined ? 0 : u64At(value, 0)
}

/** Counts entries and remembers the last change: a small fold in memory. */
export const countFold: Fold = {
  spec: FOLDS.log,
  apply({ entry }, writer) {
    writer.put(FOLDS.log, COUNT, u64Bytes(countedIn(writer) + 1))
    if (entry.kind === 'test.change') writer.put(FOLDS.log, CHANGED, u64Bytes(entry.index))
  },
}

/** Remembers the last entry about each subject of a statement, and forgets it with `test.forget`: a fold on disk. */
export const namesFold: Fold = {
  spec: FOLDS.names,
  apply({ entry, statement }, writer) {
    const key = utf8Encode(statement.header.sub)
    if (statement.payload['forget'] === true) writer.delete(FOLDS.names, key)
    else writer.put(FOLDS.names, key, u64Bytes(entry.index))
  },
}

export const TEST_FOLDS: readonly Fold[] = [countFold, namesFold]

type Outcome = readonly (readonly [number, string | number])[]

function entryOf(
  kind: string,
  { statement, prepared }: Submission,
  outcome: Outcome,
  subjects?: readonly string[],
): Registration {
  const iss = statement.header.iss
  const own = iss.startsWith('owner:') ? [iss] : []
  return {
    type: 'entry',
    kind,
    prepared,
    outcome: new Map(outcome),
    subjects: subjects ?? ['log', ...own],
  }
}

function note(script: Script, type: string, lane: 'normal' | 'urgent'): StatementHandler {
  return {
    type,
    lane,
    disclosable: ['details'],
    attachments: 1,
    async prepare({ statement }, view): Promise<CborMap> {
      script.prepared.set(type, (script.prepared.get(type) ?? 0) + 1)
      await script.beforePrepare?.(type)
      const bloat = statement.payload['bloat']
      return new Map([[1, typeof bloat === 'number' ? new Uint8Array(bloat) : changedAt(view) + 1]])
    },
    register(state, submission) {
      if (script.throws === true) throw new TypeError('a defect')
      if (script.stale > 0) {
        script.stale--
        return { type: 'stale' }
      }
      const { payload } = submission.statement
      if (payload['refuse'] === true) {
        return { type: 'refuse', code: 'signer_forbidden', message: 'refused as asked' }
      }
      const outcome: Outcome = [
        [0, 'noted'],
        [1, countedIn(state)],
      ]
      return payload['misfit'] === true
        ? entryOf(type, submission, outcome, ['log', 'log'])
        : entryOf(type, submission, outcome)
    },
    repeat() {
      return script.refuseRepeats === true
        ? { type: 'refuse', code: 'decision_spent', message: 'no longer' }
        : { type: 'same' }
    },
    answer({ repeated, disclosed, entry }) {
      return { at: entry.index, repeated, disclosed: Object.fromEntries(disclosed) }
    },
  }
}

/** Rests on the state that `test.change` changes, as a decision does on the policy. */
function guarded(script: Script): StatementHandler {
  return {
    ...note(script, 'test.guarded', 'normal'),
    register(state, submission) {
      if (changedAt(state) >= Number(submission.prepared.get(0))) return { type: 'stale' }
      return entryOf('test.guarded', submission, [[0, 'noted']])
    },
  }
}

function plain(
  type: string,
  lane: 'normal' | 'urgent',
  register: (state: State, submission: Submission) => Registration,
): StatementHandler {
  return {
    type,
    lane,
    disclosable: [],
    async prepare() {
      // As many turns as a note's, so that what is submitted in order is queued in order.
      await Promise.resolve()
      return new Map()
    },
    register,
  }
}

/** One handler for each type that the tests submit. */
export function testHandlers(script: Script): readonly StatementHandler[] {
  return [
    plain('genesis', 'normal', (state, submission) =>
      state.size > 0
        ? { type: 'refuse', code: 'signer_forbidden', message: 'genesis is there' }
        : entryOf('genesis', submission, [[0, 'created']], ['log']),
    ),
    note(script, 'test.note', 'normal'),
    note(script, 'test.urgent', 'urgent'),
    guarded(script),
    plain('test.change', 'normal', (_state, submission) =>
      entryOf('test.change', submission, [[0, 'changed']]),
    ),
    plain('operator.clock', 'urgent', (_state, submission) =>
      entryOf('operator.clock', submission, [[0, 'accepted']], ['log']),
    ),
    plain('erasure', 'normal', (state, submission) => {
      if (submission.statement.header.seq !== undefined) {
        return { type: 'refuse', code: 'signer_forbidden', message: 'not for instances' }
      }
      const named = erasedIndexes(submission.statement)
      if (named.some((index) => index >= state.size)) {
        return { type: 'refuse', code: 'target_unknown', message: 'no such entry' }
      }
      const erases = named.filter((index) => erasedBy(state, index) === undefined)
      const outcome: Outcome = [
        [0, 'erased'],
        [1, erases.length],
      ]
      return { ...entryOf('erasure', submission, outcome, ['log']), erases }
    }),
  ]
}
