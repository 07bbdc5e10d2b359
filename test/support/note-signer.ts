/** @module Signers of notes with fixed seeds, on node:crypto: independent of what the kit verifies with. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { concatBytes, u64Bytes } from '../../proofs/bytes.ts'
import { noblePrimitives } from '../../proofs/noble.ts'
import {
  cosignatureSigningInput,
  NOTE_COSIGNATURE_V1,
  NOTE_ED25519,
  noteKey,
  type NoteKey,
  type NoteSignature,
  noteSigningInput,
} from '../../proofs/note.ts'

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A key and its signatures of a note's text. */
export interface NoteSigner {
  readonly key: NoteKey
  readonly sign: (text: string) => NoteSignature
  /** The bare signature of any bytes. */
  readonly signBytes: (message: Uint8Array) => Uint8Array
}

/** A log's signer (type 0x01). */
export function logSigner(name: string, seed: number): NoteSigner {
  const pair = pairFromSeed(seed)
  const key = noteKey(noblePrimitives, name, NOTE_ED25519, pair.publicKey)
  return {
    key,
    signBytes: pair.sign,
    sign: (text) => ({ name, keyId: key.keyId, signature: pair.sign(noteSigningInput(text)) }),
  }
}

/** A cosigner (type 0x04) that always says the same time, in seconds. */
export function cosigner(name: string, seed: number, timestamp: number): NoteSigner {
  const pair = pairFromSeed(seed)
  const key = noteKey(noblePrimitives, name, NOTE_COSIGNATURE_V1, pair.publicKey)
  return {
    key,
    signBytes: pair.sign,
    sign: (text) => {
      const signature = pair.sign(cosignatureSigningInput(text, timestamp))
      return { name, keyId: key.keyId, signature: concatBytes(u64Bytes(timestamp), signature) }
    },
  }
}

function pairFromSeed(seed: number): {
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
} {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, Buffer.alloc(32, seed)]),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(12)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}
