/**
 * @module The window of `iat` (FORMAT §3.4), which register asks for every type but `agent.revoke`, `operator.clock` and
 * `action`: the first two are to be taken however late they come, and a late action is recorded as such.
 */
import type { Statement } from '@trustwarden/proofs'
import type { Registration, State } from './contract.ts'

/** Furthest that `iat` may be from ledger time, in ms. */
const IAT_WINDOW_MS = 300_000

/** The refusal `iat_out_of_window` of a statement that was signed too far from the time of the entry that comes next. */
export function checkWindow(
  state: State,
  statement: Statement,
): Extract<Registration, { readonly type: 'refuse' }> | undefined {
  if (Math.abs(statement.header.iat * 1000 - state.timeMs) <= IAT_WINDOW_MS) return undefined
  const message = 'iat is more than 5 minutes from ledger time'
  return { type: 'refuse', code: 'iat_out_of_window', message }
}
