/**
 * @module Settings: flags over `TRUSTWARDEN_*` over defaults, read once, every problem reported together.
 *
 * The table is the documentation: the README's list of settings is compared with it by a test. The only file that
 * reads the environment.
 */
import { isIP } from 'node:net'

/** One setting: its flag (without dashes), its variable, and what it is for. */
export interface Setting {
  readonly flag: string
  readonly env: string
  readonly default?: string
  readonly help: string
}

/** Every setting of the service, by its name in `Config`. */
export const SETTINGS: Readonly<Record<keyof Config, Setting>> = {
  data: {
    flag: 'data',
    env: 'TRUSTWARDEN_DATA',
    help: 'directory of the log (made by init)',
  },
  head: {
    flag: 'head',
    env: 'TRUSTWARDEN_HEAD',
    help: 'directory of the head record; best on another disk (default: <data>.head)',
  },
  keys: {
    flag: 'keys',
    env: 'TRUSTWARDEN_KEYS',
    help: "directory of the service's keys (default: <data>.keys)",
  },
  passphraseFile: {
    flag: 'passphrase-file',
    env: 'TRUSTWARDEN_PASSPHRASE_FILE',
    help: 'file whose first line opens the keys',
  },
  passphraseFd: {
    flag: 'passphrase-fd',
    env: 'TRUSTWARDEN_PASSPHRASE_FD',
    help: 'open file descriptor whose first line opens the keys',
  },
  host: {
    flag: 'host',
    env: 'TRUSTWARDEN_HOST',
    default: '127.0.0.1',
    help: 'address to listen on; loopback only in this release, behind a TLS proxy',
  },
  port: {
    flag: 'port',
    env: 'TRUSTWARDEN_PORT',
    default: '8470',
    help: 'port to listen on; 0 takes a free one',
  },
  url: {
    flag: 'url',
    env: 'TRUSTWARDEN_URL',
    help: 'the URL under which clients reach the service (default: the listening address)',
  },
  openReads: {
    flag: 'open-reads',
    env: 'TRUSTWARDEN_OPEN_READS',
    default: 'false',
    help: 'whether anyone may read the whole log: entries, bundles, agents, metrics',
  },
  verifyWorkers: {
    flag: 'verify-workers',
    env: 'TRUSTWARDEN_VERIFY_WORKERS',
    default: '2',
    help: 'threads that check signatures',
  },
  policyWorkers: {
    flag: 'policy-workers',
    env: 'TRUSTWARDEN_POLICY_WORKERS',
    default: '2',
    help: 'threads that evaluate policy',
  },
  scrubRate: {
    flag: 'scrub-rate',
    env: 'TRUSTWARDEN_SCRUB_RATE',
    default: '4',
    help: 'MiB a second at which everything stored is read again and checked behind the service; 0: never',
  },
  logLevel: {
    flag: 'log-level',
    env: 'TRUSTWARDEN_LOG_LEVEL',
    default: 'info',
    help: 'silent, error, warn, info or debug',
  },
}

/** The effective settings of a service. */
export interface Config {
  readonly data: string
  readonly head: string
  readonly keys: string
  readonly passphraseFile?: string
  readonly passphraseFd?: number
  readonly host: string
  readonly port: number
  readonly url?: string
  readonly openReads: boolean
  readonly verifyWorkers: number
  readonly policyWorkers: number
  readonly scrubRate: number
  readonly logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
}

/** Every problem of the settings, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

type Raw = Partial<Record<keyof Config, string>>

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const

function collect(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Raw {
  const raw: Raw = {}
  const known = new Set<string>()
  for (const [name, setting] of Object.entries(SETTINGS) as [keyof Config, Setting][]) {
    known.add(setting.env)
    const value = flags[setting.flag] ?? environment[setting.env] ?? setting.default
    if (value === '') problems.push(`${setting.flag} is empty: leave it out, or give it a value`)
    if (value !== undefined) raw[name] = value
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith('TRUSTWARDEN_') && !known.has(name) && !FOREIGN.has(name))
      problems.push(`${name} is not a setting (a misspelling?)`)
  }
  return raw
}

/** Read by the test suite and by clients, never by the service. */
const FOREIGN: ReadonlySet<string> = new Set([
  'TRUSTWARDEN_VECTORS',
  'TRUSTWARDEN_OPA',
  'TRUSTWARDEN_PEERS',
  'TRUSTWARDEN_SEED',
  'TRUSTWARDEN_TRUST',
  'TRUSTWARDEN_CHROMIUM',
])

function integer(raw: Raw, name: keyof Config, min: number, max: number, to: string[]) {
  const text = raw[name] ?? ''
  const value = /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : Number.NaN
  if (text !== '' && !(value >= min && value <= max))
    to.push(`${SETTINGS[name].flag} is "${text}", an integer from ${min} to ${max} is needed`)
  return value
}

/** A directory without the slashes at its end, so that `<data>.head` lies beside it. */
export function withoutSlashes(path: string): string {
  return path.replace(/(?<=[^/])\/+$/, '')
}

function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search, hash } = new URL(text)
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === ''
}

/** Whether an address is one of this machine's own. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * Reads the settings.
 *
 * @param flags - By flag name, without dashes.
 * @throws ConfigError with every problem found.
 */
export function readConfig(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const problems: string[] = []
  const raw = collect(flags, environment, problems)
  if (raw.data === undefined)
    problems.push('data is missing: --data DIR, or TRUSTWARDEN_DATA (trustwarden init makes one)')
  const data = withoutSlashes(raw.data ?? '')
  const port = integer(raw, 'port', 0, 65_535, problems)
  const verifyWorkers = integer(raw, 'verifyWorkers', 1, 64, problems)
  const policyWorkers = integer(raw, 'policyWorkers', 1, 64, problems)
  const scrubRate = integer(raw, 'scrubRate', 0, 1000, problems)
  const host = raw.host ?? ''
  if (host !== '' && !isLoopback(host))
    problems.push(
      `host is "${host}": this release listens on loopback only; put a TLS proxy in front`,
    )
  if (!['', 'true', 'false'].includes(raw.openReads ?? ''))
    problems.push(`open-reads is "${raw.openReads}", true or false is needed`)
  const logLevel = LOG_LEVELS.find((level) => level === raw.logLevel)
  if (logLevel === undefined && raw.logLevel !== '')
    problems.push(`log-level is "${raw.logLevel}", one of ${LOG_LEVELS.join(', ')} is needed`)
  const passphraseFd =
    raw.passphraseFd === undefined ? undefined : integer(raw, 'passphraseFd', 0, 1023, problems)
  if (raw.passphraseFile !== undefined && raw.passphraseFd !== undefined)
    problems.push('passphrase-file and passphrase-fd are both given: one is needed')
  if (raw.url !== undefined && !isServiceUrl(raw.url))
    problems.push('url is not an http or https URL without user, query and fragment')
  if (problems.length > 0 || logLevel === undefined) throw new ConfigError(problems)
  return Object.freeze({
    data,
    head: raw.head ?? `${data}.head`,
    keys: raw.keys ?? `${data}.keys`,
    ...(raw.passphraseFile === undefined ? {} : { passphraseFile: raw.passphraseFile }),
    ...(passphraseFd === undefined ? {} : { passphraseFd }),
    host,
    port,
    ...(raw.url === undefined ? {} : { url: withoutSlashes(raw.url) }),
    openReads: raw.openReads === 'true',
    verifyWorkers,
    policyWorkers,
    scrubRate,
    logLevel,
  })
}
