/**
 * @module A pool of workers that run one policy, and the clock that stops them.
 *
 * A policy is stopped from outside: the main thread ends the worker whose evaluation is over its deadline, and starts
 * another. Only that evaluation is denied for it; others of its batch are asked again, each alone, so that nobody can
 * make a stranger's decision fail by sending one that does. Evaluations are pure, so asking again is harmless.
 */
import { Worker } from 'node:worker_threads'
import { workerUrl } from '../worker-url.ts'
import { packInputs } from './policy-message.ts'
import { PROGRESS_PLACE, PROGRESS_SINCE } from './policy-progress.ts'
import type { WorkerMessage, WorkerStart } from './policy-worker.ts'
import { gateDenial } from './reasons.ts'
import type { GateReasonCode, Verdict } from './reasons.ts'
import { VerdictReader } from './verdict-text.ts'

/** Most inputs in one message to a worker. */
export const BATCH_MAX = 16
/** Inputs that one worker is sent before another gets any: a message costs as much as an evaluation or two. */
const BATCH_SHARE_MIN = 8
/** Most inputs that wait for a worker. */
export const QUEUE_MAX = 1024
/** Longest that an input waits for a worker, in ms. */
export const WAIT_MS_MAX = 2000
/** Longest that a worker may take to be ready, or to begin with what it was sent, in ms. */
export const START_MS_MAX = 10_000
/** Longest pause before a worker that could not start is started again, in ms. */
const RETRY_MS_MAX = 10_000

/** What a worker may use besides the policy's own memory: far above what a result needs. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 }

interface Question {
  readonly input: Uint8Array
  readonly askedAtMs: number
  readonly resolve: (verdict: Verdict) => void
  /** Set once a batch that held it was stopped. */
  alone: boolean
}

/** A place in the pool: at most one worker, with at most one batch. `worker` is undefined while it is down. */
interface Slot {
  worker: Worker | undefined
  ready: boolean
  progress: BigInt64Array
  batch: readonly Question[]
  sentAtNs: bigint
  timer: NodeJS.Timeout | undefined
  failures: number
}

/** What a pool runs. */
export interface PoolOptions {
  readonly workers: number
  readonly deadlineMs: number
  readonly start: Omit<WorkerStart, 'progress'>
}

/** Workers, the queue before them and the deadline over them. */
export class PolicyPool {
  readonly #options: PoolOptions
  readonly #slots: readonly Slot[]
  readonly #queue: Question[] = []
  readonly #verdicts = new VerdictReader()
  readonly #ending = new Set<Promise<unknown>>()
  #pumpScheduled = false
  #closed = false
  /** Settles the start of the pool; afterwards a worker that cannot start is only tried again. */
  #started: { readonly resolve: () => void; readonly reject: (reason: Error) => void } | undefined

  private constructor(options: PoolOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.workers }, () => ({
      worker: undefined,
      ready: false,
      progress: new BigInt64Array(new SharedArrayBuffer(16)),
      batch: [],
      sentAtNs: 0n,
      timer: undefined,
      failures: 0,
    }))
  }

  /**
   * Starts all workers.
   *
   * @throws {Error} If one of them does not become ready; the message says why. No worker is left then.
   */
  static async start(options: PoolOptions): Promise<PolicyPool> {
    const pool = new PolicyPool(options)
    const { promise, resolve, reject } = deferred()
    pool.#started = { resolve, reject }
    for (const slot of pool.#slots) pool.#spawn(slot)
    try {
      await promise
    } catch (error) {
      await pool.close()
      throw error
    }
    pool.#started = undefined
    return pool
  }

  /** Evaluates `input`, canonical JSON in a buffer that nobody else writes. Always resolves. */
  ask(input: Uint8Array): Promise<Verdict> {
    if (this.#closed) return Promise.resolve(gateDenial('gate_not_loaded'))
    if (this.#allDown()) return Promise.resolve(gateDenial('gate_worker'))
    if (this.#queue.length >= QUEUE_MAX) return Promise.resolve(gateDenial('gate_overload'))
    return new Promise((resolve) => {
      this.#queue.push({ input, askedAtMs: performance.now(), resolve, alone: false })
      this.#schedulePump()
    })
  }

  /** Ends all workers; whatever waits is denied with `gate_not_loaded`. */
  async close(): Promise<void> {
    this.#closed = true
    this.#denyAll(this.#queue.splice(0), 'gate_not_loaded')
    for (const slot of this.#slots) {
      this.#denyAll(this.#release(slot), 'gate_not_loaded')
    }
    await Promise.all(this.#ending)
  }

  /** In a microtask of its own, so that what is asked in one turn goes in one batch. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return
    this.#pumpScheduled = true
    queueMicrotask(() => {
      this.#pumpScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    const idle = this.#slots.filter(({ ready, batch }) => ready && batch.length === 0)
    for (const [at, slot] of idle.entries()) {
      const share = Math.ceil(this.#queue.length / (idle.length - at))
      const batch = this.#takeBatch(Math.min(BATCH_MAX, Math.max(BATCH_SHARE_MIN, share)))
      if (batch.length === 0) return
      this.#send(slot, batch)
    }
  }

  #takeBatch(size: number): readonly Question[] {
    const batch: Question[] = []
    const oldest = performance.now() - WAIT_MS_MAX
    while (batch.length < size) {
      const next = this.#queue[0]
      if (next === undefined || (next.alone && batch.length > 0)) break
      this.#queue.shift()
      if (next.askedAtMs < oldest) next.resolve(gateDenial('gate_overload'))
      else batch.push(next)
      if (next.alone && batch.length > 0) break
    }
    return batch
  }

  #send(slot: Slot, batch: readonly Question[]): void {
    Atomics.store(slot.progress, PROGRESS_PLACE, -1n)
    slot.batch = batch
    slot.sentAtNs = process.hrtime.bigint()
    slot.worker?.postMessage(packInputs(batch.map(({ input }) => input)))
    this.#arm(slot, this.#options.deadlineMs)
  }

  #arm(slot: Slot, delayMs: number): void {
    const { batch } = slot
    slot.timer = setTimeout(() => {
      // An answer may lie in the queue of a main thread that was busy itself: it is taken in before this runs.
      setImmediate(() => {
        if (slot.batch === batch && batch.length > 0) this.#checkDeadline(slot)
      })
    }, delayMs)
  }

  #checkDeadline(slot: Slot): void {
    const place = Number(Atomics.load(slot.progress, PROGRESS_PLACE))
    const begun = place >= 0
    const since = begun ? Atomics.load(slot.progress, PROGRESS_SINCE) : slot.sentAtNs
    const elapsedMs = Number(process.hrtime.bigint() - since) / 1e6
    const leftMs = (begun ? this.#options.deadlineMs : START_MS_MAX) - elapsedMs
    if (leftMs > 0) this.#arm(slot, Math.max(1, Math.ceil(leftMs)))
    else this.#stop(slot, 'gate_timeout')
  }

  /** Ends the worker of a slot and starts another; the input it was at is denied with `code`. */
  #stop(slot: Slot, code: GateReasonCode): void {
    const place = Number(Atomics.load(slot.progress, PROGRESS_PLACE))
    const batch = this.#release(slot)
    const again: Question[] = []
    for (const [at, question] of batch.entries()) {
      if (at === place || batch.length === 1) question.resolve(gateDenial(code))
      else again.push(question)
    }
    for (const question of again) question.alone = true
    this.#queue.unshift(...again)
    this.#spawn(slot)
    this.#schedulePump()
  }

  /** Takes worker, timer and batch from a slot, ends the worker and returns the batch. */
  #release(slot: Slot): readonly Question[] {
    const { worker, batch } = slot
    clearTimeout(slot.timer)
    slot.worker = undefined
    slot.ready = false
    slot.batch = []
    if (worker !== undefined) {
      const ended = worker.terminate()
      this.#ending.add(ended)
      void ended.finally(() => this.#ending.delete(ended))
    }
    return batch
  }

  #spawn(slot: Slot): void {
    if (this.#closed) return
    // Memory of its own: a worker that is being ended may still write to the old one.
    const progress = new SharedArrayBuffer(16)
    slot.progress = new BigInt64Array(progress)
    const worker = new Worker(workerUrl(import.meta.url, './policy-worker.ts'), {
      workerData: { ...this.#options.start, progress } satisfies WorkerStart,
      resourceLimits: RESOURCE_LIMITS,
      env: {},
      argv: [],
      execArgv: [],
      // A policy may print: not into the service's own output.
      stdout: true,
      stderr: true,
    })
    worker.stdout.resume()
    worker.stderr.resume()
    slot.worker = worker
    let why = 'the worker ended before it was ready'
    worker.on('message', (message: WorkerMessage) => {
      if (slot.worker !== worker) return
      if (message.kind === 'answers') this.#accept(slot, message.verdicts)
      else if (message.kind === 'ready') this.#becomeReady(slot)
      else this.#failStart(slot, message.message)
    })
    worker.on('error', (error) => {
      why = `the worker failed: ${error.message}`
    })
    worker.on('exit', () => {
      if (slot.worker !== worker) return
      if (slot.ready) this.#stop(slot, 'gate_worker')
      else this.#failStart(slot, why)
    })
    slot.timer = setTimeout(() => {
      if (slot.worker === worker) this.#failStart(slot, 'the policy does not start in time')
    }, START_MS_MAX)
  }

  #becomeReady(slot: Slot): void {
    clearTimeout(slot.timer)
    slot.ready = true
    slot.failures = 0
    if (this.#slots.every(({ ready }) => ready)) this.#started?.resolve()
    this.#schedulePump()
  }

  #failStart(slot: Slot, message: string): void {
    this.#release(slot)
    if (this.#started !== undefined) {
      this.#started.reject(new Error(message))
      return
    }
    slot.failures += 1
    const pauseMs = Math.min(RETRY_MS_MAX, 100 * 2 ** Math.min(slot.failures, 10))
    slot.timer = setTimeout(() => this.#spawn(slot), pauseMs)
    if (this.#allDown()) this.#denyAll(this.#queue.splice(0), 'gate_worker')
  }

  #accept(slot: Slot, verdicts: readonly string[]): void {
    clearTimeout(slot.timer)
    const { batch } = slot
    slot.batch = []
    for (const [at, question] of batch.entries()) {
      question.resolve(this.#verdicts.read(verdicts[at]))
    }
    this.#schedulePump()
  }

  #allDown(): boolean {
    return this.#slots.every(({ worker }) => worker === undefined)
  }

  #denyAll(questions: readonly Question[], code: GateReasonCode): void {
    for (const { resolve } of questions) resolve(gateDenial(code))
  }
}

function deferred(): {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (reason: Error) => void
} {
  let resolve: () => void = () => {}
  let reject: (reason: Error) => void = () => {}
  const promise = new Promise<void>((settle, fail) => {
    resolve = settle
    reject = fail
  })
  return { promise, resolve, reject }
}
