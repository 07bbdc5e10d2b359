/**
 * @module The links and times of entries: which subjects an entry must link, and whether those of several entries agree.
 * A link is only as good as the log that wrote it; two that contradict each other show that it lied (FORMAT §5.3, §6).
 */
import { equalBytes } from './bytes.ts'
import type { Entry } from './entry.ts'
import { check } from './errors.ts'
import type { Issuance } from './issuance.ts'
import type { Hash } from './primitives.ts'

/** An entry at its index. */
export interface PlacedEntry {
  readonly index: number
  readonly leafHash: Hash
  readonly entry: Entry
}

/** The subjects of a statement of an instance, in the order of FORMAT §6. */
export function instanceSubjects({ record }: Pick<Issuance, 'record'>): readonly string[] {
  const { id, name } = record.child.instance
  return [`inst:${id}`, `agent:${name}`, record.owner]
}

/** Demands that an entry links exactly these subjects. @throws {ProofError} `chain_mismatch` */
export function checkSubjects(
  { index, entry }: Pick<PlacedEntry, 'index' | 'entry'>,
  subjects: readonly string[],
): void {
  const { links } = entry
  const same =
    links.length === subjects.length && links.every(({ subject }, at) => subject === subjects[at])
  check(same, 'chain_mismatch', `entry ${index}: links other subjects than its statement is about`)
}

/**
 * Demands that the entry of an issuance links what its statement is about (child, parent, name, owner), and that it is
 * the first entry of its child.
 *
 * @throws {ProofError} `chain_mismatch`
 * @see FORMAT §6
 */
export function checkIssuanceLinks(
  at: Pick<PlacedEntry, 'index' | 'entry'>,
  issuance: Pick<Issuance, 'record'>,
): void {
  const { parent } = issuance.record
  const subjects = [...instanceSubjects(issuance)]
  if (parent !== null) subjects.splice(1, 0, `inst:${parent.instance.id}`)
  checkSubjects(at, subjects)
  // An instance is issued once: nothing of it lies in the log before.
  check(at.entry.links[0]?.seq === 0, 'chain_mismatch', `entry ${at.index}: used before`)
}

/**
 * Demands that ledger time does not decrease.
 *
 * @param placed - Ascending by index.
 * @throws {ProofError} `outcome_mismatch`
 * @see FORMAT §5.3
 */
export function checkTimes(placed: readonly PlacedEntry[]): void {
  let latest = 0
  for (const { index, entry } of placed) {
    check(entry.timeMs >= latest, 'outcome_mismatch', `entry ${index}: ledger time goes back`)
    latest = entry.timeMs
  }
}

/**
 * Demands that no two links of one subject contradict each other, whether or not entries between them are given.
 *
 * @param placed - Ascending by index, none twice.
 * @throws {ProofError} `chain_mismatch`
 * @see FORMAT §5.3
 */
export function checkLinks(placed: readonly PlacedEntry[]): void {
  const before = new Map<string, { readonly at: PlacedEntry; readonly seq: number }>()
  const byIndex = new Map(placed.map((one) => [one.index, one]))
  for (const at of placed) {
    for (const { subject, seq, previous } of at.entry.links) {
      const fault = `entry ${at.index}: link ${subject} does not follow from the entries given`
      const last = before.get(subject)
      const named = previous === null ? undefined : byIndex.get(previous.index)
      if (previous !== null && named !== undefined) {
        // An entry that is here and that the link names is the one before it in that chain.
        const follows =
          named === last?.at &&
          last.seq + 1 === seq &&
          equalBytes(previous.leafHash, named.leafHash)
        check(follows, 'chain_mismatch', fault)
      } else if (last !== undefined) {
        // Entries that are not here lie between the two: as many as the numbers say, and there must be room for them.
        const between = seq - last.seq - 1
        const room = previous === null ? 0 : previous.index - last.at.index
        check(between >= 1 && room >= between, 'chain_mismatch', fault)
      }
      before.set(subject, { at, seq })
    }
  }
}
