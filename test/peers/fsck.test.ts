/**
 * Goal: the log is one that Tessera's `fsck` accepts: every tile, bundle and partial of it re-derived from the entries.
 * Method: the binary against the live service; through a proxy that changes one bit it must refuse.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveLie, serveLog, type ServedLog } from './served.ts'

const FSCK = join(process.env['TRUSTWARDEN_PEERS'] ?? '', 'bin', 'fsck')
const SUCCESS = /Successfully fsck'd log with size \d+/
const STUCK_MS = 5_000
const HOW =
  'GOBIN=<folder>/bin go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4, and TRUSTWARDEN_PEERS=<folder>'

describe.skipIf(!existsSync(FSCK))(`Tessera's fsck (skipped where it is missing: ${HOW})`, () => {
  const directory = mkdtempSync(join(tmpdir(), 'trustwarden-fsck-'))
  const key = join(directory, 'log.vkey')
  let log: ServedLog
  const fsck = (prefix: string) =>
    new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
      const child = spawn(FSCK, ['--storage_url', prefix, '--public_key', key, '--ui=false'])
      let output = ''
      const take = (chunk: Buffer) => {
        output += chunk.toString()
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      // Where a tile differs, v1.0.4 does not end: it says nothing more, and is stopped.
      const timer = setTimeout(() => child.kill('SIGKILL'), STUCK_MS)
      child.once('close', (code) => {
        clearTimeout(timer)
        resolve({ code, output })
      })
    })

  beforeAll(async () => {
    log = await serveLog()
    writeFileSync(key, `${log.vkey}\n`)
  }, 60_000)
  afterAll(async () => {
    await log.close()
    rmSync(directory, { recursive: true })
  })

  test('accepts the live log', async () => {
    const { code, output } = await fsck(log.prefix)
    expect(output).toMatch(SUCCESS)
    expect(code).toBe(0)
  })

  test.each([
    ['a hash tile', /\/tile\/0\/001$/],
    ['the checkpoint', /\/checkpoint$/],
    ['an entry bundle', /\/tile\/entries\/000$/],
  ])('refuses the log when one bit of %s is another', async (_, path) => {
    const lie = await serveLie(log, path)
    // Its exit code says nothing: it ends with 0 over a checkpoint that does not verify.
    const { output } = await fsck(lie.prefix)
    lie.close()
    expect(output).not.toMatch(SUCCESS)
  })
})
