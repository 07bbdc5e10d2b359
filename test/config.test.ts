/**
 * Goal: a wrong setting is found at the start, all of them at once, and what is set is what is used. Method: tables of
 * flags and environments.
 */
import { describe, expect, test } from 'vitest'
import { ConfigError, isLoopback, readConfig, SETTINGS } from '../src/config.ts'

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

  test('each is taken from its flag and from its variable', () => {
    const values: Readonly<Record<string, string>> = {
      data: '/d',
      head: '/h',
      keys: '/k',
      passphraseFile: '/p',
      passphraseFd: '3',
      host: 'localhost',
      port: '0',
      url: 'https://log.example',
      openReads: 'true',
      verifyWorkers: '5',
      policyWorkers: '6',
      scrubRate: '7',
      logLevel: 'error',
    }
    expect(Object.keys(values).sort()).toEqual(Object.keys(SETTINGS).sort())
    for (const [name, { flag, env }] of Object.entries(SETTINGS)) {
      const value = values[name] ?? ''
      const base: Record<string, string> = name === 'data' ? {} : { data: '/d' }
      const read = [readConfig({ ...base, [flag]: value }, {}), readConfig(base, { [env]: value })]
      for (const config of read)
        expect([name, String((config as unknown as Record<string, unknown>)[name])]).toEqual([
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
      'open-reads',
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
    expect(problems).toHaveLength(12)
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
