/**
 * @module A pool of threads that verify signatures. A P-256 verification costs more than everything else that the
 * writer's thread does for a statement.
 */
import { Worker } from 'node:worker_threads'
import { workerUrl } from '../worker-url.ts'
import { LedgerError, messageOf } from './errors.ts'
import type { Lane } from './admission.ts'
import { packChecks } from './verify-message.ts'
import type { SignatureCheck, SignatureVerifier } from './verify.ts'

/**
 * Checks of one message to a thread, at most. A thread has one message at a time: what comes meanwhile goes over together,
 * for a message costs as much as a third of a verification, and what is urgent waits behind that one alone.
 */
const MESSAGE_CHECKS = 32
/** What a thread may use: it keeps nothing, and left alone lets as much garbage lie as the writer's thread. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 }

interface Waiting {
  readonly check: SignatureCheck
  readonly resolve: (verdict: boolean) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  /** What it has; empty if it is idle. */
  waiting: readonly Waiting[]
}

/** Threads that verify signatures. Checks of one turn of the event loop go over together, urgent ones first. */
export class VerifyPool implements SignatureVerifier {
  readonly #threads: (Thread | undefined)[]
  readonly #queues: Readonly<Record<Lane, Waiting[]>> = { urgent: [], normal: [] }
  #scheduled = false
  #closed = false

  /** @param threads - How many; they are started when first needed. */
  constructor(threads = 2) {
    this.#threads = Array.from({ length: threads }, () => undefined)
  }

  verify(check: SignatureCheck, lane: Lane = 'normal'): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new LedgerError('verifier_failed', 'the pool is closed'))
        return
      }
      this.#queues[lane].push({ check, resolve, reject })
      if (this.#scheduled) return
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.#dispatch()
      })
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#failQueued('the pool is closed')
    const threads = this.#threads.splice(0)
    await Promise.all(
      threads.map(async (thread) => {
        if (thread === undefined) return
        await thread.worker.terminate()
        fail(thread, new LedgerError('verifier_failed', 'the pool is closed'))
      }),
    )
  }

  /** Gives the threads as much as they take; what is left goes when one of them has answered. */
  #dispatch(): void {
    const { urgent, normal } = this.#queues
    if (this.#threads.length === 0) {
      this.#failQueued('the pool has no threads')
      return
    }
    const share = Math.ceil((urgent.length + normal.length) / this.#threads.length)
    const count = Math.min(MESSAGE_CHECKS, share)
    for (let slot = 0; slot < this.#threads.length; slot++) {
      if (urgent.length + normal.length === 0) return
      const thread = this.#threads[slot] ?? this.#start(slot)
      if (thread.waiting.length > 0) continue
      const taken = urgent.splice(0, count)
      taken.push(...normal.splice(0, count - taken.length))
      this.#send(thread, taken)
    }
  }

  #failQueued(why: string): void {
    for (const queue of [this.#queues.urgent, this.#queues.normal]) {
      for (const { reject } of queue.splice(0)) reject(new LedgerError('verifier_failed', why))
    }
  }

  #send(thread: Thread, waiting: readonly Waiting[]): void {
    thread.waiting = waiting
    // An idle pool does not keep a process alive; one that owes an answer does.
    thread.worker.ref()
    const checks = packChecks(waiting.map(({ check }) => check))
    thread.worker.postMessage(checks, [checks.buffer])
  }

  #start(slot: number): Thread {
    const worker = new Worker(workerUrl(import.meta.url, './verify-worker.ts'), {
      resourceLimits: RESOURCE_LIMITS,
    })
    const thread: Thread = { worker, waiting: [] }
    this.#threads[slot] = thread
    worker.on('message', (verdicts: Uint8Array) => {
      const { waiting } = thread
      thread.waiting = []
      worker.unref()
      this.#dispatch()
      for (const [at, { resolve }] of waiting.entries()) resolve(verdicts[at] === 1)
    })
    const ended = (why: string): void => {
      // What it had is not verified; the next check starts a new thread in its place.
      if (this.#threads[slot] === thread) this.#threads[slot] = undefined
      fail(thread, new LedgerError('verifier_failed', `a verifying thread ended: ${why}`))
      if (!this.#closed) this.#dispatch()
    }
    worker.on('error', (error) => ended(messageOf(error)))
    worker.on('exit', (code) => ended(`exit code ${code}`))
    return thread
  }
}

function fail(thread: Thread, error: LedgerError): void {
  const { waiting } = thread
  thread.waiting = []
  for (const { reject } of waiting) reject(error)
}
