/**
 * Goal: a certificate is served only if it is right, is replaced only by one that is right, and says in time when it
 * ends. Method: pairs of a private authority, each broken in one way; then a listener and clients over real sockets.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TrustWarden, TrustWardenError } from 'trustwarden'
import { systemClock } from '../src/clock.ts'
import { KeyError } from '../src/keys.ts'
import { readTlsPair, TlsError, TlsKeeper } from '../src/tls.ts'
import { FakeClock } from './support/fake-clock.ts'
import { type OpenedService, openTestService } from './support/opened-service.ts'
import { makeAuthority, type TestAuthority, writePair } from './support/tls-files.ts'

type Pair = Awaited<ReturnType<TestAuthority['issue']>>

let directory: string
let authority: TestAuthority
let other: TestAuthority
let pair: Pair
let files: { readonly cert: string; readonly key: string }

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'trustwarden-tls-'))
  files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
  authority = await makeAuthority()
  other = await makeAuthority('CN=another authority, O=elsewhere')
  pair = await authority.issue()
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function codeOf(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    if (error instanceof TlsError || error instanceof KeyError) {
      expect(error.message).toContain(directory)
      expect(error.message).not.toContain('PRIVATE')
      return error.code
    }
    throw error
  }
  return 'read'
}

const codeOfPair = (broken: Pair): string => {
  writePair(files, broken)
  return codeOf(() => readTlsPair(files, Date.now()))
}

describe('a pair', () => {
  test('is read with the certificates that lead to its root', () => {
    const chained = { ...pair, cert: pair.cert + authority.pem }
    writePair(files, chained)
    const read = readTlsPair(files, Date.now())
    expect(read.cert).toBe(chained.cert)
    expect(read.names).toBe('IP Address:127.0.0.1, DNS:localhost')
    expect((read.notAfterMs - Date.now()) / 86_400_000).toBeCloseTo(90, 1)
  })

  test('that is broken is refused by name', async () => {
    const late = await authority.issue({ from: -9, days: -1 })
    const early = await authority.issue({ from: 1 })
    const second = await authority.issue()
    const broken: readonly (readonly [Pair, string])[] = [
      [{ ...pair, key: second.key }, 'tls_key_mismatch'],
      [late, 'tls_certificate_expired'],
      [early, 'tls_certificate_expired'],
      [{ ...pair, cert: '' }, 'tls_certificate_malformed'],
      [{ ...pair, cert: pair.cert.slice(0, -40) }, 'tls_certificate_malformed'],
      [{ ...pair, cert: pair.cert.replace(/\n[A-Za-z]/, '\nZ') }, 'tls_certificate_malformed'],
      [{ ...pair, cert: pair.cert + pair.key }, 'tls_certificate_malformed'],
      [{ ...pair, cert: 'x'.repeat(131_073) }, 'key_file_malformed'],
      [{ ...pair, cert: pair.cert + other.pem }, 'tls_chain_broken'],
      [{ ...pair, cert: authority.pem + pair.cert }, 'tls_key_mismatch'],
      [{ ...pair, key: '' }, 'tls_key_malformed'],
      [{ ...pair, key: pair.cert }, 'tls_key_malformed'],
    ]
    for (const [one, code] of broken) expect([codeOfPair(one), code]).toEqual([code, code])
    writePair(files, pair)
    chmodSync(files.key, 0o640)
    expect(codeOf(() => readTlsPair(files, Date.now()))).toBe('key_file_mode')
    chmodSync(files.key, 0o600)
  })

  test.each([
    ['--tls-cert', 'cert'],
    ['--tls-key', 'key'],
  ] as const)('whose %s is missing is refused by that name', (flag, name) => {
    writePair(files, pair)
    rmSync(files[name])
    expect(codeOf(() => readTlsPair(files, Date.now()))).toBe('tls_file_missing')
    expect(() => readTlsPair(files, Date.now())).toThrow(
      `there is no ${files[name]}, which ${flag} names`,
    )
  })
})

describe('the keeper', () => {
  test('takes a new pair that is right, keeps the old one beside a wrong one, and says each once', async () => {
    writePair(files, pair)
    const said: string[] = []
    const applied: string[] = []
    const keeper = new TlsKeeper(files, 'localhost', systemClock, (level, message) =>
      said.push(`${level} ${message}`),
    )
    keeper.start(({ cert }) => applied.push(cert), 3_600_000)
    try {
      expect(keeper.reload()).toBe('unchanged')
      const next = await authority.issue({ days: 30 })
      // As a tool that writes one file after the other leaves it for a moment.
      writeFileSync(files.cert, next.cert)
      expect([keeper.reload(), keeper.reload(), keeper.failed]).toEqual(['failed', 'failed', true])
      expect(keeper.pair.cert).toBe(pair.cert)
      writePair(files, next)
      expect([keeper.reload(), keeper.failed]).toEqual(['reloaded', false])
      expect(applied).toEqual([next.cert])
      expect(keeper.expiryDays()).toBeCloseTo(30, 1)
      expect(said).toHaveLength(2)
      expect(said[0]).toMatch(/^error the certificate is not reloaded: tls_key_mismatch: /)
      expect(said[1]).toMatch(/^info the certificate was reloaded: valid until /)
      // Back to the pair that is served: nothing is wrong any more.
      writeFileSync(files.cert, 'x')
      expect(keeper.reload()).toBe('failed')
      writePair(files, next)
      expect([keeper.reload(), keeper.failed]).toEqual(['unchanged', false])
    } finally {
      keeper.stop()
    }
  })

  const elsewhere = [{ type: 'dns', value: 'other.example' }] as const

  test.each(['127.0.0.1', 'localhost'])(
    'keeps a certificate for %s beside a right one for another name',
    async (host) => {
      writePair(files, pair)
      const said: string[] = []
      const keeper = new TlsKeeper(files, host, systemClock, (level, message) =>
        said.push(`${level} ${message}`),
      )
      const others = await authority.issue({ names: elsewhere })
      writePair(files, others)
      expect([keeper.reload(), keeper.reload(), keeper.failed]).toEqual(['failed', 'failed', true])
      expect(keeper.pair.cert).toBe(pair.cert)
      expect(said).toEqual([
        'error the certificate is not reloaded: tls_name_mismatch: ' +
          `${files.cert} is for DNS:other.example, not for ${host}, which the certificate in service is for`,
      ])
      const next = await authority.issue()
      writePair(files, next)
      expect([keeper.reload(), keeper.failed, keeper.pair.cert]).toEqual([
        'reloaded',
        false,
        next.cert,
      ])
    },
  )

  test('takes one for another name where the host is not known, or the one in service is not for it either', async () => {
    for (const host of [undefined, 'tw.example', '10.0.0.1', '::1', 'fe80::1%eth0']) {
      writePair(files, pair)
      const keeper = new TlsKeeper(files, host, systemClock, () => undefined)
      writePair(files, await authority.issue({ names: elsewhere }))
      expect([host, keeper.reload()]).toEqual([host, 'reloaded'])
    }
  })

  test('takes one of another issuer, and warns of it with both names', async () => {
    writePair(files, pair)
    const said: string[] = []
    const keeper = new TlsKeeper(files, 'localhost', systemClock, (level, message) =>
      said.push(`${level} ${message}`),
    )
    for (const issuer of [authority, other, other]) {
      writePair(files, await issuer.issue())
      expect(keeper.reload()).toBe('reloaded')
    }
    expect(said).toEqual([
      expect.stringMatching(/^info the certificate was reloaded: [^;]*$/),
      expect.stringMatching(
        /^warn the certificate was reloaded: .*; its issuer is CN=another authority, O=elsewhere, that of the one before CN=test authority$/,
      ),
      expect.stringMatching(/^info the certificate was reloaded: [^;]*$/),
    ])
  })

  test('counts the days, below zero too, and begins with nothing that is wrong', () => {
    writePair(files, pair)
    const clock = new FakeClock(Date.now())
    const keeper = new TlsKeeper(files, undefined, clock, () => undefined)
    clock.advance(91 * 86_400_000)
    expect(keeper.expiryDays()).toBeCloseTo(-1, 1)
    expect(keeper.reload()).toBe('failed')
    expect(codeOf(() => new TlsKeeper(files, undefined, clock, () => undefined))).toBe(
      'tls_certificate_expired',
    )
  })
})

describe('a listener with a certificate', () => {
  let opened: OpenedService
  let url: string
  const served = { cert: '', key: '' }

  beforeAll(async () => {
    served.cert = join(directory, 'served.pem')
    served.key = join(directory, 'served.key')
    writePair(served, { ...pair, cert: pair.cert + authority.pem })
    opened = await openTestService({
      flags: {
        host: '0.0.0.0',
        port: '0',
        url: 'https://localhost',
        'tls-cert': served.cert,
        'tls-key': served.key,
      },
    })
    expect(await opened.service.listen()).toBe('https://localhost')
    const { port } = opened.service.app.server.address() as AddressInfo
    url = `https://127.0.0.1:${port}`
  })
  afterAll(() => opened.close())

  const handshake = (options: ConnectionOptions = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const port = Number(new URL(url).port)
      const socket = connect({ host: '127.0.0.1', port, ca: authority.pem, ...options }, () =>
        resolve(socket),
      )
      socket.on('error', reject)
    })
  const connectTo = (options: { readonly ca?: string; readonly url?: string }) =>
    TrustWarden.connect({ url, trust: opened.anchor, attempts: 3, backoffMs: 5, ...options })
  const codeOfConnect = async (options: { readonly ca?: string; readonly url?: string }) => {
    const started = performance.now()
    try {
      await connectTo(options)
      return 'connected'
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error
      expect(performance.now() - started).toBeLessThan(5000)
      return error.code
    }
  }

  test('is reached by clients that trust its authority, and by no others', async () => {
    expect(await codeOfConnect({ ca: authority.pem })).toBe('connected')
    expect(await codeOfConnect({ ca: other.pem + authority.pem })).toBe('connected')
    expect(await codeOfConnect({})).toBe('certificate_untrusted')
    expect(await codeOfConnect({ ca: other.pem })).toBe('certificate_untrusted')
    const byOtherName = url.replace('127.0.0.1', '127.0.0.2')
    expect(await codeOfConnect({ ca: authority.pem, url: byOtherName })).toBe(
      'certificate_untrusted',
    )
    for (const ca of ['', 'x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])
      expect([ca, await codeOfConnect({ ca })]).toEqual([ca, 'argument_invalid'])
  })

  test('speaks TLS 1.3, and 1.2 with forward secrecy; nothing older, and no plain HTTP', async () => {
    const version = async (options: ConnectionOptions) => {
      const socket = await handshake(options)
      const { name } = socket.getCipher()
      const protocol = socket.getProtocol()
      socket.destroy()
      return [protocol, name]
    }
    expect((await version({}))[0]).toBe('TLSv1.3')
    const [protocol, cipher] = await version({ maxVersion: 'TLSv1.2' })
    expect([protocol, cipher]).toEqual([
      'TLSv1.2',
      expect.stringMatching(/^ECDHE-.*(GCM|CHACHA20)/),
    ])
    await expect(
      version({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
    ).rejects.toThrow()
    await expect(
      version({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES256-SHA' }),
    ).rejects.toThrow()
    await expect(fetch(`${url.replace('https', 'http')}/livez`)).rejects.toThrow()
    expect(opened.fatals).toEqual([])
    expect(await codeOfConnect({ ca: authority.pem })).toBe('connected')
  })

  test('serves a new certificate from the next connection on, and the old one beside a wrong one', async () => {
    const serial = async () => {
      const socket = await handshake()
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return serialNumber
    }
    const kept = await handshake()
    const before = await serial()
    const next = await authority.issue({ days: 20 })
    writeFileSync(served.cert, next.cert)
    expect([opened.service.reload(), await serial()]).toEqual(['failed', before])
    writePair(served, await authority.issue({ names: [{ type: 'dns', value: 'other.example' }] }))
    expect([opened.service.reload(), await serial()]).toEqual(['failed', before])
    expect(opened.logged()).toContain('tls_name_mismatch')
    const failed = (await opened.operator.read('/metrics')).bytes.toString()
    expect(failed).toMatch(/^trustwarden_tls_reload_failed 1$/m)
    writePair(served, { ...next, cert: next.cert + authority.pem })
    expect(opened.service.reload()).toBe('reloaded')
    const after = await serial()
    expect(after).not.toBe(before)
    expect(kept.destroyed).toBe(false)
    kept.destroy()
    const metrics = (await opened.operator.read('/metrics')).bytes.toString()
    expect(metrics).toMatch(/^trustwarden_tls_reload_failed 0$/m)
    expect(Number(/^trustwarden_tls_expiry_days (\S+)$/m.exec(metrics)?.[1])).toBeCloseTo(20, 1)
    expect(opened.logged()).toContain('the certificate was reloaded')
    expect(opened.logged()).toContain('tls_key_mismatch')
  })

  test('finds a new certificate by itself', async () => {
    const next = await authority.issue({ days: 10 })
    writePair(served, { ...next, cert: next.cert + authority.pem })
    await expect
      .poll(
        async () => {
          const socket = await handshake()
          const until = Date.parse(socket.getPeerCertificate().valid_to)
          socket.destroy()
          return Math.round((until - Date.now()) / 86_400_000)
        },
        { timeout: 20_000, interval: 500 },
      )
      .toBe(10)
  })
})
