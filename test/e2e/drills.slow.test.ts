/**
 * Goal: what the manual says to do when something is lost brings the log back, from its words alone.
 * Method: each section of src/cli/MANUAL.md is read; the loss is made, the symptom that it prints is looked for in what the
 * real process prints, and its commands are typed into a shell as they stand. What was acknowledged before is held against
 * the log that comes back.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { isAcknowledged, Load, Speaker, submitAll } from '../support/load.ts'
import { cleanEnvironment, type LogDirectory, makeLog, removeLog } from '../support/service.ts'
import { makeAuthority, writePair } from '../support/tls-files.ts'
import { Auditor, httpSource } from './auditor.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 })

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const MANUAL = readFileSync(
  fileURLToPath(new URL('../../src/cli/MANUAL.md', import.meta.url)),
  'utf8',
)
const SHELL = `trustwarden() { '${process.execPath}' '${MAIN}' "$@"; }\nset -euo pipefail\n`

/** What a section shows (symptoms) and says to type (commands), each block as it stands. */
function section(title: string): {
  readonly shown: readonly string[]
  readonly typed: readonly string[]
} {
  const text = MANUAL.split('\n## ').find((part) => part.startsWith(`${title}\n`))
  if (text === undefined) throw new Error(`the manual has no section "${title}"`)
  const blocks = (language: string) =>
    [...text.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map((one) =>
      (one[1] ?? '').trim(),
    )
  return { shown: blocks('text'), typed: blocks('sh') }
}

interface Running {
  readonly url: string
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
  readonly printed: () => string
}

let log: LogDirectory
let load: Load
let environment: Record<string, string>
let running: Running | undefined

/** Types one line into a shell that knows the manual's names. */
function type(line: string): { readonly code: number | null; readonly printed: string } {
  const ended = spawnSync('bash', ['-c', SHELL + line], {
    encoding: 'utf8',
    env: environment,
    timeout: 120_000,
  })
  return { code: ended.status, printed: ended.stdout + ended.stderr }
}

/** Types a command that serves; resolves when it listens, or with what it printed when it ended. */
async function serve(line: string): Promise<Running | string> {
  const quiet = ' --port 0 --open-reads true --log-level warn'
  const child = spawn(
    'bash',
    [
      '-c',
      `${SHELL}${line.replace('trustwarden', `exec '${process.execPath}' '${MAIN}'`)}${quiet}`,
    ],
    { env: environment },
  )
  let printed = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const url = await Promise.race([
    ended.then(() => undefined),
    new Promise<string>((resolve) => {
      child.stdout.on('data', () => {
        const found = /^listening on (\S+)$/m.exec(printed)?.[1]
        if (found !== undefined) resolve(found)
      })
    }),
  ])
  if (url === undefined) return printed
  environment['URL'] = url
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal)
    return ended
  }
  return { url, stop, printed: () => printed }
}

const SERVE = 'trustwarden serve --data $DATA --head $HEAD --keys $KEYS'

async function start(line = SERVE): Promise<Running> {
  const started = await serve(line)
  if (typeof started === 'string') throw new Error(started)
  running = started
  return started
}

/** What a start prints that is refused. */
async function refusal(line = SERVE): Promise<string> {
  const started = await serve(line)
  if (typeof started === 'string') return started
  running = started
  return expect.fail('it started')
}

/** The commands of a block, one over several lines as one. */
const linesOf = (block = ''): readonly string[] => block.replaceAll(/\\\n\s*/g, '').split('\n')

/** Types all lines of a block; a line that serves leaves a service running. */
async function follow(block: string): Promise<void> {
  for (const line of linesOf(block)) {
    if (line.startsWith('trustwarden serve')) {
      await start(line)
      continue
    }
    const stopped = running
    if (stopped !== undefined && line.includes('audit')) {
      await stopped.stop()
      running = undefined
    }
    const { code, printed } = type(line)
    expect([line, code, printed]).toEqual([line, 0, expect.any(String)])
  }
}

const expectShown = (printed: string, symptom = ''): void => {
  const shown = symptom.replace('$DATA', log.data)
  const pattern = shown.includes('|') ? new RegExp(shown) : shown
  expect(symptom).not.toBe('')
  expect(printed).toMatch(pattern)
}

async function say(url: string, count: number): Promise<void> {
  const all = Array.from({ length: count }, (_, n) =>
    load.speaker.report(load.agent, null, n % 2 === 0 ? `detail ${n}` : undefined),
  )
  const results = (await submitAll(url, all)).filter(isAcknowledged)
  expect(results.length).toBe(count)
  load.acknowledged.push(...results)
}

/** What was acknowledged is there, in a service that takes more. */
async function expectWhole(): Promise<void> {
  const service = running ?? (await start())
  await new Auditor(log.anchor).check(httpSource(service.url), load.acknowledged)
  await say(service.url, 1)
}

async function stop(): Promise<void> {
  expect(await running?.stop()).toBe(0)
  running = undefined
}

const copy = (command: 'backup' | 'mirror'): void => {
  const to = command === 'backup' ? '$BACKUP' : '$MIRROR'
  const { code, printed } = type(
    `trustwarden ${command} --to ${to} --url $URL --trust $ANCHOR --key $READER`,
  )
  expect([code, printed]).toEqual([0, expect.any(String)])
}

/** A log with a backup of its beginning and a mirror of all of it, stopped. */
beforeEach(async () => {
  log = makeLog()
  load = new Load(Speaker.of(log))
  const at = (name: string) => join(log.root, name)
  writeFileSync(at('anchor.txt'), log.anchor)
  environment = {
    ...(cleanEnvironment() as Record<string, string>),
    DATA: log.data,
    HEAD: log.head,
    KEYS: log.keys,
    BACKUP: at('backup'),
    MIRROR: at('mirror'),
    ANCHOR: at('anchor.txt'),
    PASSPHRASE: at('passphrase'),
    TRUSTWARDEN_PASSPHRASE_FILE: at('passphrase'),
    READER: at('reader.key'),
    OPERATOR: log.operator,
    OWNER: log.owner,
    ROTATION: at('rotation.json'),
    LAST: at('last'),
    NEW_DATA: at('new'),
    NEW_HEAD: at('new-head'),
    NEW_KEYS: at('new-keys'),
    NEW_ANCHOR: at('new-anchor'),
    NEW_ORIGIN: 'acme.example/logs/agents-2',
    TRUST_DOMAIN: 'acme.example',
  }
  writeFileSync(at('passphrase'), 'correct horse\n', { mode: 0o600 })
  const { url } = await start()
  expect(type('trustwarden keygen --out $READER --plain-key').code).toBe(0)
  expect(
    type('trustwarden enroll reader $READER.pub --key $OPERATOR --url $URL --trust $ANCHOR').code,
  ).toBe(0)
  await load.begin(url)
  await say(url, 30)
})

afterEach(async () => {
  await running?.stop('SIGKILL')
  running = undefined
  removeLog(log)
})

test('the disk of the data is lost', async () => {
  const { shown, typed } = section('The disk of the data is lost')
  copy('backup')
  await say(environment['URL'] ?? '', 20)
  copy('mirror')
  await running?.stop('SIGKILL')
  running = undefined
  rmSync(log.data, { recursive: true })
  expectShown(await refusal(), shown[0])
  // As who replaces a disk may have made it.
  mkdirSync(log.data)
  await follow(typed[0] ?? '')
  await expectWhole()
})

test('the disk of the data is lost, and the mirror ends too early', async () => {
  const { typed } = section('The disk of the data is lost')
  copy('backup')
  copy('mirror')
  await say(environment['URL'] ?? '', 5)
  await stop()
  rmSync(log.data, { recursive: true })
  const [restore = '', recover = '', , serveLine = ''] = (typed[0] ?? '').split('\n')
  expect(type(restore).code).toBe(0)
  const ended = type(recover)
  expect([ended.code, ended.printed]).toEqual([
    1,
    expect.stringMatching(/source_behind.*5 acknowledged entries/s),
  ])
  // It stays closed.
  expect(await refusal(serveLine)).toContain('store_behind_record')
})

test('the disk of the head record is lost', async () => {
  const { shown, typed } = section('The disk of the head record is lost')
  copy('mirror')
  await stop()
  rmSync(log.head, { recursive: true })
  expectShown(await refusal(), shown[0])
  await follow(typed[0] ?? '')
  await expectWhole()
})

test('a snapshot of the data was restored', async () => {
  const { shown, typed } = section('A snapshot of the data was restored')
  await stop()
  cpSync(log.data, join(log.root, 'snapshot'), { recursive: true })
  const { url } = await start()
  await say(url, 10)
  copy('backup')
  await say(url, 10)
  copy('mirror')
  await stop()
  rmSync(log.data, { recursive: true })
  cpSync(join(log.root, 'snapshot'), log.data, { recursive: true })
  expectShown(await refusal(), shown[0])
  await follow(typed[0] ?? '')
  await expectWhole()
  await stop()
  // Of every second entry a disclosure, and those of before the backup are all there.
  expect(type('trustwarden audit --data $DATA --head $HEAD --json').printed).toContain('"lost":5')
})

test('data and head record were restored together: nothing was registered since, and then something was', async () => {
  const { shown, typed } = section('Data and head record were restored together')
  await stop()
  for (const path of [log.data, log.head]) cpSync(path, `${path}.snapshot`, { recursive: true })
  const { url } = await start()
  await say(url, 10)
  copy('backup')
  copy('mirror')
  await stop()
  const goBack = (): void => {
    for (const path of [log.data, log.head]) {
      rmSync(path, { recursive: true })
      cpSync(`${path}.snapshot`, path, { recursive: true })
    }
  }
  goBack()
  await start()
  const mirror = 'trustwarden mirror --to $MIRROR --url $URL --trust $ANCHOR --key $READER'
  const ended = type(mirror)
  expect(ended.code).toBe(1)
  expectShown(ended.printed, shown[0])
  await stop()
  await follow(typed[0] ?? '')
  await expectWhole()
  await stop()
  goBack()
  const forked = await start()
  const [one] = await submitAll(forked.url, [load.speaker.report(load.agent, null)])
  expect(one !== undefined && isAcknowledged(one)).toBe(true)
  await stop()
  const [fromBackup = '', fromMirror = ''] = linesOf(typed[0])
  for (const recover of [fromBackup, fromMirror])
    expect(type(recover)).toMatchObject({
      code: 1,
      printed: expect.stringContaining('archive_forked'),
    })
  // Both heads are shown, and verify; a successor goes on where the mirror ends.
  const [second = '', show = ''] = linesOf(typed[1])
  expect(type(second).code).toBe(0)
  const { origin } = load.speaker
  expect(
    type(show)
      .printed.split('\n')
      .filter((line) => line === origin),
  ).toHaveLength(2)
  environment['LAST'] = join(environment['MIRROR'] ?? '', 'checkpoint')
  const [found = ''] = section('Acknowledged entries are lost for good').typed
  const { code, printed } = type(found)
  expect([code, printed]).toEqual([
    0,
    expect.stringContaining(`succeeds ${origin}, whose last known head`),
  ])
})

test('somebody else may have the log key', async () => {
  const { typed } = section('Somebody else may have the log key')
  const [propose = '', restart = '', activate = '', update = ''] = typed
  const before = readFileSync(environment['ANCHOR'] ?? '', 'utf8')
  await follow(propose)
  // Too early: nothing is written, and nothing is in the way later.
  expect(type(update)).toMatchObject({
    code: 0,
    printed: expect.stringContaining('nothing was written'),
  })
  expect(readFileSync(environment['ANCHOR'] ?? '', 'utf8')).toBe(before)
  await stop()
  await follow(restart)
  expect(type(activate)).toMatchObject({ code: 0, printed: expect.stringContaining('effective') })
  for (let times = 0; times < 2; times++) await follow(update)
  expect(readFileSync(environment['ANCHOR'] ?? '', 'utf8')).toBe(
    type('trustwarden trust show --data $DATA').printed,
  )
  copy('backup')
})

test('acknowledged entries are lost for good', async () => {
  const { typed } = section('Acknowledged entries are lost for good')
  const [found = '', serveNew = '', follows = ''] = typed
  copy('mirror')
  cpSync(join(environment['MIRROR'] ?? '', 'checkpoint'), environment['LAST'] ?? '')
  await say(environment['URL'] ?? '', 3)
  await stop()
  rmSync(log.data, { recursive: true })
  expect(type(found)).toMatchObject({
    code: 0,
    printed: expect.stringMatching(/LOST: entries \d+ to \d+, 3 in all/),
  })
  await follow(serveNew)
  await follow(follows)
  expect(readFileSync(environment['ANCHOR'] ?? '', 'utf8')).toBe(
    readFileSync(environment['NEW_ANCHOR'] ?? '', 'utf8'),
  )
})

test('the certificate is wrong, while it runs and at a start', async () => {
  const { shown, typed } = section('The certificate is wrong')
  const [replace = '', restart = ''] = typed
  await stop()
  const authority = await makeAuthority()
  const files = { cert: join(log.root, 'tls.crt'), key: join(log.root, 'tls.key') }
  writeFileSync(join(log.root, 'ca.crt'), authority.pem)
  Object.assign(environment, { CERT: files.cert, CERT_KEY: files.key })
  environment['NODE_EXTRA_CA_CERTS'] = join(log.root, 'ca.crt')
  const right = await authority.issue()
  const expired = await authority.issue({ from: -90, days: -1 })
  // At a start, each of what the manual names that a pair can be.
  for (const pair of [{ ...right, key: expired.key }, expired, { ...right, cert: right.key }]) {
    writePair(files, pair)
    expectShown(await refusal(restart), shown[0])
  }
  writePair(files, right)
  const service = await start(restart)
  expect(service.url).toMatch(/^https:/)
  const served = (): Promise<string> => serialServed(service.url)
  const serialOf = ({ cert }: { readonly cert: string }) => new X509Certificate(cert).serialNumber
  expect(await served()).toBe(serialOf(right))
  // While it runs: what was there is served on.
  writePair(files, expired)
  await vi.waitFor(() => expectShown(service.printed(), shown[0]), 10_000)
  expect(await served()).toBe(serialOf(right))
  const next = await authority.issue()
  writePair({ cert: `${files.cert}.new`, key: `${files.key}.new` }, next)
  await follow(replace)
  await vi.waitFor(async () => expect(await served()).toBe(serialOf(next)), 10_000)
  copy('backup')
})

/** Serial number of the certificate that a listener shows. */
function serialServed(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

test('the clock is wrong, while it runs and at a start', async () => {
  const { shown, typed } = section('The clock is wrong')
  const [whileRunning, atStart] = shown
  const [accept = '', restart = ''] = typed
  await stop()
  // The processes' own clock: what the machine says, and an offset.
  const offset = join(log.root, 'offset')
  const clock = join(log.root, 'clock.mjs')
  writeFileSync(offset, '0')
  writeFileSync(clock, offsetClock(offset))
  environment['NODE_OPTIONS'] = `--import ${pathToFileURL(clock).href}`
  let service = await start()
  const refused = async (): Promise<string> => {
    const results = await submitAll(service.url, [load.speaker.report(load.agent, null)])
    return JSON.stringify(results)
  }
  writeFileSync(offset, '60000')
  expect(await refused()).toContain('clock_stopped')
  expectShown(await (await fetch(`${service.url}/readyz`)).text(), whileRunning)
  // The new time is the right one: an operator says so.
  await follow(accept)
  const { origin, trustDomain } = load.speaker
  const ahead = new Speaker({
    origin,
    trustDomain,
    owner: load.speaker.owner.signer,
    operator: load.speaker.operator.signer,
    nowMs: () => Date.now() + 60_000,
  })
  const [taken] = await submitAll(service.url, [ahead.acceptClock()])
  expect(taken !== undefined && isAcknowledged(taken)).toBe(true)
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
  await stop()
  writeFileSync(offset, '0')
  expectShown(await refusal(), atStart)
  writeFileSync(offset, String(3 * 86_400_000))
  expectShown(await refusal(), atStart)
  service = await start(restart)
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
})

/** A module that puts an offset, read from a file at each look, on the clock of a process. */
function offsetClock(offset: string): string {
  return `import { readFileSync } from 'node:fs'
const Real = Date
const now = () => Real.now() + Number(readFileSync(${JSON.stringify(offset)}, 'utf8'))
globalThis.Date = class extends Real {
  constructor(...given) {
    if (given.length === 0) super(now())
    else super(...given)
  }
  static now() {
    return now()
  }
}
`
}

function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'trustwarden-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path])
  if (status === 0) execFileSync('umount', [path])
  rmSync(path, { recursive: true })
  return status === 0
}

describe.skipIf(!canMount())(
  'a disk is full (skipped where tmpfs may not be mounted: root is needed)',
  () => {
    let disk: string

    beforeEach(async () => {
      await stop()
      disk = join(log.root, 'disk')
      mkdirSync(disk)
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk])
      // What a floor that came too late leaves: without one, on a disk that has no room for a reserve.
      rmSync(join(log.data, 'reserve'), { force: true })
      cpSync(log.data, join(disk, 'log'), { recursive: true })
      environment['DATA'] = join(disk, 'log')
      environment['TRUSTWARDEN_FREE_SPACE_FLOOR'] = '0'
    })
    afterEach(async () => {
      await running?.stop('SIGKILL')
      running = undefined
      delete environment['TRUSTWARDEN_FREE_SPACE_FLOOR']
      execFileSync('umount', [disk])
    })

    test('the process ends, and goes on when there is room', async () => {
      const { shown, typed } = section('A disk is full')
      const [low, ended, refused] = shown
      environment['TRUSTWARDEN_FREE_SPACE_FLOOR'] = '1TiB'
      const short = await start()
      expectShown(await (await fetch(`${short.url}/readyz`)).text(), low)
      const [one] = await submitAll(short.url, [load.speaker.report(load.agent, null)])
      expect(JSON.stringify(one)).toContain('disk_low')
      await stop()
      environment['TRUSTWARDEN_FREE_SPACE_FLOOR'] = '0'
      const service = await start()
      const filler = openSync(join(disk, 'filler'), 'w')
      for (;;) {
        const { bavail, bsize } = statfsSync(disk)
        if (bavail * bsize <= 100_000) break
        writeSync(filler, Buffer.alloc(4096))
      }
      closeSync(filler)
      load.start(service.url, { batch: 4, detailBytes: 400 })
      await load.ended()
      expect(await service.stop()).toBe(1)
      running = undefined
      expectShown(service.printed(), ended)
      const onFull = await serve(SERVE)
      if (typeof onFull === 'string') expectShown(onFull, refused)
      else await onFull.stop('SIGKILL')
      rmSync(join(disk, 'filler'))
      await follow(typed[0] ?? '')
      await expectWhole()
    })
  },
)
