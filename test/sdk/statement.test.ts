/**
 * Goal: what the SDK signs is what the kit and OpenSSL read: statements, disclosures, certificate requests, read
 * credentials, key files. Method: everything is opened by the kit's strict parsers, by the service's own readers,
 * and by `openssl` where it is installed.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  contentDigest,
  type JsonValue,
  noblePrimitives as p,
  openDecisionRequest,
  openDisclosures,
  parseStatement,
  toBase64url,
  verifyStatement,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ERRORS } from '../../src/errors.ts'
import { openCredential } from '../../src/http/credential.ts'
import { openCsr } from '../../src/identity/csr.ts'
import { generateKey } from '../../src/crypto.ts'
import { writeKeyFile } from '../../src/keys.ts'
import { parseDuration } from '../../src/sdk/duration.ts'
import {
  createCsr,
  PersonKey,
  SDK_ERRORS,
  SERVICE_ERRORS,
  signRead,
  signStatement,
  TRUSTWARDEN_ERRORS,
  TrustWardenError,
} from '../../src/sdk/index.ts'
import { decisionDraft } from '../../src/sdk/permission.ts'
import { signPayload } from '../../src/sdk/statement.ts'
import { drawKey, signingKey } from '../../src/sdk/signing-key.ts'

const ORIGIN = 'log.example/logs/main'
const INSTANCE = 'spiffe://example.com/finance/reader/inst-abcde'
const directory = mkdtempSync(join(tmpdir(), 'trustwarden-sdk-'))

afterAll(() => rmSync(directory, { recursive: true }))

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : `no TrustWardenError: ${String(error)}`
  }
  return 'nothing thrown'
}

describe('statements', () => {
  test.each(['EdDSA', 'ES256'] as const)('of a person (%s) verify under its key', (alg) => {
    const key = PersonKey.generate(alg)
    const signed = signStatement(key.as('operator'), ORIGIN, {
      type: 'operator.clock',
      subject: 'log',
      payload: { time_ms: 1 },
    })
    const statement = parseStatement(signed.text)
    verifyStatement(p, statement, { spki: key.spki, origin: ORIGIN, type: 'operator.clock' })
    expect(statement.header.iss).toBe(`operator:${key.kid}`)
    expect(statement.header.seq).toBeUndefined()
    expect(signed.disclosures).toEqual([])
  })

  test('of an instance count, and no two have one event id', () => {
    const key = signingKey(drawKey('ES256'))
    let seq = 0
    const signer = { issuer: INSTANCE, key, nextSeq: () => ++seq }
    const draft = { type: 'decision', subject: INSTANCE, payload: {} }
    const signed = [1, 2, 3].map(() => signStatement(signer, ORIGIN, draft).statement.header)
    expect(signed.map((header) => header.seq)).toEqual([1, 2, 3])
    expect(new Set(signed.map(({ jti }) => jti)).size).toBe(3)
  })

  test('commit to what is disclosed, whatever it is, each under a salt of its own', () => {
    const key = PersonKey.generate()
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        // JSON of JavaScript can say -0 and lone surrogates, which no statement may.
        const details = JSON.parse(JSON.stringify(value)) as JsonValue
        fc.pre(isIJson(details))
        const draft = {
          type: 'agent.revoke',
          subject: `owner:${key.kid}`,
          payload: { target: `owner:${key.kid}`, reason: 'ceased' },
          disclosed: { details },
        }
        const [one, two] = [1, 2].map(() => signStatement(key.as('owner'), ORIGIN, draft))
        if (one === undefined || two === undefined) return
        const opened = openDisclosures(p, one.statement, one.disclosures)
        expect(opened.get('details')).toEqual(details)
        expect(one.disclosures).not.toEqual(two.disclosures)
      }),
      { numRuns: 50 },
    )
  })

  test('that ask for a decision open with the same digest', () => {
    const key = signingKey(drawKey('ES256'))
    const salt = new Uint8Array(16).fill(7)
    const request = {
      action: 'read:reports',
      resource: { type: 'file', id: 'a.csv' },
      actionProperties: { mode: 'full' },
      resourceProperties: undefined,
      salt,
      digest: new Uint8Array(32),
    }
    const signer = { issuer: INSTANCE, key, nextSeq: () => 1 }
    const wrong = signStatement(signer, ORIGIN, decisionDraft(INSTANCE, request, { a: 1 }))
    // The digest is checked by whoever opens it, so a wrong one is seen.
    expect(() => openDecisionRequest(p, wrong.statement, wrong.disclosures)).toThrow(
      'action_digest',
    )
  })

  test('of one payload by two people are one proposal: byte-identical payloads', () => {
    const [a, b] = [PersonKey.generate(), PersonKey.generate()]
    const draft = { type: 'operator.enroll', subject: `operator:${b.kid}`, payload: { key: 'x' } }
    const first = signStatement(a.as('operator'), ORIGIN, draft).statement
    const second = signPayload(b.as('operator'), ORIGIN, draft, first.payloadBytes, []).statement
    expect(second.payloadBytes).toEqual(first.payloadBytes)
    expect(contentDigest(p, second)).not.toEqual(contentDigest(p, first))
  })

  test('that no log could read are refused here', () => {
    const key = PersonKey.generate()
    const sign = (payload: JsonValue, disclosed?: JsonValue) => () =>
      signStatement(key.as('owner'), ORIGIN, {
        type: 'agent.revoke',
        subject: 'log',
        payload: { payload },
        disclosed: { details: disclosed },
      })
    expect(codeOf(sign('x'.repeat(40_000)))).toBe('argument_invalid')
    expect(codeOf(sign('\ud800'))).toBe('argument_invalid')
    expect(codeOf(sign(Number.MAX_SAFE_INTEGER + 1))).toBe('argument_invalid')
    expect(codeOf(sign('x', 'y'.repeat(20_000)))).toBe('argument_invalid')
    expect(
      codeOf(() =>
        signStatement(key.as('owner'), 'NO ORIGIN', { type: 'x', subject: 'x', payload: {} }),
      ),
    ).toBe('argument_invalid')
  })
})

describe('certificate requests', () => {
  test('open in the service, signed by their own key', () => {
    for (let run = 0; run < 200; run++) {
      const key = signingKey(drawKey('ES256'))
      expect(openCsr(createCsr(key)).kid).toBe(key.kid)
    }
  })

  test('with r or s that begins with zeros or a high bit keep to DER', () => {
    const key = signingKey(drawKey('ES256'))
    for (const [first, second] of [
      [0, 0x7f],
      [0, 0x80],
      [0x80, 0],
      [0xff, 0xff],
    ] as const) {
      const signature = new Uint8Array(64).fill(1)
      signature.set([first, second], 0)
      signature.set([first, second], 32)
      const csr = createCsr({ ...key, sign: () => signature })
      // The form is DER's, so that the signature alone is what is wrong.
      expect(() => openCsr(csr)).toThrow('not signed by its own key')
    }
  })

  test('are for P-256 alone', () => {
    expect(codeOf(() => createCsr(PersonKey.generate('EdDSA')))).toBe('key_invalid')
  })

  const hasOpenssl = spawnSync('openssl', ['version']).status === 0
  test.skipIf(!hasOpenssl)('verify in OpenSSL', () => {
    const csr = createCsr(signingKey(drawKey('ES256')))
    const path = join(directory, 'request.der')
    writeFileSync(path, csr)
    const args = ['req', '-inform', 'DER', '-in', path, '-verify', '-noout', '-text']
    const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
    expect(status).toBe(0)
    expect(stdout + stderr).toContain('verify OK')
    expect(stdout).toContain('ecdsa-with-SHA256')
    expect(stdout).toContain('prime256v1')
  })

  test.skipIf(!hasOpenssl)('with one byte changed fail in OpenSSL', () => {
    const csr = createCsr(signingKey(drawKey('ES256')))
    csr[csr.length - 1] = (csr[csr.length - 1] ?? 0) ^ 1
    const path = join(directory, 'broken.der')
    writeFileSync(path, csr)
    const args = ['req', '-inform', 'DER', '-in', path, '-verify', '-noout']
    // Releases differ in the exit code; all say it.
    const { stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
    expect(stdout + stderr).toMatch(/verify failure/i)
    expect(stdout + stderr).not.toContain('verify OK')
  })
})

describe('read credentials', () => {
  test('open in the service, for their path alone', () => {
    const key = PersonKey.generate()
    const path = '/logs/main/v1/entries/7'
    const credential = signRead(key.as('reader'), ORIGIN, path)
    const reader = { role: 'reader', principal: key.principal('reader') } as const
    const open = (expected: string) =>
      openCredential(
        p,
        credential,
        { origin: ORIGIN, method: 'GET', path: expected, nowMs: Date.now() },
        () => ({ ...reader, spki: key.spki, kid: key.kid }),
      )
    expect(open(path).principal).toBe(key.principal('reader'))
    expect(() => open('/logs/main/v1/entries/8')).toThrow('another path')
  })
})

describe('key files', () => {
  test.each(['EdDSA', 'ES256'] as const)('%s, plain and encrypted', (alg) => {
    const key = generateKey(alg)
    for (const passphrase of [undefined, 'open sesame']) {
      const path = join(directory, `${alg}-${passphrase === undefined ? 'plain' : 'encrypted'}`)
      writeKeyFile(path, key, passphrase === undefined ? {} : { passphrase })
      const read = PersonKey.fromFile(path, passphrase)
      expect(read.alg).toBe(alg)
      expect(read.publicPem()).toContain('BEGIN PUBLIC KEY')
      expect(PersonKey.fromPem(read.privatePem('x'), 'x').kid).toBe(read.kid)
      chmodSync(path, 0o640)
      expect(codeOf(() => PersonKey.fromFile(path, passphrase))).toBe('key_invalid')
    }
    const encrypted = join(directory, `${alg}-encrypted`)
    chmodSync(encrypted, 0o600)
    expect(codeOf(() => PersonKey.fromFile(encrypted, 'wrong'))).toBe('key_invalid')
  })

  test('that are none', () => {
    expect(codeOf(() => PersonKey.fromFile(join(directory, 'missing')))).toBe('key_invalid')
    expect(codeOf(() => PersonKey.fromPem('hello'))).toBe('key_invalid')
    expect(codeOf(() => PersonKey.fromPem(PersonKey.generate().publicPem()))).toBe('key_invalid')
  })

  test('name a key as the service does', () => {
    const key = PersonKey.generate('ES256')
    expect(key.principal('owner')).toBe(`owner:${key.kid}`)
    expect(key.kid).toBe(toBase64url(p.sha256(key.spki)))
  })
})

test('durations', () => {
  expect([parseDuration('45s', 't'), parseDuration('15m', 't'), parseDuration('1h', 't')]).toEqual([
    45, 900, 3600,
  ])
  expect(parseDuration(90, 't')).toBe(90)
  for (const wrong of ['', '1', 'h', '-1h', '1.5h', '0h', 0, -1, 1.5, Number.NaN, '1H', ' 1h'])
    expect(codeOf(() => parseDuration(wrong, 't'))).toBe('argument_invalid')
})

test('the codes are the service’s and the SDK’s own, and no name is used twice', () => {
  expect(SERVICE_ERRORS).toEqual(ERRORS)
  const own = Object.keys(SDK_ERRORS)
  expect(own.filter((code) => Object.hasOwn(SERVICE_ERRORS, code))).toEqual([])
  expect(Object.keys(TRUSTWARDEN_ERRORS)).toHaveLength(own.length + Object.keys(ERRORS).length)
})

test('the README lists the SDK’s own codes with their meanings, and no other', () => {
  const readme = readFileSync(new URL('../../src/sdk/README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `([a-z_]+)` +\| (.*?) *\|$/gm)]
  expect(Object.fromEntries(rows.map(([, code, meaning]) => [code, meaning]))).toEqual(SDK_ERRORS)
})

/** Whether a value is I-JSON: no -0, no number beyond 2^53−1 that is an integer, no lone surrogate or noncharacter. */
function isIJson(value: JsonValue): boolean {
  const text = JSON.stringify(value)
  const integers = (_key: string, inner: unknown): unknown => {
    if (typeof inner === 'number' && Number.isInteger(inner) && !Number.isSafeInteger(inner))
      throw new RangeError('unsafe')
    return inner
  }
  try {
    JSON.parse(text, integers)
  } catch {
    return false
  }
  return !/\\ud[89a-f]|[\ufdd0-\ufdef\ufffe\uffff]/i.test(text)
}
