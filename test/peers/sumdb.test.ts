/**
 * Goal: a client that shares nothing with us reads our log: Go's checksum database code (`golang.org/x/mod/sumdb`).
 * Method: test/peers/sumdb is built and run against the live service: checkpoint, tiles, entry bundles, proofs, root over
 * all entries. Through a proxy that changes one bit of a tile, of an entry or of a proof it must refuse, and under another
 * key too.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatVkey, NOTE_ED25519, noteKey } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { serveLie, serveLog, type ServedLog } from './served.ts'

const SOURCE = fileURLToPath(new URL('./sumdb/', import.meta.url))

/** Builds the client, or says why it cannot be. */
function build(directory: string): { readonly binary: string } | { readonly why: string } {
  const binary = join(directory, 'sumdb')
  const options = { cwd: SOURCE, encoding: 'utf8' } as const
  const { status, error, stderr } = spawnSync('go', ['build', '-o', binary, '.'], options)
  if (status === 0) return { binary }
  const reason = error === undefined ? stderr.trim() : 'go is not installed'
  return {
    why: `${reason}: install Go 1.26 or newer; the module golang.org/x/mod comes with "go build"`,
  }
}

const directory = mkdtempSync(join(tmpdir(), 'trustwarden-sumdb-'))
const built = build(directory)
const why = 'why' in built ? built.why : 'never'

describe.skipIf('why' in built)(`Go's checksum database client (skipped: ${why})`, () => {
  let log: ServedLog
  const run = (prefix: string, vkey: string) => {
    const binary = 'binary' in built ? built.binary : ''
    return new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
      const child = spawn(binary, [prefix, vkey])
      let output = ''
      const take = (chunk: Buffer) => {
        output += chunk.toString()
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      child.once('close', (code) => resolve({ code, output }))
    })
  }

  beforeAll(async () => {
    log = await serveLog()
  }, 60_000)
  afterAll(async () => {
    await log.close()
    rmSync(directory, { recursive: true })
  })

  test('accepts the live log', async () => {
    const { code, output } = await run(log.prefix, log.vkey)
    expect(output).toContain('"origin":"acme.example/logs/agents"')
    expect(code).toBe(0)
    const { size, tiles } = JSON.parse(output) as { readonly size: number; readonly tiles: number }
    expect(size).toBeGreaterThanOrEqual(700)
    // Full tiles, partial ones, and a level above.
    expect(tiles).toBeGreaterThanOrEqual(4)
  })

  test.each([
    ['a hash tile', /\/tile\/0\/001$/, /invalid|does not|tile/],
    ['the partial tile', /\/tile\/0\/002\.p\//, /invalid|does not|tile/],
    ['an entry bundle', /\/tile\/entries\/001$/, /root over all|too short|left over/],
    ['the checkpoint', /\/checkpoint$/, /checkpoint|note/],
  ])('refuses the log when one bit of %s is another', async (_, path, message) => {
    const lie = await serveLie(log, path)
    const { code, output } = await run(lie.prefix, log.vkey)
    lie.close()
    expect(output).toMatch(message)
    expect(code).toBe(1)
  })

  test('refuses the log under another key', async () => {
    const { publicKey } = signerFromPrivateKey(generateKey('EdDSA'))
    const origin = 'acme.example/logs/agents'
    const other = formatVkey(noteKey(nativePrimitives, origin, NOTE_ED25519, publicKey))
    const { code, output } = await run(log.prefix, other)
    expect(output).toMatch(/checkpoint: .*no verifiable signatures/)
    expect(code).toBe(1)
  })
})
