/**
 * @module Goal: a key file comes back as the key that was written, only its owner and its passphrase open it, and
 * nothing is ever overwritten. Method: round trips in a temporary folder, each rule broken alone and told by its code,
 * and openssl (where installed) as the second reader and writer.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePublicKey, generateKey } from '../src/crypto.ts'
import {
  readKeyFile,
  readPassphrase,
  readPublicKeyFile,
  writeKeyFile,
  writePublicKeyFile,
} from '../src/keys.ts'

const PASSPHRASE = 'correct horse battery staple'
let folder = ''
let count = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keys-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

function fresh(): string {
  return join(folder, `file-${count++}`)
}

function fileOf(content: string | Uint8Array, mode = 0o600): string {
  const path = fresh()
  writeFileSync(path, content, { mode })
  chmodSync(path, mode)
  return path
}

function code(expected: string): unknown {
  return expect.objectContaining({ name: 'KeyError', code: expected })
}

function hasOpenssl(): boolean {
  return spawnSync('openssl', ['version']).error === undefined
}

describe.each(['EdDSA', 'ES256'] as const)('a private key file, %s', (alg) => {
  it.each([{ passphrase: PASSPHRASE }, { passphrase: 'пароль €' }, {}])(
    'comes back: %o',
    (options) => {
      const key = generateKey(alg)
      const path = fresh()
      writeKeyFile(path, key, options)
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(readKeyFile(path, options.passphrase).equals(key)).toBe(true)
      const label = options.passphrase === undefined ? 'PRIVATE KEY' : 'ENCRYPTED PRIVATE KEY'
      expect(readFileSync(path, 'latin1').split('\n')[0]).toBe(`-----BEGIN ${label}-----`)
    },
  )

  it('is of mode 0600 whatever the umask', () => {
    const before = process.umask(0)
    try {
      const path = fresh()
      writeKeyFile(path, generateKey(alg), {})
      expect(statSync(path).mode & 0o777).toBe(0o600)
    } finally {
      process.umask(before)
    }
  })

  it('is read and written by openssl too', ({ skip }) => {
    if (!hasOpenssl()) skip('openssl is not installed')
    const key = generateKey(alg)
    const path = fresh()
    writeKeyFile(path, key, { passphrase: PASSPHRASE })
    const pass = ['-passin', `pass:${PASSPHRASE}`]
    const plain = execFileSync('openssl', ['pkey', '-in', path, ...pass], { encoding: 'utf8' })
    expect(plain).toBe(key.export({ type: 'pkcs8', format: 'pem' }))
    const out = ['-passout', `pass:${PASSPHRASE}`, '-v2', 'aes-256-cbc']
    const theirs = execFileSync('openssl', ['pkcs8', '-topk8', '-in', path, ...pass, ...out])
    expect(readKeyFile(fileOf(theirs), PASSPHRASE).equals(key)).toBe(true)
  })
})

describe('writeKeyFile', () => {
  it('never overwrites: not a file, not a link that leads nowhere', () => {
    const path = fileOf('something')
    expect(() => writeKeyFile(path, generateKey('EdDSA'))).toThrow(code('key_file_exists'))
    expect(readFileSync(path, 'utf8')).toBe('something')
    const link = fresh()
    symlinkSync(fresh(), link)
    expect(() => writeKeyFile(link, generateKey('EdDSA'))).toThrow(code('key_file_exists'))
    expect(() => writePublicKeyFile(path, generateKey('EdDSA'))).toThrow(code('key_file_exists'))
  })

  it('refuses other keys, other passphrases and missing folders before anything is on disk', () => {
    const path = fresh()
    const key = generateKey('ES256')
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    expect(() => writeKeyFile(path, rsa)).toThrow(code('key_unsupported'))
    expect(() => writeKeyFile(path, createPublicKey(key))).toThrow(code('key_unsupported'))
    for (const passphrase of ['', 'x'.repeat(1025)]) {
      expect(() => writeKeyFile(path, key, { passphrase })).toThrow(code('key_passphrase_invalid'))
    }
    expect(() => statSync(path)).toThrow('ENOENT')
    expect(() => writeKeyFile(join(path, 'key'), key)).toThrow(code('key_file_missing'))
  })

  it('draws salt and iv anew: one key twice gives two files', () => {
    const key = generateKey('EdDSA')
    const [one, other] = [fresh(), fresh()]
    writeKeyFile(one, key, { passphrase: PASSPHRASE })
    writeKeyFile(other, key, { passphrase: PASSPHRASE })
    const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
    const drawn = [one, other].map((path) => {
      const body = readFileSync(path, 'latin1').split('\n').slice(1, -2).join('')
      const bytes = Buffer.from(body, 'base64')
      expect(bytes.includes(pkcs8.subarray(-32))).toBe(false)
      // Two octet strings of 16 bytes come first: the salt, then the iv.
      const salt = bytes.indexOf('0410', 0, 'hex')
      const iv = bytes.indexOf('0410', salt + 18, 'hex')
      return [salt, iv].map((at) => bytes.subarray(at + 2, at + 18).toString('hex'))
    })
    expect(new Set(drawn.flat()).size).toBe(4)
  })
})

describe('readKeyFile', () => {
  it('refuses a file that group or others can read, in any of six ways', () => {
    const path = fresh()
    writeKeyFile(path, generateKey('EdDSA'), {})
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o601]) {
      chmodSync(path, mode)
      expect(() => readKeyFile(path)).toThrow(code('key_file_mode'))
    }
    chmodSync(path, 0o400)
    readKeyFile(path)
  })

  it('tells no passphrase from a wrong one', () => {
    const path = fresh()
    writeKeyFile(path, generateKey('EdDSA'), { passphrase: PASSPHRASE })
    expect(() => readKeyFile(path)).toThrow(code('key_passphrase_required'))
    for (const passphrase of ['wrong', `${PASSPHRASE} `, PASSPHRASE.slice(1)]) {
      expect(() => readKeyFile(path, passphrase)).toThrow(code('key_passphrase_wrong'))
    }
    expect(() => readKeyFile(path, '')).toThrow(code('key_passphrase_invalid'))
  })

  it('ignores a passphrase for a key that is not encrypted', () => {
    const path = fresh()
    const key = generateKey('ES256')
    writeKeyFile(path, key)
    expect(readKeyFile(path, PASSPHRASE).equals(key)).toBe(true)
  })

  it('refuses what is not one PKCS#8 key in PEM, by code', () => {
    const pem = String(generateKey('EdDSA').export({ type: 'pkcs8', format: 'pem' }))
    const sec1 = String(generateKey('ES256').export({ type: 'sec1', format: 'pem' }))
    const publicPem = String(
      createPublicKey(generateKey('EdDSA')).export({ type: 'spki', format: 'pem' }),
    )
    const malformed = [
      '',
      'x',
      pem + pem,
      `# comment\n${pem}`,
      sec1,
      publicPem,
      pem.replace('MC4', 'AAA'),
      `${pem}${'x'.repeat(9000)}`,
      new Uint8Array(9000),
    ]
    for (const content of malformed) {
      expect(() => readKeyFile(fileOf(content))).toThrow(code('key_file_malformed'))
    }
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const rsaPem = String(rsa.export({ type: 'pkcs8', format: 'pem' }))
    expect(() => readKeyFile(fileOf(rsaPem))).toThrow(code('key_unsupported'))
    expect(() => readKeyFile(fresh())).toThrow(code('key_file_missing'))
    const directory = fresh()
    mkdirSync(directory, { mode: 0o700 })
    expect(() => readKeyFile(directory)).toThrow(code('key_file_unreadable'))
  })

  it('reads a file with CRLF line ends', () => {
    const key = generateKey('EdDSA')
    const pem = String(key.export({ type: 'pkcs8', format: 'pem' })).replaceAll('\n', '\r\n')
    expect(readKeyFile(fileOf(pem)).equals(key)).toBe(true)
  })

  it('throws nothing but a KeyError, and never quotes the file, whatever is in it', () => {
    const path = fresh()
    writeKeyFile(path, generateKey('EdDSA'))
    const pem = readFileSync(path, 'latin1')
    fc.assert(
      fc.property(fc.nat({ max: pem.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const bytes = Buffer.from(pem, 'latin1')
        bytes[at] = byte
        writeFileSync(path, bytes)
        try {
          readKeyFile(path)
        } catch (error) {
          expect(error).toMatchObject({ name: 'KeyError' })
          expect(String(error)).not.toContain(pem.split('\n')[1]?.slice(8, 40))
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('public key files', () => {
  it('come back as the public half, whichever half was given', () => {
    for (const alg of ['EdDSA', 'ES256'] as const) {
      const key = generateKey(alg)
      for (const half of [key, createPublicKey(key)]) {
        const path = fresh()
        writePublicKeyFile(path, half)
        const read = readPublicKeyFile(path)
        expect(read.type).toBe('public')
        expect(encodePublicKey(read)).toEqual(encodePublicKey(key))
        expect(readFileSync(path, 'latin1')).not.toContain('PRIVATE')
      }
    }
  })

  it('refuses private keys, other keys and other bytes, by code', () => {
    const path = fresh()
    writeKeyFile(path, generateKey('EdDSA'))
    expect(() => readPublicKeyFile(path)).toThrow(code('key_file_malformed'))
    const body = Buffer.alloc(44).toString('base64')
    const junk = `-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----\n`
    expect(() => readPublicKeyFile(fileOf(junk, 0o644))).toThrow(code('key_file_malformed'))
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
    const pem = String(p384.export({ type: 'spki', format: 'pem' }))
    expect(() => readPublicKeyFile(fileOf(pem, 0o644))).toThrow(code('key_unsupported'))
    expect(() => writePublicKeyFile(fresh(), p384)).toThrow(code('key_unsupported'))
  })
})

describe('readPassphrase', () => {
  it('reads a file or a descriptor, without the one line ending at its end', () => {
    for (const text of ['secret', 'secret\n', 'secret\r\n']) {
      expect(readPassphrase({ file: fileOf(text) })).toBe('secret')
      const fd = openSync(fileOf(text, 0o644), 'r')
      try {
        expect(readPassphrase({ fd })).toBe('secret')
      } finally {
        closeSync(fd)
      }
    }
    expect(readPassphrase({ file: fileOf(' spaces kept \n') })).toBe(' spaces kept ')
    expect(readPassphrase({ file: fileOf('x'.repeat(1024)) })).toHaveLength(1024)
    expect(readPassphrase({})).toBeUndefined()
  })

  it('refuses by code what is empty, too long, of two lines, not UTF-8, open to others or not there', () => {
    for (const text of ['', '\n', 'x'.repeat(1025), 'x'.repeat(5000)]) {
      expect(() => readPassphrase({ file: fileOf(text) })).toThrow(code('key_passphrase_invalid'))
    }
    for (const text of ['a\nb\n', 'a\n\n', 'a\0b', Uint8Array.of(0xff, 0x41)]) {
      expect(() => readPassphrase({ file: fileOf(text) })).toThrow(code('key_file_malformed'))
    }
    expect(() => readPassphrase({ file: fileOf('secret', 0o640) })).toThrow(code('key_file_mode'))
    expect(() => readPassphrase({ file: fresh() })).toThrow(code('key_file_missing'))
    expect(() => readPassphrase({ fd: 9999 })).toThrow(code('key_file_unreadable'))
  })
})
