/**
 * @module What an audit of entries says to a person: what was found, what that rests on, and what it does not say.
 */
import { printable } from '@trustwarden/proofs'
import type { AuditDifference } from '../ledger/audit-difference.ts'
import type { EntriesReport } from '../ledger/audit-entries.ts'

/** Policies that were fetched from outside, null if none were asked for; or that the entries came from the operator's disk. */
export type PoliciesSeen = number | null | 'data'

/** A difference in one line. What a log says of itself may be in it, and anything in that. */
export function describeDifference({ check, index, message }: AuditDifference): string {
  const where = index === undefined ? '' : ` at entry ${index}`
  return `DIFFERS: ${check}${where}: ${printable(message)}\n`
}

/** The report in plain text. */
export function describeEntries(report: EntriesReport, policies: PoliciesSeen): string {
  const { size, origin, entries, tiles, signatures } = report
  const range = `entries ${report.from} to ${report.to - 1} of ${origin}`
  const counts = `${entries} entries, ${tiles} tiles, ${signatures} signatures`
  if (report.difference !== undefined) {
    return `${describeDifference(report.difference)}checked before it: ${counts} of ${range}\n`
  }
  const isWhole = report.from === 0 && report.to === size
  const root = isWhole ? 'they are the whole tree' : 'a range proof shows that none is left out'
  const lines = [
    `holds: ${range}, under the signed head of size ${size}`,
    `checked: ${counts}; ${root}`,
    ...describeDepth(report),
    ...(typeof policies === 'number'
      ? [
          `  policies: ${policies}, each fetched, of its digest and revision, loaded, and denying where nothing is known`,
        ]
      : []),
    unseen(policies),
    'not shown by any one view: that others see the same log; keep its checkpoint and compare (--save, --since)',
  ]
  return `${lines.join('\n')}\n`
}

function unseen(policies: PoliciesSeen): string {
  const stored = 'stored folds, earlier heads, batch and head records'
  if (policies === 'data')
    return `not read: disclosures, policies, ${stored} (audit --data without a range)`
  const hidden = policies === null ? ', policies' : ''
  return `not seen from outside: disclosures (so no decision is computed again)${hidden}, ${stored} (audit --data)`
}

function describeDepth({ hashesOnly, replayed, unverified }: EntriesReport): readonly string[] {
  if (hashesOnly)
    return [
      '  leaf hashes, tiles, times and the links of chains agree',
      'not checked: statements, their signatures and event ids, outcomes (an audit without --hashes does)',
    ]
  if (replayed)
    return [
      '  register was run again over every entry: chains, event ids, signers and outcomes are what it gives',
    ]
  return [
    `  links and event ids agree within the range, signers are shown by entries of the log${unshown(unverified)}`,
    'not checked: outcomes, and links to entries before the range (an audit from entry 0 does)',
  ]
}

function unshown(count: number): string {
  if (count === 0) return ''
  return `;\n  ${count} signatures not verified: by people who were enrolled before the range`
}
