/**
 * @module The worker thread that verifies signatures, so that the writer's thread does not. It keeps no state.
 */
import { parentPort } from 'node:worker_threads'
import { unpackChecks } from './verify-message.ts'
import { verifySignatures } from './verify.ts'

/** What the pool sends: checks (verify-message.ts), and a number to answer under. */
export interface VerifyRequest {
  readonly id: number
  readonly checks: Uint8Array
}

/** What the worker answers: for each check, in order, 1 if the signature holds, else 0. */
export interface VerifyResponse {
  readonly id: number
  readonly verdicts: Uint8Array
}

const port = parentPort
port?.on('message', ({ id, checks }: VerifyRequest) => {
  const verdicts = Uint8Array.from(verifySignatures(unpackChecks(checks)), Number)
  const response: VerifyResponse = { id, verdicts }
  port.postMessage(response)
})
