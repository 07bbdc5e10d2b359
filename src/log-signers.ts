/**
 * @module The log keys that a start opens: every one whose signature the next heads need, and those that may come in force.
 * Which of them signs is decided by the entries of the log, never by the names of files.
 */
import { existsSync } from 'node:fs'
import { ed25519Spki, formatVkey, type NoteKey } from '@trustwarden/proofs'
import { type Signer, signerFromPrivateKey } from './crypto.ts'
import { DirectoryError, listLogKeys, logKeyPath } from './directory.ts'
import { KeyError, readKeyFile } from './keys.ts'
import { LogKeys, signersAt } from './ledger/log-keys.ts'
import { readRotations } from './ledger/rotations.ts'
import type { State } from './ledger/contract.ts'

/** What the log says at the time of the start. */
export interface LogSignersOptions {
  readonly first: NoteKey
  readonly state: Pick<State, 'get' | 'size'>
  readonly passphrase: string | undefined
  readonly onWarning: (message: string) => void
}

/**
 * Opens the log keys.
 *
 * @throws DirectoryError for a key file that holds another key than its name says, or that is missing and needed
 * @throws KeyError for one that is needed and cannot be read
 */
export function openLogKeys(keys: string, options: LogSignersOptions): LogKeys {
  const { first, state, passphrase, onWarning } = options
  const rotations = readRotations(state)
  const needed = signersAt(first, rotations, state.size + 1)
  const pathOf = (key: NoteKey): string =>
    logKeyPath(keys, ed25519Spki(key.publicKey), formatVkey(key) === formatVkey(first))
  const signers = needed.map((key, at) => {
    const path = pathOf(key)
    if (!existsSync(path)) throw missing(path, key, at === 0, rotations)
    const signer = openSigner(path, passphrase)
    if (Buffer.compare(signer.publicKey, key.publicKey) === 0) return signer
    const whose = path === pathOf(first) ? 'that genesis names' : 'of its name'
    throw new DirectoryError(`${keys}: the log key is not the one ${whose}`)
  })
  const retired = rotations.map(({ old }) => old).filter((key) => !needed.includes(key))
  const others = listLogKeys(keys).filter((path) => !needed.map(pathOf).includes(path))
  for (const path of others) {
    if (retired.map(pathOf).includes(path)) {
      onWarning(`${path}: a retired log key that signs nothing any more: destroy it`)
      continue
    }
    try {
      signers.push(openSigner(path, passphrase))
    } catch (error) {
      // It signs nothing yet; a crash of the command that makes it leaves such a file.
      if (!(error instanceof KeyError)) throw error
      onWarning(`${error.message}: a log key that cannot come in force as it is: remove it`)
    }
  }
  return new LogKeys(first, signers, readRotations, (key) => existsSync(pathOf(key)))
}

function openSigner(path: string, passphrase: string | undefined): Signer {
  return signerFromPrivateKey(readKeyFile(path, passphrase))
}

function missing(
  path: string,
  key: NoteKey,
  isInForce: boolean,
  rotations: ReturnType<typeof readRotations>,
): Error {
  const rotation = rotations.find(({ old }) => formatVkey(old) === formatVkey(key))
  const why =
    isInForce || rotation === undefined
      ? 'the log key in force'
      : `a retired log key, which signs beside the new one up to size ${rotation.until}`
  return new KeyError('key_file_missing', `there is no ${path}: ${why}, ${formatVkey(key)}`)
}
