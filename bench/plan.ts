/**
 * @module How much is measured: a whole run, or a quick look.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'

/** What every part of the bench is told. */
export interface Plan {
  readonly rounds: number
  /** Length of one measurement of a primitive, in ms. */
  readonly primitiveMs: number
  /** Length that a measurement of the service is aimed at, in ms. */
  readonly loadMs: number
  /** Length of a measurement at half load over a log of a size, in ms: stalls are rare. */
  readonly halfMs: number
  /** Length of one measurement of the peer, in ms: its checkpoints come once a second. */
  readonly peerMs: number
  /** Entries of one measurement of the append path. */
  readonly appended: number
  /** Requests that come before the first round of each shape of load. */
  readonly warmUp: number
  /** Sizes of the logs that scale measures, ascending. */
  readonly sizes: readonly number[]
  /** How long the overload lasts, in s. */
  readonly overloadSeconds: number
  /** Length of the soak, in minutes. */
  readonly minutes: number
  /** Where logs are kept between runs. */
  readonly cache: string
  /** How long filling one log may take. */
  readonly fillMinutes: number
  /** Says on stderr what is being done. */
  readonly progress: (text: string) => void
}

/** What is asked for on the command line. */
export interface Asked {
  readonly quick: boolean
  readonly rounds?: number
  readonly minutes?: number
  readonly sizes?: readonly number[]
  readonly cache?: string
  readonly fillMinutes?: number
}

const WHOLE = {
  rounds: 5,
  primitiveMs: 300,
  loadMs: 2000,
  halfMs: 8000,
  peerMs: 8000,
  appended: 20_000,
  warmUp: 1000,
  sizes: [100_000, 1_000_000, 5_000_000],
  overloadSeconds: 60,
  minutes: 30,
  fillMinutes: 60,
} as const

const QUICK = {
  rounds: 2,
  primitiveMs: 120,
  loadMs: 300,
  halfMs: 1000,
  peerMs: 3000,
  appended: 2000,
  warmUp: 200,
  sizes: [2_000, 4_000],
  overloadSeconds: 8,
  minutes: 1,
  fillMinutes: 10,
} as const

/** Makes the plan of a run. */
export function planOf({ quick, cache, ...asked }: Asked): Plan {
  return {
    ...(quick ? QUICK : WHOLE),
    ...asked,
    cache: cache ?? join(homedir(), '.cache', 'trustwarden-bench'),
    progress: (text) => void process.stderr.write(`${text}\n`),
  }
}
