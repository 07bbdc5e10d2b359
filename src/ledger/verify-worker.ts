/**
 * @module The worker thread that verifies signatures, so that the writer's thread does not. It keeps no state.
 */
import { parentPort } from 'node:worker_threads'
import { unpackChecks } from './verify-message.ts'
import { verifySignatures } from './verify.ts'

const port = parentPort
// Checks as verify-message.ts packs them; back goes for each, in order, 1 if the signature holds, else 0.
port?.on('message', (checks: Uint8Array) => {
  port.postMessage(Uint8Array.from(verifySignatures(unpackChecks(checks)), Number))
})
