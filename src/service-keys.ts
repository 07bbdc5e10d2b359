/**
 * @module The keys that a running service signs with, each held against what genesis names.
 */
import type { KeyObject } from 'node:crypto'
import { equalBytes, type Genesis } from '@trustwarden/proofs'
import type { Config } from './config.ts'
import { type Signer, signerFromPrivateKey } from './crypto.ts'
import { DirectoryError, openKey, type ServiceKey } from './directory.ts'
import { rootOf } from './genesis.ts'
import { Authority } from './identity/authority.ts'
import { IdentityError } from './identity/errors.ts'
import { readPassphrase } from './keys.ts'
import type { LogKeys } from './ledger/log-keys.ts'
import { type LogSignersOptions, openLogKeys } from './log-signers.ts'

/** The keys of a running service. */
export interface ServiceKeys {
  readonly log: LogKeys
  readonly permit: Signer
  readonly authority: Authority
}

/**
 * Opens the keys and holds each against genesis: a service with a foreign key must not start.
 *
 * @throws DirectoryError, KeyError
 */
export function openServiceKeys(
  config: Config,
  genesis: Genesis,
  log: Pick<LogSignersOptions, 'state' | 'onWarning'>,
): ServiceKeys {
  const { passphraseFile: file, passphraseFd: fd } = config
  const passphrase = readPassphrase({
    ...(file === undefined ? {} : { file }),
    ...(fd === undefined ? {} : { fd }),
  })
  const open = (name: ServiceKey) => openKey(config.keys, name, passphrase)
  const logKeys = openLogKeys(config.keys, { ...log, first: genesis.keys.log, passphrase })
  const permit = signerFromPrivateKey(open('permit'))
  if (!equalBytes(permit.spki, genesis.keys.permit))
    throw new DirectoryError(`${config.keys}: the permit key is not the one that genesis names`)
  return { log: logKeys, permit, authority: openAuthority(open('ca'), config.keys, genesis) }
}

function openAuthority(key: KeyObject, keys: string, genesis: Genesis): Authority {
  try {
    return Authority.open({ key, certificateDer: rootOf(genesis) })
  } catch (cause) {
    if (!(cause instanceof IdentityError)) throw cause
    const message = `${keys}: the CA key is not the one whose certificate genesis names`
    throw new DirectoryError(message, { cause })
  }
}
