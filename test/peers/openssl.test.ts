/**
 * Goal: an SVID that the service issued is one that OpenSSL accepts, for client and server, under the root of the log.
 * Method: `openssl verify` on certificate and root as the service hands them out; another root, and another purpose, are
 * refused.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromBase64url, jsonArray, jsonString } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type LoadAgent, post, Speaker } from '../support/load.ts'
import { makeLog, removeLog, startService } from '../support/service.ts'

const { status } = spawnSync('openssl', ['version'])

const pem = (der: Uint8Array): string => {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

describe.skipIf(status !== 0)(
  'OpenSSL (skipped where it is not installed: apt install openssl)',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'trustwarden-openssl-'))
    const path = (name: string) => join(directory, `${name}.pem`)
    const verify = (root: string, name: string, purpose: string) => {
      const args = [
        'verify',
        '-x509_strict',
        '-CAfile',
        path(root),
        '-purpose',
        purpose,
        path(name),
      ]
      const { status: code, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
      return { code, output: stdout + stderr }
    }
    const agents: LoadAgent[] = []

    beforeAll(async () => {
      for (const root of ['root', 'other-root']) {
        const log = makeLog()
        const service = await startService(log)
        const speaker = Speaker.of(log)
        try {
          const parent = speaker.requestAgent('openssl/parent')
          const issue = async (name: string, asked: typeof parent) => {
            const { status: code, body } = await post(
              service.url,
              '/logs/agents/v1/agents',
              bodyOf(asked.said),
            )
            expect(code).toBe(201)
            agents.push(asked.agent)
            const der = (value: unknown) =>
              fromBase64url(jsonString(value as string, 'certificate'))
            writeFileSync(path(name), pem(der(body['certificate'])))
            writeFileSync(path(root), pem(der(jsonArray(body['ca'], 'ca')[0])))
          }
          await issue(`${root}-parent`, parent)
          const size = 5
          await issue(
            `${root}-child`,
            speaker.requestAgent('openssl/child', { parent: parent.agent, size }),
          )
        } finally {
          await service.stop('SIGKILL')
          removeLog(log)
        }
      }
    }, 60_000)
    afterAll(() => rmSync(directory, { recursive: true }))

    test.each(['root-parent', 'root-child'])('accepts %s, as client and as server', (name) => {
      for (const purpose of ['sslclient', 'sslserver']) {
        expect(verify('root', name, purpose)).toEqual({ code: 0, output: `${path(name)}: OK\n` })
      }
    })

    test('sees the SPIFFE id as the only name', () => {
      const args = [
        'x509',
        '-in',
        path('root-child'),
        '-noout',
        '-subject',
        '-ext',
        'subjectAltName',
      ]
      const { stdout } = spawnSync('openssl', args, { encoding: 'utf8' })
      expect(stdout).toMatch(/^subject=\s*$/m)
      expect(stdout).toMatch(/Subject Alternative Name: critical/)
      expect(stdout).toContain(`URI:${agents[1]?.principal}`)
    })

    test('refuses it under another root, and for signing mail', () => {
      expect(verify('other-root', 'root-parent', 'sslclient').code).not.toBe(0)
      expect(verify('root', 'root-parent', 'smimesign').code).not.toBe(0)
    })
  },
)
