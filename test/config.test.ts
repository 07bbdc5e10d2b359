/**
 * Goal: a wrong setting is found at the start, all of them at once, and what is set is what is used. Method: tables of
 * flags and environments.
 */
import { describe, expect, test } from 'vitest'
import {
  clientHost,
  ConfigError,
  effectiveSettings,
  isLoopback,
  readConfig,
  SETTINGS,
} from '../src/config.ts'

function problemsOf(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
): readonly string[] {
  try {
    readConfig(flags, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('settings', () => {
  test('have defaults', () => {
    expect(readConfig({ data: '/srv/log' }, {})).toEqual({
      data: '/srv/log',
      head: '/srv/log.head',
      keys: '/srv/log.keys',
      host: '127.0.0.1',
      port: 8470,
      openReads: false,
      openMetrics: false,
      freeSpaceFloor: 1_073_741_824,
      diskReserve: 268_435_456,
      drainDelay: 0,
      verifyWorkers: 2,
      policyWorkers: 2,
      scrubRate: 4,
      logLevel: 'info',
    })
  })

  test('come from flags before variables before defaults', () => {
    const environment = { TRUSTWARDEN_DATA: '/e', TRUSTWARDEN_PORT: '1', TRUSTWARDEN_HOST: '::1' }
    const config = readConfig({ port: '2' }, environment)
    expect([config.data, config.port, config.host, config.logLevel]).toEqual([
      '/e',
      2,
      '::1',
      'info',
    ])
  })

  test.each([
    ['passphrase-fd', '5', 'TRUSTWARDEN_PASSPHRASE_FILE', '/p', { passphraseFd: 5 }],
    ['passphrase-file', '/p', 'TRUSTWARDEN_PASSPHRASE_FD', '5', { passphraseFile: '/p' }],
  ])(
    'a flag --%s stands over the variable of what it takes the place of',
    (flag, value, env, other, taken) => {
      const [flags, variables] = [{ data: '/d', [flag]: value }, { [env]: other }]
      const { passphraseFile, passphraseFd } = readConfig(flags, variables)
      expect({ passphraseFile, passphraseFd }).toEqual({
        passphraseFile: undefined,
        passphraseFd: undefined,
        ...taken,
      })
      const shown = effectiveSettings(flags, variables).filter(
        (setting) => setting.flag.startsWith('passphrase') && setting.value !== undefined,
      )
      expect(shown).toEqual([{ flag, value, source: `--${flag}` }])
    },
  )

  test('each is taken from its flag and from its variable', () => {
    const values: Readonly<Record<string, string>> = {
      data: '/d',
      head: '/h',
      keys: '/k',
      passphraseFile: '/p',
      passphraseFd: '3',
      host: 'localhost',
      port: '0',
      tlsCert: '/c',
      tlsKey: '/k',
      url: 'https://log.example',
      openReads: 'true',
      openMetrics: 'true',
      freeSpaceFloor: '7',
      diskReserve: '8',
      agentQuota: '50:500',
      ownerQuota: '60:600',
      drainDelay: '9',
      verifyWorkers: '5',
      policyWorkers: '6',
      scrubRate: '7',
      logLevel: 'error',
    }
    expect(Object.keys(values).sort()).toEqual(Object.keys(SETTINGS).sort())
    const asText = (value: unknown): string => {
      if (typeof value !== 'object' || value === null) return String(value)
      return Object.values(value).join(':')
    }
    for (const [name, { flag, env }] of Object.entries(SETTINGS)) {
      const value = values[name] ?? ''
      const base: Record<string, string> = {
        ...(name === 'data' ? {} : { data: '/d' }),
        ...(name === 'tlsCert' ? { 'tls-key': '/k' } : {}),
        ...(name === 'tlsKey' ? { 'tls-cert': '/c' } : {}),
      }
      const read = [readConfig({ ...base, [flag]: value }, {}), readConfig(base, { [env]: value })]
      for (const config of read)
        expect([name, asText((config as unknown as Record<string, unknown>)[name])]).toEqual([
          name,
          value,
        ])
      expect(env).toBe(`TRUSTWARDEN_${flag.toUpperCase().replaceAll('-', '_')}`)
    }
  })

  test('all problems are told at once', () => {
    const problems = problemsOf(
      {
        host: '0.0.0.0',
        port: '65536',
        'open-reads': 'yes',
        'open-metrics': '1',
        'tls-key': '/k',
        'free-space-floor': '1GB',
        'disk-reserve': '-1',
        'agent-quota': '0',
        'owner-quota': '5:x',
        'drain-delay': '301',
        'log-level': 'loud',
        'verify-workers': '0',
        'policy-workers': '1.5',
        'scrub-rate': '1001',
        'passphrase-file': '/p',
        'passphrase-fd': '-1',
        url: 'log.example',
      },
      { TRUSTWARDEN_PROT: '1' },
    )
    for (const name of [
      'TRUSTWARDEN_PROT',
      'data',
      'host',
      'port',
      'tls-cert and tls-key',
      'open-reads',
      'open-metrics',
      'free-space-floor',
      'disk-reserve',
      'agent-quota',
      'owner-quota',
      'drain-delay',
      'log-level',
      'verify-workers',
      'policy-workers',
      'scrub-rate',
      'passphrase-fd',
      'passphrase-file and passphrase-fd',
      'url',
    ])
      expect([name, problems.filter((problem) => problem.startsWith(name)).length > 0]).toEqual([
        name,
        true,
      ])
    expect(problems).toHaveLength(19)
  })

  test('an unknown TRUSTWARDEN_ variable is a misspelling; what tests and clients read is not', () => {
    expect(problemsOf({ data: '/d' }, { TRUSTWARDEN_PASSFRASE_FILE: '/p' })).toEqual([
      'TRUSTWARDEN_PASSFRASE_FILE is not a setting (a misspelling?)',
    ])
    expect(
      problemsOf({ data: '/d' }, { TRUSTWARDEN_TRUST: 'x', TRUSTWARDEN_VECTORS: '/v' }),
    ).toEqual([])
  })

  test('an empty value is no value', () => {
    expect(problemsOf({ data: '' })).toEqual(['data is empty: leave it out, or give it a value'])
    expect(problemsOf({ data: '/d' }, { TRUSTWARDEN_PORT: '' })).toHaveLength(1)
  })

  test('numbers are plain integers', () => {
    for (const port of ['1e3', ' 1', '+1', '01', '0x1', '1.0', '-0', '٣'])
      expect([port, problemsOf({ data: '/d', port }).length]).toEqual([port, 1])
  })

  test('only addresses of this machine are listened on', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
      expect(isLoopback(host)).toBe(true)
    for (const host of [
      '0.0.0.0',
      '::',
      '127.1',
      '128.0.0.1',
      '10.0.0.1',
      'localhost.example',
      '127.0.0.1.example',
      '::ffff:127.0.0.1',
    ])
      expect([host, isLoopback(host)]).toEqual([host, false])
  })

  test('clients ask for the host of the URL, else for the listening address unless it is every one', () => {
    const hosts: readonly (readonly [string, string | undefined, string | undefined])[] = [
      ['127.0.0.1', undefined, '127.0.0.1'],
      ['log.example', undefined, 'log.example'],
      ['::1', undefined, '::1'],
      ['0.0.0.0', undefined, undefined],
      ['::', undefined, undefined],
      ['0.0.0.0', 'https://tw.example:8443/base', 'tw.example'],
      ['::', 'https://[2001:db8::1]:8443', '2001:db8::1'],
      ['127.0.0.1', 'https://TW.example', 'tw.example'],
    ]
    for (const [host, url, asked] of hosts)
      expect(clientHost({ host, ...(url === undefined ? {} : { url }) })).toBe(asked)
  })

  test('an address that others reach needs certificate and key', () => {
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'log.example']) {
      const [problem, ...others] = problemsOf({ data: '/d', host })
      expect([others, problem]).toEqual([
        [],
        `host is "${host}", which others reach: it needs --tls-cert and --tls-key`,
      ])
      expect(problemsOf({ data: '/d', host, 'tls-cert': '/c', 'tls-key': '/k' })).toEqual([])
      expect(problemsOf({ data: '/d', host, 'tls-cert': '/c' })).toHaveLength(2)
    }
  })

  test('bytes have units of 1,024; a quota has a burst of ten seconds unless it says another', () => {
    const read = (text: string) => readConfig({ data: '/d', 'free-space-floor': text }, {})
    expect(
      ['0', '5', '2KiB', '3MiB', '4GiB', '5TiB'].map((text) => read(text).freeSpaceFloor),
    ).toEqual([0, 5, 2048, 3 * 1024 ** 2, 4 * 1024 ** 3, 5 * 1024 ** 4])
    for (const text of ['1 GiB', '1gib', '1.5GiB', '01', '1e9', '-1', '9999999999999999TiB', 'GiB'])
      expect([text, problemsOf({ data: '/d', 'free-space-floor': text }).length]).toEqual([text, 1])
    const quotaOf = (text: string) => readConfig({ data: '/d', 'agent-quota': text }, {}).agentQuota
    expect(quotaOf('none')).toBeUndefined()
    expect(quotaOf('20')).toEqual({ rate: 20, burst: 200 })
    expect(quotaOf('20:1')).toEqual({ rate: 20, burst: 1 })
    for (const text of ['0', '20:0', '20:', ':5', '1.5', '2000000', '20:99999999', 'None'])
      expect([text, problemsOf({ data: '/d', 'agent-quota': text }).length]).toEqual([text, 1])
  })

  test('a URL names a service and no more; slashes at ends are taken off', () => {
    for (const url of ['ftp://x', 'javascript:1', 'http://u:p@x', 'http://x?y', 'http://x#y', 'x'])
      expect([url, problemsOf({ data: '/d', url }).length]).toEqual([url, 1])
    const config = readConfig({ data: '/srv/log//', url: 'https://log.example/' }, {})
    expect([config.data, config.keys, config.url]).toEqual([
      '/srv/log',
      '/srv/log.keys',
      'https://log.example',
    ])
    expect(readConfig({ data: '/' }, {}).data).toBe('/')
  })
})
