/**
 * @module The worker thread that verifies signatures, so that the writer's thread does not. It keeps no state.
 */
import { parentPort } from 'node:worker_threads'
import { verifySignatures } from './verify.ts'
import type { SignatureCheck } from './verify.ts'

/** What the pool sends: checks, and a number to answer under. */
export interface VerifyRequest {
  readonly id: number
  readonly checks: readonly SignatureCheck[]
}

/** What the worker answers: one verdict for each check, in order. */
export interface VerifyResponse {
  readonly id: number
  readonly verdicts: readonly boolean[]
}

const port = parentPort
port?.on('message', ({ id, checks }: VerifyRequest) => {
  const response: VerifyResponse = { id, verdicts: verifySignatures(checks) }
  port.postMessage(response)
})
