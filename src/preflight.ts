/**
 * @module What a start would find, tried without taking the log: `trustwarden config --check`, also beside a running
 * service. Nothing is written, and the database is not opened: `NOT_TRIED` says what that leaves.
 */
import { constants, type Stats } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { equalBytes, parseTrustAnchor } from '@trustwarden/proofs'
import { systemClock } from './clock.ts'
import { clientHost, type Config, isEveryAddress } from './config.ts'
import { nativePrimitives, signerFromPrivateKey } from './crypto.ts'
import { anchorPath, databasePath, openKey, readDescription } from './directory.ts'
import { errnoOf } from './errno.ts'
import { readPassphrase } from './keys.ts'
import { checkStartClock } from './ledger/clock-guard.ts'
import { freeBytes, RESERVE_NAME } from './store/disk-space.ts'
import { readHeadRecord } from './store/head-record.ts'
import { bytesToKeep, listCopies } from './store/journals.ts'
import { isFor, readTlsPair } from './tls.ts'

/** What one check came to. A start fails of `failed` alone. */
export interface Finding {
  readonly what: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  /** Of the error that a start would end with, by which a command knows what to do next. */
  readonly code?: string
  readonly advice?: string
}

/** What only opening the log tells, so that a start may be refused for it whatever the checks come to. */
export const NOT_TRIED = [
  'whether the log is as new as its head record',
  'whether the clock is right for entries that the head record does not have',
  'whether what a crash left can be read',
  'whether its entries are whole',
] as const

/** A certificate with less life than this is worth a warning, days. */
const EXPIRY_WARNING_DAYS = 14
const ASK_MS_MAX = 2000
const ANSWER_BYTES_MAX = 262_144

type Check = () => Promise<Omit<Finding, 'what'>>

const ok = (detail: string) => ({ state: 'ok', detail }) as const
const warning = (detail: string, advice: string) => ({ state: 'warning', detail, advice }) as const

/** Runs all checks, each whatever the others come to. */
export async function preflight(config: Config): Promise<readonly Finding[]> {
  const checks: Readonly<Record<string, Check>> = {
    log: () => checkLog(config),
    'head record': () => checkHead(config),
    clock: () => checkClock(config),
    keys: () => checkKeys(config),
    certificate: () => checkCertificate(config),
    listener: () => checkListener(config),
    space: () => checkSpace(config),
  }
  const findings: Finding[] = []
  for (const [what, check] of Object.entries(checks)) {
    try {
      findings.push({ what, ...(await check()) })
    } catch (error) {
      const code = errnoOf(error)
      const failed = { what, state: 'failed', detail: wordsOf(error) } as const
      findings.push(code === undefined ? failed : { ...failed, code })
    }
  }
  return findings
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  const code = errnoOf(error) ?? ''
  return code === '' || error.message.startsWith(code) ? error.message : `${code}: ${error.message}`
}

function isClosed({ mode }: Stats): boolean {
  return (mode & 0o077) === 0
}

async function checkLog({ data }: Config): ReturnType<Check> {
  const { origin, development } = readDescription(data)
  const directory = databasePath(data)
  await access(join(directory, 'CURRENT'), constants.R_OK)
  for (const path of [data, directory]) await access(path, constants.W_OK)
  const [copy] = await listCopies(directory)
  if (copy !== undefined)
    return warning(
      `${origin}; an earlier start did not finish, its journals are in ${copy}`,
      'they go once a start has passed its checks',
    )
  if (!isClosed(await stat(data)))
    return warning(`${origin}; ${data} is open to its group or others`, `chmod 700 ${data}`)
  return ok(development ? `${origin}, a development log` : origin)
}

async function checkHead({ head, data }: Config): ReturnType<Check> {
  const { size } = await readHeadRecord(head)
  for (const path of [head, join(head, 'record')]) await access(path, constants.W_OK)
  const isApart = (await stat(head)).dev !== (await stat(data)).dev
  return ok(`size ${size}, on ${isApart ? 'a disk of its own' : 'the disk of the data'}`)
}

/** A head record that lags says less than a start sees: only the last entry's time is later than its. */
async function checkClock({ head }: Config): ReturnType<Check> {
  const { timeMs } = await readHeadRecord(head)
  const nowMs = systemClock.nowMs()
  checkStartClock(nowMs, timeMs)
  const [now, last] = [nowMs, timeMs].map((ms) => new Date(ms).toISOString())
  return ok(`${now}, the recorded head is of ${last}`)
}

async function checkKeys({ keys, data, passphraseFile, passphraseFd }: Config): ReturnType<Check> {
  const passphrase = readPassphrase({
    ...(passphraseFile === undefined ? {} : { file: passphraseFile }),
    ...(passphraseFd === undefined ? {} : { fd: passphraseFd }),
  })
  const [log] = (['log', 'permit', 'ca'] as const).map((name) => openKey(keys, name, passphrase))
  const anchor = parseTrustAnchor(
    nativePrimitives,
    (await readFile(anchorPath(data), 'utf8')).trim(),
  )
  if (log === undefined || !equalBytes(signerFromPrivateKey(log).publicKey, anchor.key.publicKey))
    return { state: 'failed', detail: `${keys}: the log key is not that of the trust anchor` }
  return ok(`log, permit and CA key open in ${keys}; the log key is that of the trust anchor`)
}

async function checkCertificate(config: Config): ReturnType<Check> {
  const { tlsCert, tlsKey, host, url } = config
  if (tlsCert === undefined || tlsKey === undefined)
    return ok(`none: ${host} is reached from this machine alone`)
  const nowMs = systemClock.nowMs()
  const pair = readTlsPair({ cert: tlsCert, key: tlsKey }, nowMs)
  const days = Math.floor((pair.notAfterMs - nowMs) / 86_400_000)
  const asked = clientHost(config)
  const advice = [
    ...(asked === undefined || isFor(pair, asked)
      ? []
      : [
          `it is not for ${asked}, which ${url === undefined ? '--host' : '--url'} names: right only if clients ask a ` +
            'proxy in front of the service',
        ]),
    ...(days < EXPIRY_WARNING_DAYS
      ? ['put a new pair in its place: a running service takes it']
      : []),
  ]
  const detail = `${pair.names}, ${days} days left`
  return advice.length === 0 ? ok(detail) : warning(detail, advice.join('; '))
}

async function checkListener(config: Config): ReturnType<Check> {
  const { host, port, data, url } = config
  const where = `${host}, port ${port === 0 ? 'free' : port}`
  try {
    await tryListening(host, port)
    if (isEveryAddress(host) && url === undefined)
      return warning(`${where}: every address`, 'say with --url which one clients use')
    return ok(where)
  } catch (error) {
    if (errnoOf(error) !== 'EADDRINUSE') throw error
    // Beside a running service the port is its own.
    if ((await originServedAt(config)) === readDescription(data).origin)
      return ok(`${where}: this log's service listens there`)
    throw error
  }
}

function tryListening(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()))
  })
}

/** Which log a service on the port says it serves; nothing is trusted for it. */
async function originServedAt({ host, port, tlsCert }: Config): Promise<string | undefined> {
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const path = '/.well-known/trustwarden'
      const anyHost = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
      const options = { host: anyHost, port, path, timeout: ASK_MS_MAX }
      const asked =
        tlsCert === undefined
          ? httpGet(options, resolve)
          : httpsGet({ ...options, rejectUnauthorized: false }, resolve)
      asked.on('timeout', () => asked.destroy(new Error('no answer')))
      asked.on('error', reject)
    })
    let text = ''
    for await (const part of answer as AsyncIterable<Buffer>) {
      text += part.toString('latin1')
      if (text.length > ANSWER_BYTES_MAX) return undefined
    }
    const { origin } = JSON.parse(text) as { readonly origin?: unknown }
    return typeof origin === 'string' ? origin : undefined
  } catch {
    return undefined
  }
}

async function checkSpace({ data, freeSpaceFloor, diskReserve }: Config): ReturnType<Check> {
  const free = await freeBytes(data)
  const held = await stat(join(data, RESERVE_NAME)).then(
    ({ size }) => size,
    () => 0,
  )
  const missing = freeSpaceFloor === 0 ? 0 : Math.max(0, diskReserve - held)
  // A start gives the reserve up first of all where both floor and reserve are more than is free.
  const given = free < Math.min(freeSpaceFloor, diskReserve) ? held : 0
  const copied = await bytesToKeep(databasePath(data))
  const detail = `${free} bytes free, ${freeSpaceFloor} kept free, ${held} of ${diskReserve} held in reserve`
  if (free + given < copied)
    return {
      state: 'failed',
      detail: `journals_not_kept: ${detail}; the journals, which a start copies first, take ${copied}`,
      advice: `free at least ${copied - free - given} bytes on the disk of ${data}`,
    }
  if (free + given < 2 * copied)
    return warning(
      detail,
      `opening the database copies ${copied} bytes of journals and may write as much again: without room for it a start is ` +
        'refused (store_open_failed)',
    )
  if (free < freeSpaceFloor)
    return warning(detail, 'the service would start and take revocations alone')
  if (free - missing < freeSpaceFloor) return warning(detail, 'the reserve does not fit')
  return ok(detail)
}
