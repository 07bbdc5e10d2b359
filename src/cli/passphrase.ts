/**
 * @module Where a passphrase comes from: a file, an open descriptor, or a question on the terminal.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { PersonKey } from 'trustwarden'
import { readPassphrase } from '../keys.ts'
import { type Call, type Io, UsageError } from './command.ts'

/** The passphrase of `--passphrase-file` or `--passphrase-fd`, or undefined. @throws UsageError, KeyError */
export function givenPassphrase(call: Call): string | undefined {
  const file = call.optional('passphrase-file')
  const fdText = call.optional('passphrase-fd')
  if (fdText !== undefined && !/^\d{1,4}$/.test(fdText))
    throw new UsageError("--passphrase-fd is not a descriptor's number")
  if (file !== undefined && fdText !== undefined)
    throw new UsageError('--passphrase-file and --passphrase-fd are both given: one is needed')
  const fd = fdText === undefined ? undefined : Number(fdText)
  return readPassphrase({
    ...(file === undefined ? {} : { file }),
    ...(fd === undefined ? {} : { fd }),
  })
}

/**
 * The passphrase for a key that is being made; undefined exactly if the switch that leaves it in the clear is given.
 *
 * @throws UsageError if there is neither a passphrase nor a terminal to ask at
 */
export async function readNewPassphrase(
  call: Call,
  io: Io,
  plainSwitch: string,
): Promise<string | undefined> {
  const given = givenPassphrase(call)
  if (call.has(plainSwitch)) {
    if (given !== undefined)
      throw new UsageError(`a passphrase and --${plainSwitch} are both given: one is needed`)
    return undefined
  }
  if (given !== undefined) return given
  if (!io.isTerminal || !process.stdin.isTTY)
    throw new UsageError(
      `the key needs a passphrase: --passphrase-file F or --passphrase-fd N (or --${plainSwitch})`,
    )
  const first = await ask('passphrase for the new key: ')
  const second = await ask('the same again: ')
  if (first !== second) throw new UsageError('the two passphrases differ')
  if (first.length === 0) throw new UsageError('the passphrase is empty')
  return first
}

/**
 * The key of a person that the call names. One that is encrypted, with no passphrase given, is asked for at the terminal.
 *
 * @throws UsageError if there is no terminal either
 * @throws TrustWardenError `key_invalid`
 */
export async function openPersonKey(call: Call, path: string): Promise<PersonKey> {
  const given = givenPassphrase(call)
  if (given !== undefined || !isEncrypted(path)) return PersonKey.fromFile(path, given)
  if (!process.stderr.isTTY || !process.stdin.isTTY)
    throw new UsageError(`${path} is encrypted: --passphrase-file F or --passphrase-fd N is needed`)
  return PersonKey.fromFile(path, await ask(`passphrase of ${path}: `))
}

/** Whether a file is a private key under a passphrase; what cannot be read is for whoever opens it to say. */
function isEncrypted(path: string): boolean {
  try {
    return readFileSync(path, 'latin1').startsWith('-----BEGIN ENCRYPTED PRIVATE KEY-----')
  } catch {
    return false
  }
}

/** A line from the terminal that is not echoed. @throws UsageError if there is none: the end of input, or an interrupt */
function ask(question: string): Promise<string> {
  process.stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  return new Promise((resolve, reject) => {
    lines.once('close', () => {
      process.stderr.write('\n')
      // Does nothing once there is an answer.
      reject(new UsageError('no passphrase was given'))
    })
    lines.question('', (answer) => {
      resolve(answer)
      lines.close()
    })
  })
}
