/**
 * @module Signature checks on their way to a thread: one block of bytes for many, which goes over without a copy.
 *
 *     check  alg u8 (0 EdDSA, 1 ES256) ‖ length of key u8 ‖ of signature u8 ‖ of message u32 ‖ key ‖ signature ‖ message
 */
import type { SignatureCheck } from './verify.ts'

const HEAD_BYTES = 7

/** Packs checks into a block of their own. A key or signature over 255 bytes verifies nowhere and is sent empty. */
export function packChecks(checks: readonly SignatureCheck[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const { publicKey, signature, message } of checks) {
    length += HEAD_BYTES + sent(publicKey).length + sent(signature).length + message.length
  }
  const block = new Uint8Array(length)
  const view = new DataView(block.buffer)
  let at = 0
  for (const { alg, publicKey, signature, message } of checks) {
    const [key, signed] = [sent(publicKey), sent(signature)]
    block[at] = alg === 'EdDSA' ? 0 : 1
    block[at + 1] = key.length
    block[at + 2] = signed.length
    view.setUint32(at + 3, message.length)
    at += HEAD_BYTES
    for (const part of [key, signed, message]) {
      block.set(part, at)
      at += part.length
    }
  }
  return block
}

/** Takes a block apart. What it returns are views of it. */
export function unpackChecks(block: Uint8Array): readonly SignatureCheck[] {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const checks: SignatureCheck[] = []
  let at = 0
  while (at < block.length) {
    const key = at + HEAD_BYTES
    const signature = key + view.getUint8(at + 1)
    const message = signature + view.getUint8(at + 2)
    const end = message + view.getUint32(at + 3)
    checks.push({
      alg: block[at] === 0 ? 'EdDSA' : 'ES256',
      publicKey: block.subarray(key, signature),
      signature: block.subarray(signature, message),
      message: block.subarray(message, end),
    })
    at = end
  }
  return checks
}

function sent(bytes: Uint8Array): Uint8Array {
  return bytes.length > 255 ? new Uint8Array(0) : bytes
}
