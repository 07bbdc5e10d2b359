/**
 * @module The worker that runs a policy. It answers batches in order, and says in shared memory what it is at, so that
 * the host can tell a policy that runs away from one that waits its turn.
 *
 * Everything here is synchronous but the messages. An instance that threw is dropped and the next input gets a new
 * one: the stack of the old one may be anywhere. What happens outside an evaluation ends the worker.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { classifyFault, OpaInstance, PolicyRefused } from './opa-gate.ts'
import type { PolicyModule } from './opa-gate.ts'
import { unpackInputs, writeVerdict } from './policy-message.ts'
import { PROGRESS_PLACE, PROGRESS_SINCE } from './policy-progress.ts'
import { gateDenial } from './reasons.ts'
import type { Verdict } from './reasons.ts'
import { readVerdict } from './verdict.ts'

/** An input and what a policy must make of it, before it is trusted with any other. */
export interface SelfTest {
  /** Canonical JSON of one object. */
  readonly input: Uint8Array
  readonly effect: Verdict['effect']
}

/** What a worker is started with. */
export interface WorkerStart {
  readonly module: PolicyModule
  /** Canonical JSON of one object. */
  readonly data: Uint8Array
  readonly memoryPages: number
  readonly selfTest: readonly SelfTest[]
  /** 16 bytes, see policy-progress.ts. */
  readonly progress: SharedArrayBuffer
}

/** What the worker says: once `ready` or `refused`, and then one `answers` for each batch. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'answers'; readonly verdicts: readonly string[] }

if (parentPort !== null) serve(parentPort, workerData as WorkerStart)

function serve(port: NonNullable<typeof parentPort>, start: WorkerStart): void {
  const send = (message: WorkerMessage): void => port.postMessage(message)
  const progress = new BigInt64Array(start.progress)
  let instance: OpaInstance | undefined
  try {
    instance = createTested(start)
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error
    send({ kind: 'refused', message: error.message })
    return
  }
  const answer = (input: Uint8Array, place: number): Verdict => {
    // The time first: read the other way round, an older place never comes with a time before its own.
    Atomics.store(progress, PROGRESS_SINCE, process.hrtime.bigint())
    Atomics.store(progress, PROGRESS_PLACE, BigInt(place))
    instance ??= createTested(start)
    try {
      return readVerdict(instance.evaluate(input))
    } catch (error) {
      instance = undefined
      return gateDenial(classifyFault(error))
    }
  }
  port.on('message', (batch: Uint8Array) => {
    const verdicts = unpackInputs(batch).map((input, place) => writeVerdict(answer(input, place)))
    send({ kind: 'answers', verdicts })
  })
  send({ kind: 'ready' })
}

/** A new instance that has passed its self-test. */
function createTested({ module, data, memoryPages, selfTest }: WorkerStart): OpaInstance {
  const instance = new OpaInstance(module, data, memoryPages)
  for (const [at, { input, effect }] of selfTest.entries()) {
    let verdict: Verdict
    try {
      verdict = readVerdict(instance.evaluate(input))
    } catch (error) {
      throw new PolicyRefused(`self-test ${at}: ${classifyFault(error)}`)
    }
    // A policy that fails denies too: that must not pass for the denial that the test wants.
    const failed = verdict.reasons.find((reason) => reason.startsWith('gate_'))
    if (failed !== undefined || verdict.effect !== effect) {
      throw new PolicyRefused(`self-test ${at}: ${failed ?? verdict.effect}, must be ${effect}`)
    }
  }
  return instance
}
