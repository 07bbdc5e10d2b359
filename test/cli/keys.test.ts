/**
 * Goal: `keys rotate-log` makes a key as well kept as the old one and a proposal that anybody may read, overwrites nothing, and
 * says what is wrong; `trust` shows and updates files. Method: the built CLI over a log that no process serves.
 */
import type { KeyObject } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatTrust, parseTrust, utf8Encode } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, nativePrimitives } from '../../src/crypto.ts'
import { proposeRotation } from '../../src/rotation.ts'
import { scratchDirectory, trustwarden, writeSecret } from '../support/command-line.ts'
import { removeLog } from '../support/service.ts'
import { twinKeys, TWIN_ORIGIN } from '../support/twin-keys.ts'
import { makeTwoOperatorLog } from '../support/two-operators.ts'

const scratch = scratchDirectory()
const at = (name: string): string => join(scratch.path, name)
const data = at('log')
let secret: string
let anchor: string

const rotate = (out: string, ...more: readonly string[]) =>
  trustwarden(['keys', 'rotate-log', '--data', data, '--out', at(out), ...more])
const logKeys = (): readonly string[] =>
  readdirSync(`${data}.keys`).filter((name) => name.startsWith('log'))

beforeAll(() => {
  secret = writeSecret(at('secret'), 'correct horse\n')
  for (const name of ['owner', 'operator'])
    trustwarden(['keygen', '--out', at(`${name}.key`), '--plain-key'])
  const people = ['--owner', at('owner.key.pub'), '--operator', at('operator.key.pub')]
  const names = ['--origin', 'acme.example/logs/agents', '--trust-domain', 'acme.example']
  const made = trustwarden([
    'init',
    '--data',
    data,
    ...names,
    ...people,
    '--passphrase-file',
    secret,
  ])
  expect([made.code, made.err]).toEqual([0, ''])
  anchor = readFileSync(join(data, 'trust-anchor'), 'utf8').trim()
}, 60_000)

afterAll(() => scratch.remove())

describe('keys rotate-log', () => {
  test('says what is wrong, and makes nothing', () => {
    writeFileSync(at('there'), '')
    for (const [ended, code, message] of [
      [trustwarden(['keys']), 2, 'rotate-log or activate is needed'],
      [trustwarden(['keys', 'rotate-log', '--data', data]), 2, '--out is missing'],
      [rotate('new', '--overlap', '1000'), 2, 'from 1024'],
      [rotate('new', '--overlap', '1e4'), 2, 'from 1024'],
      [rotate('new', '--overlap', '60000001'), 2, 'from 1024 to 60000000'],
      [rotate('new'), 1, 'key_passphrase_required'],
      [
        rotate('new', '--passphrase-file', writeSecret(at('wrong'), 'x\n')),
        1,
        'key_passphrase_wrong',
      ],
      [rotate('there', '--passphrase-file', secret), 1, 'nothing is overwritten'],
      [
        rotate('new', '--passphrase-file', secret, '--head', at('nothing')),
        1,
        'head_record_missing',
      ],
      [rotate('new', '--passphrase-file', secret, '--keys', at('nothing')), 2, 'key_file_missing'],
      [
        trustwarden(['keys', 'rotate-log', '--data', at('x'), '--out', at('new')]),
        1,
        'there is no log in',
      ],
    ] as const) {
      expect([ended.code, ended.err]).toEqual([code, expect.stringContaining(message)])
      expect(logKeys()).toEqual(['log.key'])
    }
  })

  test('makes a key of mode 0600 under the same passphrase, and a proposal without a secret', () => {
    const made = rotate('proposal.json', '--passphrase-file', secret, '--json')
    expect([made.code, made.err]).toEqual([0, ''])
    const { key, proposal, until } = JSON.parse(made.out) as Record<string, string>
    expect(statSync(String(key)).mode & 0o777).toBe(0o600)
    expect(readFileSync(String(key), 'latin1')).toContain('BEGIN ENCRYPTED PRIVATE KEY')
    const payload = JSON.parse(readFileSync(String(proposal), 'utf8')) as Record<string, unknown>
    expect(Object.keys(payload).sort()).toEqual([
      'key',
      'new',
      'new_signature',
      'old',
      'old_signature',
      'until',
    ])
    // Four entries are in the log.
    expect([payload['until'], until]).toEqual([100_004, 100_004])
    expect(anchor).toContain(String(payload['old']))
    expect(logKeys()).toHaveLength(2)
  })
})

describe('a key that the key id of one before would make indistinguishable', () => {
  test('is drawn, and neither kept nor proposed', async () => {
    const own = makeTwoOperatorLog(TWIN_ORIGIN)
    const [one, other] = twinKeys
    const path = (name: string): string => join(own.root, name)
    const propose = (out: string, drawn: KeyObject) =>
      proposeRotation({
        ...own,
        out: path(out),
        overlap: 5000,
        passphrase: undefined,
        draw: () => drawn,
      })
    const made = await propose('first.json', one)
    // As after the rotation, and after another.
    const third = await propose('third.json', generateKey('EdDSA'))
    const keys = [
      { vkey: made.old, from: 0, to: 4 },
      { vkey: made.new, from: 5, to: 6 },
      { vkey: third.new, from: 7, to: null },
    ]
    const logs = [{ anchor: own.anchor, keys }]
    writeFileSync(
      join(own.data, 'trust.json'),
      JSON.stringify({ format: 'trustwarden-trust/1', logs }),
    )
    const before = readdirSync(own.keys)
    await expect(propose('twin.json', other)).rejects.toThrow(/key id of one before it.*again/)
    expect(readdirSync(own.keys)).toEqual(before)
    expect(existsSync(path('twin.json'))).toBe(false)
    // The command, again, draws another.
    await propose('again.json', generateKey('EdDSA'))
    removeLog(own)
  })
})

describe('trust', () => {
  test('of a damaged file is refused by name, with the way on', () => {
    writeFileSync(join(data, 'trust.json'), '{')
    const ended = trustwarden(['keys', 'rotate-log', '--data', data, '--out', at('x')])
    rmSync(join(data, 'trust.json'))
    expect([ended.code, ended.err]).toEqual([
      1,
      expect.stringContaining('is no trust file: put a copy'),
    ])
  })

  test('shows a file with each key and its sizes, and where a log ended', () => {
    const [log] = parseTrust(nativePrimitives, utf8Encode(anchor)).logs
    if (log === undefined) throw new Error('no log')
    const keys = [{ key: log.anchor.key, from: 0, to: 7 }]
    const end = { size: 7, root: new Uint8Array(32) }
    writeFileSync(at('file'), formatTrust(nativePrimitives, { logs: [{ ...log, keys, end }] }))
    const { out } = trustwarden(['trust', 'show', at('file')])
    expect(out).toContain('sizes 0 to 7')
    expect(out).toContain('ended    at size 7')
    const said = JSON.parse(trustwarden(['trust', 'show', at('file'), '--json']).out) as object
    expect(said).toMatchObject({ origin: log.origin, keys: [{ from: 0, to: 7 }], end: { size: 7 } })
  })

  test('is not updated by what proves nothing', () => {
    writeFileSync(at('none'), '{"format":"trustwarden-rotations/1","rotations":[]}')
    writeFileSync(
      at('bad'),
      '{"format":"trustwarden-rotations/1","rotations":[{"head":"x","entries":[]}]}',
    )
    const update = (...args: readonly string[]) =>
      trustwarden(['trust', 'update', '--trust', anchor, ...args])
    const none = update('--rotations', at('none'), '--out', at('same'))
    expect([none.code, none.out]).toEqual([
      0,
      expect.stringMatching(/^nothing changed.*not effective before/),
    ])
    expect(existsSync(at('same'))).toBe(false)
    expect(update('--rotations', at('none')).out.trim()).toBe(anchor)
    for (const [ended, code, message] of [
      [update(), 2, 'one of --url and --rotations is needed'],
      [update('--url', 'http://127.0.0.1:1', '--rotations', at('none')), 2, 'one of --url'],
      [update('--rotations', at('bad')), 2, 'malformed'],
      [update('--successor', anchor), 2, 'one of --url and --genesis is needed'],
    ] as const)
      expect([ended.code, ended.err]).toEqual([code, expect.stringContaining(message)])
  })
})
