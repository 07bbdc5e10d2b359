/**
 * @module Entries in any number for a log that a service serves: readers whom an operator enrols.
 */
import { PersonKey, signStatement, TrustWarden } from 'trustwarden'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'

/** Enrols `count` readers by the operator with this key file. */
export async function enrolReaders(
  service: { readonly url: string; readonly trust: string; readonly operator: string },
  count: number,
): Promise<void> {
  const client = await TrustWarden.connect({ url: service.url, trust: service.trust })
  const operator = PersonKey.fromFile(service.operator).as('operator')
  const statements = Array.from({ length: count }, () => {
    const { spki } = signerFromPrivateKey(generateKey('EdDSA'))
    const kid = Buffer.from(nativePrimitives.sha256(spki)).toString('base64url')
    const payload = { role: 'reader', key: Buffer.from(spki).toString('base64url') }
    const draft = { type: 'member.enroll', subject: `reader:${kid}`, payload }
    return signStatement(operator, client.origin, draft)
  })
  for (let at = 0; at < count; at += 500) await client.submitMany(statements.slice(at, at + 500))
}
