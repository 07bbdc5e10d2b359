/**
 * Goal: a person's key is made once, for its person alone, and encrypted unless somebody says otherwise. Method: the
 * built CLI in a temporary directory.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { keyId } from '@trustwarden/proofs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { readKeyFile, readPublicKeyFile } from '../../src/keys.ts'
import { scratchDirectory, trustwarden, writeSecret } from '../support/command-line.ts'

let scratch: ReturnType<typeof scratchDirectory>
beforeEach(() => {
  scratch = scratchDirectory()
})
afterEach(() => scratch.remove())
const at = (name: string): string => join(scratch.path, name)

describe('keygen', () => {
  test('writes a private key of mode 0600, its public half, and prints its key id', () => {
    const ended = trustwarden(['keygen', '--out', at('k'), '--plain-key', '--json'])
    expect([ended.code, ended.err]).toEqual([0, ''])
    const { key, public: publicPath, kid } = JSON.parse(ended.out) as Record<string, string>
    expect([key, publicPath]).toEqual([at('k'), at('k.pub')])
    expect((statSync(at('k')).mode % 0o1000).toString(8)).toBe('600')
    expect(readFileSync(at('k'), 'utf8')).toContain('BEGIN PRIVATE KEY')
    const signer = signerFromPrivateKey(readKeyFile(at('k')))
    expect([signer.alg, keyId(nativePrimitives, signer.spki)]).toEqual(['EdDSA', kid])
    expect(readPublicKeyFile(at('k.pub')).asymmetricKeyType).toBe('ed25519')
  })

  test('encrypts under the passphrase of a file or a descriptor', () => {
    const file = writeSecret(at('pass'), 'correct horse\n')
    const ways = [
      { args: ['--passphrase-file', file], options: {} },
      { args: ['--passphrase-fd', '0'], options: { input: 'correct horse\n' } },
    ]
    for (const [n, { args, options }] of ways.entries()) {
      const path = at(`k${n}`)
      expect(trustwarden(['keygen', '--out', path, '--alg', 'p256', ...args], options).code).toBe(0)
      expect(readFileSync(path, 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY')
      expect(signerFromPrivateKey(readKeyFile(path, 'correct horse')).alg).toBe('ES256')
      expect(() => readKeyFile(path, 'wrong')).toThrow(/does not open/)
    }
  })

  test('asks for a passphrase or for the switch that leaves it out, and for one of them', () => {
    const file = writeSecret(at('pass'), 'x\n')
    for (const args of [
      [],
      ['--plain-key', '--passphrase-file', file],
      ['--passphrase-fd', '0', '--passphrase-file', file],
      ['--passphrase-fd', 'x'],
      ['--plain-key', '--alg', 'rsa'],
      ['--plain-key', 'extra'],
      ['--plain-key', '--unknown'],
      ['--plain-key', '--plain-key'],
      ['--plain-key', '--out', at('other')],
    ]) {
      const ended = trustwarden(['keygen', '--out', at('k'), ...args])
      expect([args, ended.code]).toEqual([args, 2])
      expect(ended.err).toContain('usage: trustwarden keygen')
      expect(existsSync(at('k'))).toBe(false)
    }
    expect(trustwarden(['keygen', '--plain-key']).err).toContain('--out is missing')
    const twice = trustwarden(['keygen', '--out', at('k'), '--plain-key', `--out=${at('other')}`])
    expect(twice.err).toContain('--out is given twice')
  })

  test('never overwrites, and leaves no half of a pair', () => {
    trustwarden(['keygen', '--out', at('k'), '--plain-key'])
    const before = readFileSync(at('k'), 'utf8')
    const again = trustwarden(['keygen', '--out', at('k'), '--plain-key'])
    expect([again.code, again.err.split(':')[0]]).toEqual([1, 'key_file_exists'])
    expect(readFileSync(at('k'), 'utf8')).toBe(before)
    writeSecret(at('j.pub'), 'here first')
    expect(trustwarden(['keygen', '--out', at('j'), '--plain-key']).code).toBe(1)
    expect(existsSync(at('j'))).toBe(false)
  })

  test('takes no passphrase from a file that others may read, an empty one, or none', () => {
    const open = at('open')
    writeSecret(open, 'x')
    const mode = trustwarden(['keygen', '--out', at('k'), '--passphrase-file', '/etc/passwd'])
    expect([mode.code, mode.err]).toEqual([2, expect.stringContaining('key_file_mode')])
    expect(mode.err).toContain('chmod 600')
    const missing = trustwarden(['keygen', '--out', at('k'), '--passphrase-file', at('no')])
    expect([missing.code, missing.err]).toEqual([2, expect.stringContaining('key_file_missing')])
    const empty = trustwarden(['keygen', '--out', at('k'), '--passphrase-fd', '0'], { input: '\n' })
    expect([empty.code, empty.err]).toEqual([1, expect.stringContaining('key_passphrase_invalid')])
    expect(existsSync(at('k'))).toBe(false)
  })
})

describe('trustwarden', () => {
  test('lists its commands, and says how one is used', () => {
    const help = trustwarden(['help'])
    expect([help.code, help.err]).toEqual([0, ''])
    for (const name of ['keygen', 'init', 'serve', 'audit', 'verify'])
      expect(help.out).toContain(name)
    const one = trustwarden(['init', '--help'])
    expect([one.code, one.out]).toEqual([
      0,
      expect.stringContaining('usage: trustwarden init --data'),
    ])
  })

  test('refuses what is no command', () => {
    const ended = trustwarden(['destroy'])
    expect([ended.code, ended.out]).toEqual([2, ''])
    expect(ended.err).toContain('there is no command "destroy"')
    expect(trustwarden(['__proto__']).code).toBe(2)
  })
})
