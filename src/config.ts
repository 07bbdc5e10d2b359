/**
 * @module Settings: flags over `TRUSTWARDEN_*` over defaults, read once, every problem reported together.
 *
 * The table is the documentation: the README's list of settings is compared with it by a test. The only file that
 * reads the environment.
 */
import { isIP } from 'node:net'
import { basename, resolve } from 'node:path'
import type { Quota } from './ledger/quotas.ts'

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
    help: 'address to listen on; any but loopback needs TLS',
  },
  port: {
    flag: 'port',
    env: 'TRUSTWARDEN_PORT',
    default: '8470',
    help: 'port to listen on; 0 takes a free one',
  },
  tlsCert: {
    flag: 'tls-cert',
    env: 'TRUSTWARDEN_TLS_CERT',
    help: "PEM file of the listener's certificate and those that lead to its root, read again when it changes",
  },
  tlsKey: {
    flag: 'tls-key',
    env: 'TRUSTWARDEN_TLS_KEY',
    help: "PEM file of the certificate's private key, not encrypted, readable by its owner alone",
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
  openMetrics: {
    flag: 'open-metrics',
    env: 'TRUSTWARDEN_OPEN_METRICS',
    default: 'false',
    help: 'whether anyone may read /metrics: Prometheus signs no requests',
  },
  freeSpaceFloor: {
    flag: 'free-space-floor',
    env: 'TRUSTWARDEN_FREE_SPACE_FLOOR',
    default: '1GiB',
    help: 'free space of the data disk below which only revocations are taken (bytes, KiB, MiB, GiB, TiB)',
  },
  diskReserve: {
    flag: 'disk-reserve',
    env: 'TRUSTWARDEN_DISK_RESERVE',
    default: '256MiB',
    help: 'space held by a file in the data directory, given up for revocations when the disk is full',
  },
  agentQuota: {
    flag: 'agent-quota',
    env: 'TRUSTWARDEN_AGENT_QUOTA',
    default: 'none',
    help: 'entries a second and burst of one agent, all its instances together (RATE or RATE:BURST)',
  },
  ownerQuota: {
    flag: 'owner-quota',
    env: 'TRUSTWARDEN_OWNER_QUOTA',
    default: 'none',
    help: 'entries a second and burst of one owner and all its agents together (RATE or RATE:BURST)',
  },
  drainDelay: {
    flag: 'drain-delay',
    env: 'TRUSTWARDEN_DRAIN_DELAY',
    default: '0',
    help: 'seconds from SIGTERM, when readiness fails, until the listener closes',
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
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly url?: string
  readonly openReads: boolean
  readonly openMetrics: boolean
  /** Bytes. */
  readonly freeSpaceFloor: number
  /** Bytes. */
  readonly diskReserve: number
  readonly agentQuota?: Quota
  readonly ownerQuota?: Quota
  /** Seconds. */
  readonly drainDelay: number
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

/** A supervisor that waits longer than this for an end kills. */
const DRAIN_DELAY_MAX_S = 300

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const

/** Settings of which one takes the place of the other. */
const RIVALS: Partial<Record<keyof Config, keyof Config>> = {
  passphraseFile: 'passphraseFd',
  passphraseFd: 'passphraseFile',
}

/** What the environment says of a setting: nothing where a flag says what takes its place, for flags stand over variables. */
function fromEnvironment(
  name: keyof Config,
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const rival = RIVALS[name]
  const isOverruled = rival !== undefined && flags[SETTINGS[rival].flag] !== undefined
  return isOverruled ? undefined : environment[SETTINGS[name].env]
}

function collect(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Raw {
  const raw: Raw = {}
  const known = new Set<string>()
  for (const [name, setting] of Object.entries(SETTINGS) as [keyof Config, Setting][]) {
    known.add(setting.env)
    const value =
      flags[setting.flag] ?? fromEnvironment(name, flags, environment) ?? setting.default
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

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

/** Bytes, as `1073741824` or `1GiB`. */
function bytes(raw: Raw, name: keyof Config, to: string[]): number {
  const text = raw[name] ?? ''
  const [, digits = '', unit = ''] = /^(0|[1-9]\d{0,15})(KiB|MiB|GiB|TiB)?$/.exec(text) ?? []
  const value = Number(digits) * (UNITS[unit] ?? 1)
  if (text !== '' && (digits === '' || !Number.isSafeInteger(value)))
    to.push(`${SETTINGS[name].flag} is "${text}", bytes are needed, such as 1073741824 or 1GiB`)
  return value
}

/** What a burst is where none is given: ten seconds of the rate. */
const BURST_SECONDS = 10
const RATE_MAX = 1_000_000

/** `none`, `RATE` or `RATE:BURST`. */
function quota(raw: Raw, name: keyof Config, to: string[]): Quota | undefined {
  const text = raw[name] ?? ''
  if (text === 'none' || text === '') return undefined
  const [, rateText = '', burstText] = /^([1-9]\d{0,6})(?::([1-9]\d{0,7}))?$/.exec(text) ?? []
  const rate = Number(rateText)
  const burst = burstText === undefined ? rate * BURST_SECONDS : Number(burstText)
  if (!(rate >= 1 && rate <= RATE_MAX && burst >= 1 && burst <= RATE_MAX * BURST_SECONDS))
    to.push(
      `${SETTINGS[name].flag} is "${text}", none, RATE or RATE:BURST is needed, such as 50:500`,
    )
  return { rate, burst }
}

function isTrue(raw: Raw, name: keyof Config, to: string[]): boolean {
  const text = raw[name] ?? ''
  if (!['', 'true', 'false'].includes(text))
    to.push(`${SETTINGS[name].flag} is "${text}", true or false is needed`)
  return text === 'true'
}

/** Certificate and key come together, and a listener that others reach has them. */
function checkListener({ host = '', tlsCert, tlsKey }: Raw, to: string[]): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    to.push('tls-cert and tls-key belong together: one of them is missing')
  if (host !== '' && !isLoopback(host) && (tlsCert === undefined || tlsKey === undefined))
    to.push(`host is "${host}", which others reach: it needs --tls-cert and --tls-key`)
}

function withoutSlashes(text: string): string {
  return text.replace(/(?<=[^/])\/+$/, '')
}

/** A directory by its own name and without slashes at its end, so that `<data>.head` lies beside it: also where it is `.` or `..`. */
export function directoryPath(text: string): string {
  const path = withoutSlashes(text)
  return ['.', '..'].includes(basename(path)) ? resolve(path) : path
}

function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search, hash } = new URL(text)
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === ''
}

/** Whether an address stands for every one of this machine. */
export function isEveryAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/**
 * Name or address by which clients reach the service, as far as the settings say: the host of `url`, without brackets,
 * else the listening address; undefined if that is every one.
 */
export function clientHost({ url, host }: Pick<Config, 'url' | 'host'>): string | undefined {
  if (url !== undefined) return new URL(url).hostname.replace(/^\[|\]$/g, '')
  return isEveryAddress(host) ? undefined : host
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
  const data = directoryPath(raw.data ?? '')
  const port = integer(raw, 'port', 0, 65_535, problems)
  const verifyWorkers = integer(raw, 'verifyWorkers', 1, 64, problems)
  const policyWorkers = integer(raw, 'policyWorkers', 1, 64, problems)
  const scrubRate = integer(raw, 'scrubRate', 0, 1000, problems)
  const host = raw.host ?? ''
  checkListener(raw, problems)
  const openReads = isTrue(raw, 'openReads', problems)
  const openMetrics = isTrue(raw, 'openMetrics', problems)
  const freeSpaceFloor = bytes(raw, 'freeSpaceFloor', problems)
  const diskReserve = bytes(raw, 'diskReserve', problems)
  const agentQuota = quota(raw, 'agentQuota', problems)
  const ownerQuota = quota(raw, 'ownerQuota', problems)
  const drainDelay = integer(raw, 'drainDelay', 0, DRAIN_DELAY_MAX_S, problems)
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
    ...(raw.tlsCert === undefined ? {} : { tlsCert: raw.tlsCert }),
    ...(raw.tlsKey === undefined ? {} : { tlsKey: raw.tlsKey }),
    ...(raw.url === undefined ? {} : { url: withoutSlashes(raw.url) }),
    openReads,
    openMetrics,
    freeSpaceFloor,
    diskReserve,
    ...(agentQuota === undefined ? {} : { agentQuota }),
    ...(ownerQuota === undefined ? {} : { ownerQuota }),
    drainDelay,
    verifyWorkers,
    policyWorkers,
    scrubRate,
    logLevel,
  })
}

/** A setting as it stands, and where it comes from. */
export interface EffectiveSetting {
  readonly flag: string
  /** As it was given; undefined if there is none. */
  readonly value?: string
  readonly source?: string
}

/** Every setting as it was given, whether right or wrong. None is a secret: passphrases and keys are named by path. */
export function effectiveSettings(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): readonly EffectiveSetting[] {
  const data = flags[SETTINGS.data.flag] ?? environment[SETTINGS.data.env]
  return (Object.entries(SETTINGS) as [keyof Config, Setting][]).map(([name, setting]) => {
    const { flag, env } = setting
    const isBeside = setting === SETTINGS.head || setting === SETTINGS.keys
    const beside = isBeside && data !== undefined ? `${directoryPath(data)}.${flag}` : undefined
    const [value, source] = [
      [flags[flag], `--${flag}`],
      [fromEnvironment(name, flags, environment), env],
      [setting.default ?? beside, 'default'],
    ].find(([given]) => given !== undefined) ?? [undefined, undefined]
    return value === undefined || source === undefined ? { flag } : { flag, value, source }
  })
}
