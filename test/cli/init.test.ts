/**
 * Goal: `init` makes a whole log or nothing, and overwrites nothing; `trust show` prints what it made. Method: the built
 * CLI in a temporary directory.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseTrustAnchor } from '@trustwarden/proofs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { scratchDirectory, trustwarden, writeSecret } from '../support/command-line.ts'

let scratch: ReturnType<typeof scratchDirectory>
let n = 0
let data: string
const at = (name: string): string => join(scratch.path, name)

beforeAll(() => {
  scratch = scratchDirectory()
  for (const name of ['owner', 'operator', 'second'])
    trustwarden(['keygen', '--out', at(name), '--plain-key'])
})
afterAll(() => scratch.remove())
beforeEach(() => {
  data = at(`log${n++}`)
})

function init(...args: readonly string[]) {
  return trustwarden([
    'init',
    '--data',
    data,
    '--origin',
    'acme.example/logs/agents',
    '--trust-domain',
    'acme.example',
    '--owner',
    at('owner.pub'),
    '--operator',
    at('operator.pub'),
    ...args,
  ])
}

const directories = (): readonly string[] => [data, `${data}.head`, `${data}.keys`]

describe('init', () => {
  test('makes data, head record and keys, for their owner alone, and prints the anchor', () => {
    const ended = init('--plain-keys', '--json')
    expect([ended.code, ended.err]).toEqual([0, ''])
    const report = JSON.parse(ended.out) as Record<string, string | number>
    expect([report['data'], report['head'], report['keys']]).toEqual(directories())
    expect(report['size']).toBe(4)
    const anchor = parseTrustAnchor(nativePrimitives, String(report['anchor']))
    expect(anchor.key.name).toBe('acme.example/logs/agents')
    for (const path of directories()) expect((statSync(path).mode % 0o1000).toString(8)).toBe('700')
    for (const name of readdirSync(`${data}.keys`)) {
      const path = join(`${data}.keys`, name)
      expect([name, (statSync(path).mode % 0o1000).toString(8)]).toEqual([name, '600'])
    }
  })

  test('says how to serve what it made, wherever that lies', () => {
    const pass = writeSecret(at('own'), 'secret words\n')
    const [head, keys] = [at('own.head'), at('own.keys')]
    const elsewhere = init('--head', head, '--keys', keys, '--passphrase-file', pass)
    const place = `--data ${data} --head ${head} --keys ${keys} --passphrase-file ${pass}`
    expect(elsewhere.out).toContain(`\nNext: trustwarden serve ${place}\n`)
    data = at(`log${n++}`)
    expect(init('--plain-keys').out).toContain(`\nNext: trustwarden serve --data ${data}\n`)
  })

  test('encrypts every key under a passphrase', () => {
    expect(init('--passphrase-file', writeSecret(at('pass'), 'secret words\n')).code).toBe(0)
    const names = readdirSync(`${data}.keys`)
    expect(names.length).toBeGreaterThanOrEqual(5)
    for (const name of names)
      expect(readFileSync(join(`${data}.keys`, name), 'utf8')).toContain('ENCRYPTED')
  })

  test('refuses each directory that exists, and touches it not', () => {
    for (const suffix of ['', '.head', '.keys']) {
      data = at(`log${n++}`)
      mkdirSync(`${data}${suffix}`)
      const ended = init('--plain-keys')
      expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('exists already')])
      expect(readdirSync(`${data}${suffix}`)).toEqual([])
      expect(directories().filter((path) => existsSync(path))).toEqual([`${data}${suffix}`])
    }
  })

  test('refuses a second run over a log', () => {
    init('--plain-keys')
    const before = readFileSync(join(data, 'trust-anchor'), 'utf8')
    expect(init('--plain-keys').code).toBe(1)
    expect(readFileSync(join(data, 'trust-anchor'), 'utf8')).toBe(before)
  })

  test('leaves nothing behind where it cannot make a log', () => {
    const wrong: readonly (readonly string[])[] = [
      ['--plain-keys', '--threshold', '2'],
      ['--plain-keys', '--threshold', '0'],
      ['--plain-keys', '--threshold', '1.5'],
      ['--plain-keys', '--origin', 'ACME/logs/agents'],
      ['--plain-keys', '--origin', 'acme.example'],
      ['--plain-keys', '--trust-domain', 'Acme'],
      ['--plain-keys', '--operator', at('owner.pub')],
      ['--plain-keys', '--operator', at('operator.pub')],
      ['--plain-keys', '--owner', at('owner')],
      ['--plain-keys', '--owner', at('nobody.pub')],
      ['--plain-keys', '--head', data],
      [],
    ]
    for (const args of wrong) {
      data = at(`log${n++}`)
      const ended = init(...args.map((arg) => (arg.startsWith(at('log')) ? data : arg)))
      expect([args, ended.code === 0, ended.err === '']).toEqual([args, false, false])
      expect([args, directories().filter((path) => existsSync(path))]).toEqual([args, []])
    }
  })

  test('counts operators and threshold', () => {
    const ended = init('--operator', at('second.pub'), '--threshold', '2', '--plain-keys')
    expect(ended.code).toBe(0)
    expect(ended.out).toContain('operators 2, of whom 2 must sign')
    expect(ended.out).not.toContain('One operator alone')
    expect(ended.out).toContain('NOT encrypted')
  })
})

describe('trust show', () => {
  test('prints the anchor of a log, and what an anchor says', () => {
    init('--plain-keys')
    const shown = trustwarden(['trust', 'show', '--data', `${data}/`])
    const anchor = readFileSync(join(data, 'trust-anchor'), 'utf8')
    expect([shown.code, shown.out]).toEqual([0, anchor])
    const said = trustwarden(['trust', 'show', anchor.trim(), '--json'])
    expect(said.code).toBe(0)
    const parsed = parseTrustAnchor(nativePrimitives, anchor.trim())
    const { origin, genesis } = JSON.parse(said.out) as Record<string, string>
    expect([origin, genesis]).toEqual([
      'acme.example/logs/agents',
      Buffer.from(parsed.genesisHash).toString('hex'),
    ])
    expect(trustwarden(['trust', 'show', anchor.trim()]).out).toContain('origin   acme.example')
  })

  test('says what is wrong', () => {
    for (const [args, code, message] of [
      [['trust', 'show'], 2, '--data is missing'],
      [['trust', 'hide', 'x'], 2, 'show or update is needed'],
      [['trust'], 2, 'show or update is needed'],
      [['trust', 'show', 'twtrust1,x'], 2, 'malformed'],
      [['trust', 'show', '--data', at('nothing')], 1, 'holds no log that init finished'],
      [['trust', 'show', 'twtrust1,x', '--data', at('nothing')], 2, 'both given'],
    ] as const) {
      const ended = trustwarden(args)
      expect([args, ended.code, ended.err]).toEqual([args, code, expect.stringContaining(message)])
    }
  })
})
