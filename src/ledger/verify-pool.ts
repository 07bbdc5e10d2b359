/**
 * @module A pool of threads that verify signatures. A P-256 verification costs more than everything else that the
 * writer's thread does for a statement.
 */
import { Worker } from 'node:worker_threads'
import { workerUrl } from '../worker-url.ts'
import { LedgerError, messageOf } from './errors.ts'
import type { Lane } from './admission.ts'
import { packChecks } from './verify-message.ts'
import type { VerifyRequest, VerifyResponse } from './verify-worker.ts'
import type { SignatureCheck, SignatureVerifier } from './verify.ts'

/** Checks of one message to a thread. */
const MESSAGE_CHECKS = 32
/** Checks that a thread has at once, at most: what is urgent waits behind those alone. */
const THREAD_CHECKS = 64

interface Waiting {
  readonly check: SignatureCheck
  readonly resolve: (verdict: boolean) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  /** By request id. */
  readonly requests: Map<number, readonly Waiting[]>
  load: number
}

/** Threads that verify signatures. Checks of one turn of the event loop go over together, urgent ones first. */
export class VerifyPool implements SignatureVerifier {
  readonly #threads: (Thread | undefined)[]
  readonly #queues: Readonly<Record<Lane, Waiting[]>> = { urgent: [], normal: [] }
  #scheduled = false
  #nextId = 0
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
    while (urgent.length + normal.length > 0) {
      const thread = this.#leastLoaded()
      if (thread.load >= THREAD_CHECKS) return
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
    const id = this.#nextId++
    thread.requests.set(id, waiting)
    thread.load += waiting.length
    thread.worker.ref()
    const checks = packChecks(waiting.map(({ check }) => check))
    const request: VerifyRequest = { id, checks }
    thread.worker.postMessage(request, [checks.buffer])
  }

  #leastLoaded(): Thread {
    let slot = 0
    for (const [at, thread] of this.#threads.entries()) {
      const best = this.#threads[slot]
      if ((thread?.load ?? 0) < (best?.load ?? 0)) slot = at
    }
    const thread = this.#threads[slot] ?? this.#start(slot)
    this.#threads[slot] = thread
    return thread
  }

  #start(slot: number): Thread {
    const worker = new Worker(workerUrl(import.meta.url, './verify-worker.ts'))
    const thread: Thread = { worker, requests: new Map(), load: 0 }
    worker.on('message', ({ id, verdicts }: VerifyResponse) => {
      const waiting = thread.requests.get(id) ?? []
      thread.requests.delete(id)
      thread.load -= waiting.length
      // An idle pool does not keep a process alive; one that owes an answer does.
      if (thread.load === 0) worker.unref()
      for (const [at, { resolve }] of waiting.entries()) resolve(verdicts[at] === 1)
      this.#dispatch()
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
  const requests = [...thread.requests.values()]
  thread.requests.clear()
  for (const { reject } of requests.flat()) reject(error)
}
