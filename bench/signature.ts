/**
 * @module The ceiling of everything that takes statements: how many signatures the faster library verifies, and nothing
 * else.
 */
import { Worker } from 'node:worker_threads'
import { Rounds, type Figure } from './measure.ts'
import type { Plan } from './plan.ts'
import type { VerifyOrder, VerifyReport } from './signature-worker.ts'

/** Algorithms of statements, by their JOSE names. */
export type Algorithm = VerifyOrder['alg']

type Library = VerifyOrder['by']

/** A rate, and what it is the rate of. */
export interface Ceiling {
  readonly of: string
  readonly rate: number
}

/** A rate of verifications, and what one costs. */
export interface BareCeiling extends Ceiling {
  /** Processor time of one verification, in µs. */
  readonly processorUs: number
}

const THREADS = 2

/** Who verifies what: sodium-native has no P-256. */
const LIBRARIES: Readonly<Record<Algorithm, readonly Library[]>> = {
  ES256: ['node:crypto'],
  EdDSA: ['node:crypto', 'sodium-native'],
}

/** Threads that verify signatures when they are told to. */
export class BareRate {
  readonly #threads: readonly Worker[]

  private constructor(threads: readonly Worker[]) {
    this.#threads = threads
  }

  /** Starts the threads, and runs them once so that they are warm. */
  static async start(): Promise<BareRate> {
    const url = new URL('./signature-worker.js', import.meta.url)
    const bare = new BareRate(Array.from({ length: THREADS }, () => new Worker(url)))
    for (const alg of ['ES256', 'EdDSA'] as const) await bare.measure(alg, THREADS, 50)
    return bare
  }

  /**
   * Verifies for `ms` on so many threads at once, by each library that can, each in its share of the time.
   *
   * @returns The faster library's verifications a second, all threads together, and the processor time of one.
   */
  async measure(alg: Algorithm, threads: number, ms: number): Promise<BareCeiling> {
    const libraries = LIBRARIES[alg]
    const found: BareCeiling[] = []
    for (const by of libraries)
      found.push(await this.measureLibrary(alg, by, threads, ms / libraries.length))
    return found.reduce((best, one) => (one.rate > best.rate ? one : best))
  }

  /** As `measure`, by one library. */
  async measureLibrary(
    alg: Algorithm,
    by: Library,
    threads: number,
    ms: number,
  ): Promise<BareCeiling> {
    const order: VerifyOrder = { alg, by, ms }
    const before = process.cpuUsage()
    const reports = await Promise.all(
      this.#threads.slice(0, threads).map(async (worker) => {
        const report = answerOf(worker)
        worker.postMessage(order)
        return report
      }),
    )
    const { user, system } = process.cpuUsage(before)
    const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0)
    return {
      of: `${alg} verifications, ${by}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      rate: sum(reports.map(({ rate }) => rate)),
      processorUs: (user + system) / sum(reports.map(({ count }) => count)),
    }
  }

  /** Ends the threads. */
  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((worker) => worker.terminate()))
  }
}

function answerOf(worker: Worker): Promise<VerifyReport> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error)
    worker.once('error', failed)
    worker.once('message', (report: VerifyReport) => {
      worker.removeListener('error', failed)
      resolve(report)
    })
  })
}

/** Measures the bare rates by themselves. */
export async function benchSignature(plan: Plan, bare: BareRate): Promise<readonly Figure[]> {
  const rounds = new Rounds('signature')
  for (let round = 1; round <= plan.rounds; round++) {
    plan.progress(`signature: round ${round} of ${plan.rounds}`)
    for (const alg of ['ES256', 'EdDSA'] as const)
      for (const by of LIBRARIES[alg])
        for (const threads of [1, THREADS]) {
          const found = await bare.measureLibrary(alg, by, threads, plan.primitiveMs)
          rounds.add(found.of, '/s', found.rate)
          rounds.add(`${found.of}: processor time of one`, 'µs', found.processorUs)
        }
  }
  return rounds.figures()
}
