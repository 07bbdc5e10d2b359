/**
 * Goal: whoever has a key under a passphrase is asked for it at a terminal, reads nothing of it there, and is told what to
 * give where there is none; who goes away at the question gets an error and not silence.
 * Method: the built CLI on a terminal of util-linux's `script`, answered one question at a time.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readKeyFile } from '../../src/keys.ts'
import { scratchDirectory, trustwarden, writeSecret } from '../support/command-line.ts'
import { cleanEnvironment } from '../support/service.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const SECRET = 'correct horse battery'

let scratch: ReturnType<typeof scratchDirectory>
beforeAll(() => {
  scratch = scratchDirectory()
})
afterAll(() => scratch.remove())
const at = (name: string): string => join(scratch.path, name)

/** Runs a command on a terminal; each answer is typed when the next question stands there. */
function onTerminal(
  args: readonly string[],
  answers: readonly string[],
): Promise<{ readonly code: number | null; readonly shown: string }> {
  const line = [process.execPath, MAIN, ...args].map((one) => `'${one}'`).join(' ')
  const child = spawn('script', ['-qec', line, '/dev/null'], { env: cleanEnvironment() })
  const left = [...answers]
  let shown = ''
  let asked = 0
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
    const questions = shown.match(/: (?=\r?\n|$)/g)?.length ?? 0
    for (; asked < questions; asked++) {
      const answer = left.shift()
      // A terminal in its raw mode, once the question is read: before that the line would be echoed.
      if (answer !== undefined) setTimeout(() => child.stdin.write(answer), 200)
    }
  })
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, shown }))
  })
}

const cannot = spawnSync('script', ['-qec', 'true', '/dev/null']).status !== 0

describe.skipIf(cannot)('at a terminal (skipped without util-linux: install its `script`)', () => {
  test('a new key is asked for twice, and left in the clear for nobody', async () => {
    const made = await onTerminal(['keygen', '--out', at('k')], [`${SECRET}\n`, `${SECRET}\n`])
    expect(made).toMatchObject({ code: 0, shown: expect.stringContaining('the same again: ') })
    expect(made.shown).not.toContain(SECRET)
    expect(readKeyFile(at('k'), SECRET).asymmetricKeyType).toBe('ed25519')
    const other = await onTerminal(['keygen', '--out', at('x')], ['a\n', 'b\n'])
    expect(other).toMatchObject({ code: 2, shown: expect.stringContaining('passphrases differ') })
    for (const gone of ['\u0003', '\u0004']) {
      const ended = await onTerminal(['keygen', '--out', at('x')], [gone])
      expect(ended).toMatchObject({ code: 2, shown: expect.stringContaining('no passphrase was') })
    }
    expect(existsSync(at('x'))).toBe(false)
  })

  test('a key that is there is asked for once, by its name', async () => {
    const secret = writeSecret(at('secret'), `${SECRET}\n`)
    trustwarden(['keygen', '--out', at('there'), '--passphrase-file', secret])
    const trust = readFileSync(new URL('../../proofs/vectors/rotations/ok.json', import.meta.url))
    const { input } = JSON.parse(trust.toString()) as { readonly input: { readonly trust: string } }
    const call = ['clock', 'accept', '--url', 'http://127.0.0.1:9', '--trust', input.trust.trim()]
    const asks = [...call, '--key', at('there')]
    const opened = await onTerminal(asks, [`${SECRET}\n`])
    expect(opened.shown).toContain(`passphrase of ${at('there')}: `)
    // Nobody listens there: it came as far as that.
    expect(opened.shown).toContain('service_unreachable')
    expect(opened.shown).not.toContain(SECRET)
    expect((await onTerminal(asks, ['wrong\n'])).shown).toContain('key_invalid')
    const without = trustwarden(asks)
    const message = expect.stringContaining(`${at('there')} is encrypted: --passphrase-file F or`)
    expect([without.code, without.err]).toEqual([2, message])
  })
})
