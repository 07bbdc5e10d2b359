/**
 * @module One thread that verifies signatures and nothing else: cached keys, messages as long as what statements sign.
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
import sodium from 'sodium-native'
import { rateOf } from './measure.ts'

/** What the thread is told. */
export interface VerifyOrder {
  readonly alg: 'ES256' | 'EdDSA'
  readonly by: 'node:crypto' | 'sodium-native'
  readonly ms: number
}

/** What it found. */
export interface VerifyReport {
  /** Verifications a second. */
  readonly rate: number
  readonly count: number
}

/** Bytes that are signed, about: in an action's statement, which P-256 signs, and in an enrolment's, which Ed25519 does. */
const MESSAGE_LENGTH = { ES256: 1370, EdDSA: 640 } as const
/** Messages of each algorithm, so that no signature is verified twice in a row. */
const MESSAGES = 64
const ED25519_KEY_BYTES = 32

interface Signed {
  readonly message: Buffer
  readonly signature: Buffer
}

type Verify = (signed: Signed) => boolean

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

function signMessages(
  alg: VerifyOrder['alg'],
  by: VerifyOrder['by'],
): { readonly signed: readonly Signed[]; readonly isGood: Verify } {
  const hash = alg === 'ES256' ? 'sha256' : null
  const ofKey = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' }) as const
  const [privatePem, publicPem] = drawPair(alg)
  const publicObject = createPublicKey(publicPem)
  const [privateKey, publicKey] = [ofKey(createPrivateKey(privatePem)), ofKey(publicObject)]
  const signed = Array.from({ length: MESSAGES }, () => {
    const message = randomBytes(MESSAGE_LENGTH[alg])
    return { message, signature: sign(hash, message, privateKey) }
  })
  if (by === 'node:crypto')
    return {
      signed,
      isGood: ({ message, signature }) => verify(hash, message, publicKey, signature),
    }
  const bare = publicObject.export({ type: 'spki', format: 'der' }).subarray(-ED25519_KEY_BYTES)
  return {
    signed,
    isGood: ({ message, signature }) =>
      sodium.crypto_sign_verify_detached(signature, message, bare),
  }
}

function prepare(alg: VerifyOrder['alg'], by: VerifyOrder['by']): (turn: number) => void {
  const { signed, isGood } = signMessages(alg, by)
  return (turn) => {
    const one = signed[turn % MESSAGES]
    if (one === undefined || !isGood(one))
      throw new Error(`${alg}, ${by}: a good signature was refused`)
  }
}

const verifications = {
  'ES256 node:crypto': prepare('ES256', 'node:crypto'),
  'EdDSA node:crypto': prepare('EdDSA', 'node:crypto'),
  'EdDSA sodium-native': prepare('EdDSA', 'sodium-native'),
} as const

parentPort?.on('message', ({ alg, by, ms }: VerifyOrder) => {
  const name = `${alg} ${by}` as keyof typeof verifications
  let count = 0
  const rate = rateOf(ms, (turn) => {
    verifications[name](turn)
    count += 1
  })
  const report: VerifyReport = { rate, count }
  parentPort?.postMessage(report)
})
