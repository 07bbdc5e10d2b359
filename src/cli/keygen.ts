/**
 * @module `trustwarden keygen`: makes an owner's, operator's or reader's key where its person is. The private half
 * never reaches the service.
 */
import { existsSync } from 'node:fs'
import { keyId } from '@trustwarden/proofs'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../crypto.ts'
import { KeyError, writeKeyFile, writePublicKeyFile } from '../keys.ts'
import { type Command, readCall, UsageError } from './command.ts'
import { readNewPassphrase } from './passphrase.ts'

const ALGORITHMS = { ed25519: 'EdDSA', p256: 'ES256' } as const

/** See the module. */
export const keygen: Command = {
  usage:
    'keygen --out FILE [--alg ed25519|p256] [--passphrase-file F | --passphrase-fd N | --plain-key] [--json]',
  summary: 'make the key of an owner, operator or reader: FILE and FILE.pub',
  run: async (args, io) => {
    const call = readCall(args, {
      values: ['out', 'alg', 'passphrase-file', 'passphrase-fd'],
      switches: ['plain-key', 'json'],
    })
    const out = call.required('out')
    const name = call.optional('alg') ?? 'ed25519'
    if (name !== 'ed25519' && name !== 'p256')
      throw new UsageError(`--alg is "${name}", ed25519 or p256 is needed`)
    for (const path of [out, `${out}.pub`])
      if (existsSync(path))
        throw new KeyError('key_file_exists', `${path} exists; key files are never overwritten`)
    const passphrase = await readNewPassphrase(call, io, 'plain-key')
    const key = generateKey(ALGORITHMS[name])
    writeKeyFile(out, key, passphrase === undefined ? {} : { passphrase })
    writePublicKeyFile(`${out}.pub`, key)
    const kid = keyId(nativePrimitives, signerFromPrivateKey(key).spki)
    if (call.has('json')) io.out(`${JSON.stringify({ key: out, public: `${out}.pub`, kid })}\n`)
    else
      io.out(
        `${out}      private key${passphrase === undefined ? ' (NOT encrypted)' : ''}: keep it where its person is\n` +
          `${out}.pub  public key: give this to whoever runs "trustwarden init" or an enrolment\n` +
          `key id ${kid}\n`,
      )
    return 0
  },
}
