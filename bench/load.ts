/**
 * @module The load generator, seen from the bench: a process of its own that prepares, sends, and reports.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ServerPlace } from './bare-http.ts'
import type { BenchLog, BenchService } from './service.ts'

/** Which service is loaded, and who its owner and operator are. */
export interface LoadTarget {
  readonly url: string
  readonly pid: number
  readonly anchor: string
  /** Private key files. */
  readonly owner: string
  readonly operator: string
  readonly agents: number
}

/**
 * What is sent: `action`: actions on decisions that were got before; `undecided`: actions that name no decision;
 * `enrolment`: readers enrolled by an operator, signed with Ed25519; `decision`: evaluations; `proof`: inclusion
 * proofs.
 */
export type LoadKind = 'action' | 'undecided' | 'enrolment' | 'decision' | 'proof'

/** One run of load. */
export interface LoadOrder {
  readonly what: LoadKind
  /** Statements, or proofs. */
  readonly count: number
  /** Statements a request. */
  readonly perRequest: number
  readonly connections: number
  /**
   * Requests a second, sent when they are due whatever became of the ones before. Without it every connection sends
   * its next request when it has its answer.
   */
  readonly requestsPerSecond?: number
  /** Another server that the same requests go to. Default: the service. */
  readonly to?: ServerPlace
}

/** What a run found. Every answer was what it had to be, or the run fails. */
export interface LoadReport {
  /** Statements or proofs a second. */
  readonly rate: number
  /** Of requests, in ms; from when they were due where a rate was ordered. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly worstMs: number
  /** Processor time of the service, in µs for each statement; undefined where the system does not tell. */
  readonly serviceUs: number | undefined
  /** Processor time of the load generator, likewise. */
  readonly loadUs: number
  /** Mean length of a statement's text, in bytes; 0 for proofs. */
  readonly statementBytes: number
}

/** What goes over to the process. */
export type LoadMessage =
  | { readonly open: LoadTarget }
  | { readonly prepare: LoadOrder }
  | { readonly send: true }

/** What comes back. */
export type LoadAnswer = { readonly report?: LoadReport } | { readonly error: string }

/** Agents that sign in turn. */
const AGENTS = 8

/** A load generator that has its agents. */
export class Load {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Starts the process and has its agents issued. */
  static async start(log: BenchLog, service: BenchService): Promise<Load> {
    const path = fileURLToPath(new URL('./load-process.js', import.meta.url))
    const load = new Load(fork(path, { serialization: 'advanced' }))
    const { anchor, owner, operator } = log
    const { url, pid } = service
    await load.#tell({ open: { url, pid, anchor, owner, operator, agents: AGENTS } })
    return load
  }

  /** Prepares a run, runs it, checks all answers. @throws if one is wrong */
  async run(order: LoadOrder): Promise<LoadReport> {
    await this.prepare(order)
    return this.send()
  }

  /** Signs what a run sends, and gets the decisions it rests on. */
  async prepare(order: LoadOrder): Promise<void> {
    await this.#tell({ prepare: order })
  }

  /** Sends what was prepared, checks all answers. @throws if one is wrong */
  async send(): Promise<LoadReport> {
    const report = await this.#tell({ send: true })
    if (report === undefined) throw new Error('the load reported nothing')
    return report
  }

  /** Ends the process. */
  stop(): void {
    this.#child.disconnect()
  }

  async #tell(message: LoadMessage): Promise<LoadReport | undefined> {
    const answer = await new Promise<LoadAnswer>((resolve, reject) => {
      const ended = (): void => reject(new Error('the load generator ended'))
      this.#child.once('exit', ended)
      this.#child.once('message', (value) => {
        this.#child.removeListener('exit', ended)
        resolve(value as LoadAnswer)
      })
      // One that ended before emits no end again.
      if (this.#child.connected) this.#child.send(message)
      else ended()
    })
    if ('error' in answer) throw new Error(answer.error)
    return answer.report
  }
}
