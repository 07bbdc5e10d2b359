/**
 * @module Which entries a bundle about an action needs: whoever has the log and a few lookups asks here, and proves each
 * index that is returned under one head. Nothing is verified; `verifyEvidence` decides whether it was enough.
 */
import { parseActionEvent } from './action.ts'
import { parseDelegation } from './delegation.ts'
import { decodeEntry, type Entry, parseEntryStatement } from './entry.ts'
import { check } from './errors.ts'
import type { Hash } from './primitives.ts'
import { decodeDecisionPrepared } from './decision.ts'
import { parseInstanceId } from './spiffe-id.ts'

type Answer<T> = T | Promise<T>

/** A log as far as a bundle needs it. Indexes may come in any order and more than once. */
export interface EvidenceSource {
  /** The bytes of the entry at an index. */
  readonly entry: (index: number) => Answer<Uint8Array>
  /** The `agent.issue` entry of an instance. */
  readonly issuanceOf: (instance: string) => Answer<number | undefined>
  /** The `owner.enroll` entries of an owner (`owner:<kid>`), pending ones included. */
  readonly enrolmentsOf: (owner: string) => Answer<readonly number[]>
  /** The `policy.activate` entries of a policy, pending ones included. */
  readonly activationsOf: (policy: Hash) => Answer<readonly number[]>
  /** The `operator.enroll` entries of an operator (`operator:<kid>`), pending ones included. */
  readonly operatorEnrolmentsOf: (operator: string) => Answer<readonly number[]>
  /** The `agent.revoke` entries whose target is this subject. */
  readonly revocationsOf: (subject: string) => Answer<readonly number[]>
  /** The action entry that was matched to the decision at an index. */
  readonly matchedAction: (decisionIndex: number) => Answer<number | undefined>
  /** The `erasure` entries that name an index. */
  readonly erasuresOf: (index: number) => Answer<readonly number[]>
}

/**
 * Selects the entries that a bundle about an action needs, ascending: genesis, the action, its decision, the policy's
 * activation, the issuances of the chain, the owner's enrolment, the revocations that govern a link, what spent the
 * decision, erasures, and the enrolments of operators who signed any of these.
 *
 * @param actionIndex - The index of an `action` entry.
 * @returns Indexes, ascending, each once.
 * @throws {ProofError} `type_mismatch` for an entry of another kind; `link_missing` or `issuance_unproven` where a lookup
 *   finds nothing; else as `decodeEntry` and `parseEntryStatement`.
 * @see FORMAT §12
 */
export async function requiredEntries(
  source: EvidenceSource,
  actionIndex: number,
): Promise<readonly number[]> {
  const selection = new Selection(source)
  const action = await selection.add(actionIndex)
  check(action.kind === 'action', 'type_mismatch', `entry ${actionIndex}: not an action`)
  await selection.add(0)
  await selection.addAll(await source.erasuresOf(actionIndex))
  await addChain(selection, parseActionEvent(parseEntryStatement(action)).agentIdentity)
  const decisionIndex = action.outcome.get(1)
  if (typeof decisionIndex === 'number') await addDecision(selection, action, decisionIndex)
  return selection.indexes()
}

/** The entries so far; whoever signed one as an operator comes with it. */
class Selection {
  readonly source: EvidenceSource
  readonly #entries = new Map<number, Entry>()
  readonly #operators = new Set<string>()

  constructor(source: EvidenceSource) {
    this.source = source
  }

  async add(index: number): Promise<Entry> {
    const known = this.#entries.get(index)
    if (known !== undefined) return known
    const entry = decodeEntry(await this.source.entry(index))
    this.#entries.set(index, entry)
    const { issuer } = parseEntryStatement(entry)
    if (issuer.role === 'operator' && !this.#operators.has(issuer.text)) {
      this.#operators.add(issuer.text)
      await this.addAll(await this.source.operatorEnrolmentsOf(issuer.text))
    }
    return entry
  }

  async addAll(indexes: readonly number[]): Promise<void> {
    for (const index of indexes) await this.add(index)
  }

  indexes(): readonly number[] {
    return [...this.#entries.keys()].toSorted((a, b) => a - b)
  }
}

async function addChain(selection: Selection, self: string): Promise<void> {
  const { source } = selection
  let instance: string | undefined = self
  let owner = ''
  while (instance !== undefined) {
    const index: number | undefined = await source.issuanceOf(instance)
    const missing = instance === self ? 'issuance_unproven' : 'link_missing'
    check(index !== undefined, missing, `no issuance of ${instance}`)
    const record = parseDelegation(parseEntryStatement(await selection.add(index)))
    const { id, name } = parseInstanceId(instance)
    await selection.addAll(await source.revocationsOf(`inst:${id}`))
    await selection.addAll(await source.revocationsOf(`agent:${name}`))
    owner = record.owner
    instance = record.parent?.instance.id
  }
  await selection.addAll(await source.enrolmentsOf(owner))
  await selection.addAll(await source.revocationsOf(owner))
}

async function addDecision(selection: Selection, action: Entry, index: number): Promise<void> {
  const { source } = selection
  const decision = await selection.add(index)
  await addChain(selection, parseEntryStatement(decision).header.iss)
  const { policy, policyIndex } = decodeDecisionPrepared(decision.prepared)
  await selection.add(policyIndex)
  const activations = await source.activationsOf(policy)
  await selection.addAll(activations.filter((one) => one <= policyIndex))
  await selection.addAll(await source.erasuresOf(index))
  if (action.outcome.get(0) !== 'spent') return
  const spentBy = await source.matchedAction(index)
  check(spentBy !== undefined, 'link_missing', `no action was matched to entry ${index}`)
  await selection.add(spentBy)
}
