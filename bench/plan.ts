/**
 * @module How much is measured: a whole run, or a quick look.
 */

/** What every part of the bench is told. */
export interface Plan {
  readonly rounds: number
  /** Length of one measurement of a primitive, in ms. */
  readonly primitiveMs: number
  /** Length that a measurement of the service is aimed at, in ms. */
  readonly loadMs: number
  /** Length of one measurement of the peer, in ms: its checkpoints come once a second. */
  readonly peerMs: number
  /** Entries of one measurement of the append path. */
  readonly appended: number
  /** Requests that come before the first round of each shape of load. */
  readonly warmUp: number
  /** Says on stderr what is being done. */
  readonly progress: (text: string) => void
}

/** Makes the plan of a run. */
export function planOf(isQuick: boolean): Plan {
  const progress = (text: string): void => void process.stderr.write(`${text}\n`)
  return isQuick
    ? {
        rounds: 2,
        primitiveMs: 120,
        loadMs: 300,
        peerMs: 3000,
        appended: 2000,
        warmUp: 200,
        progress,
      }
    : {
        rounds: 5,
        primitiveMs: 300,
        loadMs: 2000,
        peerMs: 8000,
        appended: 20_000,
        warmUp: 1000,
        progress,
      }
}
