/**
 * @module One thread that verifies signatures with node:crypto: cached keys, messages as long as an action's statement.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { rateOf } from './measure.ts'

/** What the thread is told. */
export interface VerifyOrder {
  readonly alg: 'ES256' | 'EdDSA'
  readonly ms: number
}

/** What it found. */
export interface VerifyReport {
  /** Verifications a second. */
  readonly rate: number
  readonly count: number
}

/** Bytes that are signed in an action's statement, about. The digest over them is a fortieth of the verification. */
const MESSAGE_LENGTH = 1100
/** Messages of each algorithm, so that no signature is verified twice in a row. */
const MESSAGES = 64

/** Drawn as text: a key object straight from the job that drew it shares that job's lock. */
function drawPair(alg: VerifyOrder['alg']): readonly [string, string] {
  const { privateKey, publicKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', {
          namedCurve: 'P-256',
          privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
          publicKeyEncoding: { type: 'spki', format: 'pem' },
        })
      : generateKeyPairSync('ed25519', {
          privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
          publicKeyEncoding: { type: 'spki', format: 'pem' },
        })
  return [privateKey, publicKey]
}

function prepare(alg: VerifyOrder['alg']): (turn: number) => void {
  const hash = alg === 'ES256' ? 'sha256' : null
  const ofKey = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' }) as const
  const [privatePem, publicPem] = drawPair(alg)
  const privateKey = ofKey(createPrivateKey(privatePem))
  const publicKey = ofKey(createPublicKey(publicPem))
  const signed = Array.from({ length: MESSAGES }, () => {
    const message = randomBytes(MESSAGE_LENGTH)
    return { message, signature: sign(hash, message, privateKey) }
  })
  return (turn) => {
    const one = signed[turn % MESSAGES]
    if (one === undefined || !verify(hash, one.message, publicKey, one.signature))
      throw new Error(`${alg}: a good signature was refused`)
  }
}

const verifications = { ES256: prepare('ES256'), EdDSA: prepare('EdDSA') }

parentPort?.on('message', ({ alg, ms }: VerifyOrder) => {
  let count = 0
  const rate = rateOf(ms, (turn) => {
    verifications[alg](turn)
    count += 1
  })
  const report: VerifyReport = { rate, count }
  parentPort?.postMessage(report)
})
