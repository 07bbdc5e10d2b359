/**
 * Goal: `config` shows what is set and from where, and `config --check` finds what would keep a start from starting,
 * writes nothing, and holds beside a running service. Method: the real CLI over directories broken in one way each.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HeadRecord, readHeadRecord } from '../../src/store/head-record.ts'
import { type Ended, scratchDirectory, trustwarden } from '../support/command-line.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCliAsync,
  startService,
} from '../support/service.ts'
import { makeAuthority, writePair } from '../support/tls-files.ts'

interface Finding {
  readonly what: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  readonly advice?: string
}
interface Answer {
  readonly settings: readonly { flag: string; value?: string; source?: string }[]
  readonly holds?: boolean
  readonly findings?: readonly Finding[]
  readonly notTried?: readonly string[]
  readonly problems?: readonly string[]
}

let scratch: ReturnType<typeof scratchDirectory>
let log: LogDirectory
let foreign: LogDirectory
const at = (name: string): string => join(scratch.path, name)

beforeAll(() => {
  scratch = scratchDirectory()
  log = makeLog()
  foreign = makeLog()
})
afterAll(() => {
  scratch.remove()
  removeLog(log)
  removeLog(foreign)
})

function copied(name: string): string {
  const data = at(name)
  cpSync(log.data, data, { recursive: true })
  cpSync(log.head, `${data}.head`, { recursive: true })
  cpSync(log.keys, `${data}.keys`, { recursive: true })
  // Node 24's cpSync gives directories the umask's mode, not the source's.
  for (const path of [data, `${data}.head`, `${data}.keys`]) chmodSync(path, 0o700)
  return data
}

const check = (data: string, ...args: readonly string[]): Ended =>
  trustwarden(['config', '--check', '--json', '--data', data, '--port', '0', ...args])
const answerOf = (ended: Ended): Answer => JSON.parse(ended.out) as Answer
const findingOf = (ended: Ended, what: string): Finding | undefined =>
  answerOf(ended).findings?.find((one) => one.what === what)

/** Every file below a directory with its length and time. */
const filesOf = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(directory, name))
      return `${name} ${size} ${mtimeMs}`
    })

describe('config', () => {
  test('shows every setting, its value and its source', () => {
    const environment = { TRUSTWARDEN_PORT: '9', TRUSTWARDEN_LOG_LEVEL: 'warn' }
    const args = ['config', '--json', '--data', '/srv/log/', '--port', '8']
    const { settings, ...rest } = answerOf(trustwarden(args, { environment }))
    expect(rest).toEqual({})
    const shown = Object.fromEntries(
      settings.map(({ flag, value, source }) => [flag, [value, source]]),
    )
    expect(shown).toMatchObject({
      data: ['/srv/log/', '--data'],
      head: ['/srv/log.head', 'default'],
      keys: ['/srv/log.keys', 'default'],
      port: ['8', '--port'],
      'log-level': ['warn', 'TRUSTWARDEN_LOG_LEVEL'],
      host: ['127.0.0.1', 'default'],
      'tls-cert': [undefined, undefined],
    })
    const text = trustwarden(['config', '--data', '/srv/log'], { environment })
    expect([text.code, text.out]).toEqual([
      0,
      expect.stringMatching(/^port +9 {2}\(TRUSTWARDEN_PORT\)$/m),
    ])
  })

  test.each([
    ['.', process.cwd()],
    ['./', process.cwd()],
    ['..', dirname(process.cwd())],
    ['a/..', process.cwd()],
    ['a/b//', 'a/b'],
  ])('what lies beside %s has the name of that directory', (data, name) => {
    const { settings } = answerOf(trustwarden(['config', '--json', '--data', data]))
    const valueOf = (flag: string) => settings.find((one) => one.flag === flag)?.value
    expect([valueOf('head'), valueOf('keys')]).toEqual([`${name}.head`, `${name}.keys`])
  })

  test('tells all problems of the settings at once, exit code 2', () => {
    const args = ['config', '--check', '--port', 'x', '--host', '0.0.0.0']
    const text = trustwarden(args)
    expect([text.code, text.out]).toEqual([2, ''])
    for (const said of ['data is missing', 'port is "x"', 'needs --tls-cert'])
      expect(text.err).toContain(said)
    const json = trustwarden([...args, '--json'])
    const { holds, problems } = answerOf(json)
    expect([json.code, holds, problems?.length]).toEqual([2, false, 3])
  })
})

describe('config --check', () => {
  test('of a log that would start holds, writes nothing, and shows no secret', () => {
    const data = copied('whole')
    const before = [data, `${data}.head`, `${data}.keys`].map(filesOf)
    const ended = check(data)
    const { holds, findings = [] } = answerOf(ended)
    expect([ended.code, holds]).toEqual([0, true])
    expect(findings.map(({ what, state }) => `${what} ${state}`)).toEqual([
      'log ok',
      'head record ok',
      'clock ok',
      'keys ok',
      'certificate ok',
      'listener ok',
      'space ok',
    ])
    expect([data, `${data}.head`, `${data}.keys`].map(filesOf)).toEqual(before)
    expect(existsSync(join(data, 'reserve'))).toBe(false)
    const secret = readFileSync(join(`${data}.keys`, 'log.key'), 'utf8').split('\n')[1] ?? 'none'
    expect(ended.out + ended.err).not.toContain(secret)
    const text = trustwarden(['config', '--check', '--data', data, '--port', '0'])
    // It claims no more than it tried, in words that the README has too.
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const { notTried = [] } = answerOf(ended)
    expect(notTried).toHaveLength(4)
    for (const what of notTried) expect(readme.replaceAll('\n', ' ')).toContain(what)
    expect(text.out).toMatch(/^✓ keys: /m)
    const end =
      '\nholds, as far as it was tried. Only opening the log tells, and a start may be refused for it:\n'
    expect(text.out.split(end)[1]).toBe(notTried.map((what) => `  ${what}\n`).join(''))
  })

  const broken: readonly (readonly [
    string,
    string,
    (data: string) => readonly string[],
    string,
  ])[] = [
    ['no log', 'log', (data) => (rmSync(join(data, 'log.json')), []), 'there is no log in'],
    ['no database', 'log', (data) => (rmSync(join(data, 'db'), { recursive: true }), []), 'ENOENT'],
    [
      'no head record',
      'head record',
      (data) => (rmSync(join(`${data}.head`, 'record')), []),
      'head_record_missing',
    ],
    [
      'a head record of zeros',
      'head record',
      (data) => (writeFileSync(join(`${data}.head`, 'record'), Buffer.alloc(8192)), []),
      'head_record_corrupt',
    ],
    [
      'a key that is missing',
      'keys',
      (data) => (rmSync(join(`${data}.keys`, 'ca.key')), []),
      'key_file_missing',
    ],
    [
      'a key that others read',
      'keys',
      (data) => (chmodSync(join(`${data}.keys`, 'permit.key'), 0o644), []),
      'key_file_mode',
    ],
    [
      'keys of another log',
      'keys',
      () => ['--keys', foreign.keys],
      'the log key is not that of the trust anchor',
    ],
    [
      'a passphrase file that is missing',
      'keys',
      () => ['--passphrase-file', at('nowhere')],
      'key_file_missing',
    ],
    [
      'a certificate that is missing',
      'certificate',
      () => ['--tls-cert', at('no.pem'), '--tls-key', at('no.key')],
      'tls_file_missing',
    ],
  ]
  test.each(broken)('finds %s, and goes on with the rest', (name, what, breaks, said) => {
    const data = copied(name.replaceAll(' ', '-'))
    const ended = check(data, ...breaks(data))
    expect([ended.code, answerOf(ended).holds]).toEqual([1, false])
    const finding = findingOf(ended, what)
    expect(finding?.state).toBe('failed')
    expect(finding?.detail).toMatch(said)
    // What a start would advise, where it has an advice for the code.
    if (said.includes('_')) expect(finding?.advice).toMatch(/./)
    expect(answerOf(ended).findings).toHaveLength(7)
    expect(ended.err).toBe('')
  })

  test.each([
    [
      'ahead of the last entry by more than a day',
      -25,
      /^clock_ahead: .* 25 h ahead/,
      'serve --accept-clock',
    ],
    ['behind the last entry', 1, /^clock_behind: .* behind/, 'once that time has passed'],
  ])('finds a clock %s', async (name, hours, said, advice) => {
    const head = at(`${name}.head`)
    const record = await HeadRecord.create(head, { origin: 'acme.example/logs/agents' })
    const { size, root } = await readHeadRecord(log.head)
    await record.write({ size, root, timeMs: Date.now() + hours * 3_600_000 })
    await record.close()
    const ended = check(log.data, '--head', head)
    expect([ended.code, answerOf(ended).holds]).toEqual([1, false])
    expect(findingOf(ended, 'clock')).toMatchObject({
      state: 'failed',
      detail: expect.stringMatching(said),
      advice: expect.stringContaining(advice),
    })
  })

  test('finds a disk on which the journals cannot be copied, and says how much is needed', () => {
    const data = copied('full')
    const { bavail, bsize } = statfsSync(data)
    // More than is free, of a file that takes no space.
    const journal = 2 * bavail * bsize
    writeFileSync(join(data, 'db', '999999.log'), '')
    truncateSync(join(data, 'db', '999999.log'), journal)
    const ended = check(data)
    expect([ended.code, answerOf(ended).holds]).toEqual([1, false])
    const { state, detail = '', advice = '' } = findingOf(ended, 'space') ?? {}
    expect([state, detail]).toEqual(['failed', expect.stringMatching(/^journals_not_kept: /)])
    const [, free] = /(\d+) bytes free/.exec(detail) ?? []
    const [, needed] = /which a start copies first, take (\d+)$/.exec(detail) ?? []
    expect(Number(needed)).toBeGreaterThan(journal)
    expect(Number(needed)).toBeLessThan(journal + 1_000_000)
    expect(advice).toBe(
      `free at least ${Number(needed) - Number(free)} bytes on the disk of ${data}`,
    )
    // The reserve that a start gives up counts, and only where it gives it up.
    writeFileSync(join(data, 'reserve'), '')
    truncateSync(join(data, 'reserve'), journal)
    const spaceOf = (floor: string, reserve: string) =>
      findingOf(check(data, '--free-space-floor', floor, '--disk-reserve', reserve), 'space')
    const stateOf = (floor: string, reserve: string) => spaceOf(floor, reserve)?.state
    expect(spaceOf('8000TiB', '8000TiB')).toMatchObject({
      state: 'warning',
      advice: expect.stringContaining('may write as much again'),
    })
    expect(stateOf('8000TiB', '1')).toBe('failed')
    expect(stateOf('1', '8000TiB')).toBe('failed')
    expect(stateOf('0', '8000TiB')).toBe('failed')
  })

  test('finds a port that another program has', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as AddressInfo
      // The port's owner is this process, so the CLI runs beside it.
      const ended = await runCliAsync([
        'config',
        '--check',
        '--data',
        log.data,
        '--port',
        String(port),
      ]).catch((error: unknown) => error as { code: number; stdout: string })
      expect(ended).toMatchObject({ code: 1, stdout: expect.stringContaining('✗ listener: ') })
      expect(ended).toMatchObject({ stdout: expect.stringContaining('EADDRINUSE') })
    } finally {
      server.close()
    }
  }, 30_000)

  test('holds beside the running service, whose port is its own, and takes nothing from it', async () => {
    const service = await startService(log)
    try {
      const { port } = new URL(service.url)
      const ended = trustwarden(['config', '--check', '--json', '--data', log.data, '--port', port])
      expect([ended.code, findingOf(ended, 'listener')?.detail]).toEqual([
        0,
        `127.0.0.1, port ${port}: this log's service listens there`,
      ])
      const other = trustwarden(['config', '--check', '--data', at('whole'), '--port', port])
      expect(other.code).toBe(0)
      expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
    } finally {
      expect(await service.stop()).toBe(0)
    }
  })

  test('warns of what does not keep a start from starting', async () => {
    const data = copied('warned')
    const files = { cert: at('cert.pem'), key: at('key.pem') }
    const authority = await makeAuthority()
    const tls = ['--tls-cert', files.cert, '--tls-key', files.key]
    writePair(files, await authority.issue({ days: 5 }))
    mkdirSync(join(data, 'db', 'kept-1'))
    const ended = check(data, ...tls, '--free-space-floor', '8000TiB')
    expect([ended.code, answerOf(ended).holds]).toEqual([0, true])
    const states = answerOf(ended).findings?.map(({ what, state }) => `${what} ${state}`)
    expect(states).toEqual([
      'log warning',
      'head record ok',
      'clock ok',
      'keys ok',
      'certificate warning',
      'listener ok',
      'space warning',
    ])
    writePair(files, await authority.issue())
    expect(findingOf(check(data, ...tls, '--host', '0.0.0.0'), 'listener')).toMatchObject({
      state: 'warning',
      advice: 'say with --url which one clients use',
    })
    const named = check(data, ...tls, '--url', 'https://tw.example')
    expect(findingOf(named, 'certificate')).toMatchObject({
      state: 'warning',
      detail: expect.stringContaining('IP Address:127.0.0.1, DNS:localhost, 89 days left'),
      advice:
        'it is not for tw.example, which --url names: right only if clients ask a proxy in front of the service',
    })
    expect(findingOf(check(data, ...tls, '--host', '127.0.0.2'), 'certificate')).toMatchObject({
      state: 'warning',
      advice: expect.stringContaining('it is not for 127.0.0.2, which --host names'),
    })
    expect(findingOf(check(data, ...tls, '--host', '0.0.0.0'), 'certificate')?.state).toBe('ok')
    expect(findingOf(check(data, ...tls, '--url', 'https://localhost'), 'certificate')?.state).toBe(
      'ok',
    )
    writePair(files, await authority.issue({ from: -9, days: -1 }))
    const late = check(data, ...tls)
    expect([late.code, findingOf(late, 'certificate')?.state]).toEqual([1, 'failed'])
  })
})
