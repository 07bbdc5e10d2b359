/**
 * @module A load that goes on whatever happens, seen from the bench: it signs as it sends, repeats what was refused or cut
 * off, and remembers what was acknowledged, so that it can be looked for afterwards.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { LoadTarget } from './load.ts'
import type { BenchLog } from './service.ts'

/** One load. */
export interface SteadyOrder {
  /** `undecided`: actions that name no decision; `decided`: a decision, then the action it allows, and again. */
  readonly what: 'undecided' | 'decided'
  readonly requestsPerSecond: number
  /** Statements a request, of those that are undecided. Default: 1. */
  readonly perRequest?: number
  /** A request that is due when all are busy is not sent. */
  readonly connections: number
}

/** What one second saw. Latencies are of requests, from when they were sent, in ms. */
export interface Second {
  /** Its true length, in s. */
  readonly s: number
  readonly good: number
  readonly refused: number
  /** Due, and no connection was free. */
  readonly unsent: number
  /** Connections that ended with a request under way, or did not open. */
  readonly cut: number
  readonly goodP99Ms: number
  readonly goodWorstMs: number
  readonly refusedP99Ms: number
}

/** What a load saw from start to stop. */
export interface SteadyReport {
  readonly seconds: readonly Second[]
  readonly good: number
  readonly refused: number
  readonly cut: number
  readonly goodP50Ms: number
  readonly goodP99Ms: number
  readonly goodWorstMs: number
  readonly refusedP99Ms: number
  /** Refusals by code. */
  readonly codes: ReadonlyMap<string, number>
  /** What was acknowledged, by outcome. */
  readonly outcomes: ReadonlyMap<string, number>
  /** Statements that were sent and neither acknowledged nor refused at the end, after every repeat. */
  readonly unanswered: number
  /** How late the load's own event loop was at most, but for a hundredth of the time: no latency is known better. */
  readonly loadDelayP99Ms: number
  /** Processor time of this load, µs for each request that was answered. */
  readonly loadUs: number
  /** Acknowledged entries: indexes, and the digest of each entry. */
  readonly indexes: Float64Array
  readonly digests: BigUint64Array
}

/** What goes over to the process. */
export type SteadyMessage =
  | { readonly open: LoadTarget }
  | { readonly start: SteadyOrder }
  | { readonly firstGoodAfter: number }
  | { readonly stop: true }

/** What comes back: nothing, a time (of Date.now) or a report. */
export type SteadyAnswer =
  | { readonly report?: SteadyReport; readonly atMs?: number }
  | { readonly error: string }

/** The digest of an entry's bytes by which acknowledgements remember it. */
export function entryDigest(entry: string): bigint {
  return createHash('sha256').update(entry).digest().readBigUInt64LE()
}

const AGENTS = 8

/** See the module. */
export class Steady {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Starts the process and has its agents issued by the service at `url`. */
  static async start(log: BenchLog, url: string): Promise<Steady> {
    const path = fileURLToPath(new URL('./steady-process.js', import.meta.url))
    const steady = new Steady(fork(path, { serialization: 'advanced' }))
    const { anchor, owner, operator } = log
    await steady.#tell({ open: { url, pid: 0, anchor, owner, operator, agents: AGENTS } })
    return steady
  }

  /** Begins to send. */
  async begin(order: SteadyOrder): Promise<void> {
    await this.#tell({ start: order })
  }

  /** Waits for the first good answer after a moment of Date.now, and says when it came. */
  async firstGoodAfter(atMs: number): Promise<number> {
    const answer = await this.#tell({ firstGoodAfter: atMs })
    return answer.atMs ?? Number.NaN
  }

  /** Ends sending, repeats what is not answered, reports. */
  async finish(): Promise<SteadyReport> {
    const { report } = await this.#tell({ stop: true })
    if (report === undefined) throw new Error('the load reported nothing')
    return report
  }

  /** Ends the process. */
  stop(): void {
    this.#child.disconnect()
  }

  async #tell(message: SteadyMessage): Promise<Exclude<SteadyAnswer, { error: string }>> {
    const answer = await new Promise<SteadyAnswer>((resolve, reject) => {
      const ended = (): void => reject(new Error('the load ended'))
      this.#child.once('exit', ended)
      this.#child.once('message', (value) => {
        this.#child.removeListener('exit', ended)
        resolve(value as SteadyAnswer)
      })
      // One that ended before emits no end again.
      if (this.#child.connected) this.#child.send(message)
      else ended()
    })
    if ('error' in answer) throw new Error(answer.error)
    return answer
  }
}
