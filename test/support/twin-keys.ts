/**
 * @module Two log keys of one C2SP key id. 4 bytes collide within some 77,000 draws: these are the first two among
 * `log key 0`, `log key 1`, … of the vectors whose ids under `TWIN_ORIGIN` are one, found by drawing them all.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { seeded } from '../../proofs/vectors/generate-keys.ts'

/** The log for which they are twins: the id is a hash over its name too. */
export const TWIN_ORIGIN = 'log.example/logs/main'

/** PKCS#8 of an Ed25519 key, in front of its 32 bytes (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Both. */
export const twinKeys: readonly [KeyObject, KeyObject] = [twin(113_735), twin(129_152)]

function twin(draw: number): KeyObject {
  const key = Buffer.concat([PKCS8_PREFIX, seeded(`log key ${draw}`)])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}
