/** @module Rounds of one flipped bit, for the fast and the slow test. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseStatement } from '@trustwarden/proofs'
import { expect } from 'vitest'
import { openService, type Service } from '../../src/build.ts'
import { readConfig } from '../../src/config.ts'
import { LEDGER_ERRORS } from '../../src/ledger/errors.ts'
import { STORE_ERRORS } from '../../src/store/errors.ts'
import {
  type Acknowledged,
  isAcknowledged,
  type Said,
  Speaker,
  submitAll,
  submittedOf,
} from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCliAsync,
  type RunningService,
  startService,
} from '../support/service.ts'
import { Auditor, httpSource } from './auditor.ts'
import { type Random, seededRandom } from './random.ts'

/** What became of one flip. `silent` and `unnamed` must not be. */
export type Fate = 'refused' | 'reported' | 'holds' | 'silent' | 'unnamed'

/** How often each came, by name of what was said. */
export interface FlipReport {
  readonly seed: number
  readonly fates: Readonly<Record<Fate, number>>
  readonly said: Readonly<Record<string, number>>
  /** What was silent or had no name: file, offset, bit, and what happened. */
  readonly wrong: readonly string[]
}

interface Written extends LogDirectory {
  readonly acknowledged: readonly Acknowledged[]
  readonly size: number
}

/** Opens, and waits for what goes on behind: a scan keeps a table on disk that was merged, in which a bit means nothing. */
async function open(log: LogDirectory): Promise<Service> {
  const config = readConfig({ data: log.data, port: '0', 'log-level': 'silent' }, {})
  const service = await openService(config, { onFatal: (error) => expect.fail(error.message) })
  await expect.poll(() => service.log.stats().startChecked, { timeout: 60_000 }).toBe(1)
  return service
}

/** Writes a log of `count` entries and some: in tables and in a journal, as several starts leave them. */
async function writeLog(count: number): Promise<Written> {
  const log = makeLog()
  const speaker = Speaker.of(log)
  const acknowledged: Acknowledged[] = []
  let service = await open(log)
  const say = async (said: Said): Promise<number> => {
    const { receipt, repeated, index } = await service.log.submit(submittedOf(said))
    acknowledged.push({ said, receipt, repeated })
    return index
  }
  const parent = speaker.requestAgent('flips/parent')
  await say(parent.said)
  const { size } = service.log.head()
  const child = speaker.requestAgent('flips/child', { parent: parent.agent, size })
  await say(child.said)
  const wide = speaker.requestAgent('flips/wide', {
    parent: parent.agent,
    patch: { scope: ['write:**'] },
  })
  await say(wide.said)
  const parts = 4
  for (let part = 0; part < parts; part++) {
    for (let done = 0; done < count / parts; done += 100) {
      const all = Array.from({ length: 100 }, (_, n) => {
        const agent = n % 2 === 0 ? parent.agent : child.agent
        if (n % 4 === 1) return speaker.ask(agent).said
        return speaker.report(agent, null, n % 3 === 0 ? `detail ${n}` : undefined)
      })
      await Promise.all(all.map(say))
    }
    const mine = acknowledged.filter(({ said }) => said.disclosures.length > 0).slice(-3)
    const indexes = mine.map(({ receipt }) => receipt.index)
    await say(speaker.erase(indexes))
    const stopped = speaker.requestAgent(`flips/stopped-${part}`)
    await say(stopped.said)
    await say(speaker.revoke(`inst:${stopped.agent.principal}`, 'why'))
    // A start turns the journal into a table; the last part stays in the journal.
    await service.close()
    if (part < parts - 1) service = await open(log)
  }
  return { ...log, acknowledged, size: service.log.head().size }
}

interface Outcome {
  readonly fate: Fate
  readonly said: string
}

const NAMES = new Set<string>([...Object.keys(STORE_ERRORS), ...Object.keys(LEDGER_ERRORS)])

/** The code that a refusal names, by the text that an operator reads. */
function nameOf(text: string): string | undefined {
  const words = [...text.matchAll(/\b([a-z]+(?:_[a-z]+)+)\b/g)].map(([, word = '']) => word)
  return words.find((word) => NAMES.has(word) && word !== 'start_refused')
}

function refusalOf(text: string): Outcome {
  const name = nameOf(text)
  if (name !== undefined) return { fate: 'refused', said: name }
  return { fate: 'unnamed', said: text }
}

/** LevelDB checks its own order by assertions, and ends the process over some damage before anybody can say more. */
const ABORT = /leveldb.*Assertion `.*' failed/

/** What the audit says, which an operator is told to run once the process has ended like that. */
async function judgeAborted(log: Written, data: string): Promise<Outcome> {
  try {
    await runCliAsync(['audit', '--data', data, '--trust', log.anchor])
  } catch (thrown) {
    const { fate, said } = refusalOf(textOf(thrown))
    return fate === 'refused' ? { fate: 'reported', said: `aborted, then ${said}` } : { fate, said }
  }
  return { fate: 'unnamed', said: 'aborted, and the audit holds' }
}

const textOf = (thrown: unknown): string => {
  const output = thrown as { readonly stdout?: string; readonly stderr?: string }
  const message = thrown instanceof Error ? thrown.message : 'unknown'
  return [message, output.stdout ?? '', output.stderr ?? ''].join('\n')
}

/** Starts the service on a copy, holds it to what was acknowledged, and audits it. Each in a process of its own. */
async function judge(log: Written, data: string): Promise<Outcome> {
  const copy = { ...log, data, head: `${data}.head`, keys: `${data}.keys` }
  let service: RunningService
  try {
    service = await startService(copy, { flags: ['--open-reads', 'true'] })
  } catch (thrown) {
    const text = textOf(thrown)
    return ABORT.test(text) ? judgeAborted(log, data) : refusalOf(text)
  }
  try {
    const auditor = new Auditor(log.anchor)
    await auditor.check(httpSource(service.url), log.acknowledged)
    if (auditor.size !== log.size) return { fate: 'silent', said: `size ${auditor.size}` }
    // The same statements again: what was registered is known, and nothing is registered twice.
    const again = log.acknowledged.filter(isAction).slice(-200)
    const results = await submitAll(
      service.url,
      again.map(({ said }) => said),
    )
    for (const [at, result] of results.entries()) {
      const same = isAcknowledged(result) && result.receipt.index === again[at]?.receipt.index
      if (!same) return { fate: 'silent', said: 'a repeated statement got another entry' }
    }
  } catch (thrown) {
    // Damage that a start did not read stops the service when it is read: what it says of it is all there at its end.
    await service.stop()
    const name = nameOf(service.stderr())
    if (name !== undefined) return { fate: 'reported', said: name }
    if (ABORT.test(service.stderr())) return await judgeAborted(log, data)
    return { fate: 'silent', said: textOf(thrown) }
  } finally {
    await service.stop()
  }
  try {
    await runCliAsync(['audit', '--data', data, '--trust', log.anchor])
    return { fate: 'holds', said: 'holds' }
  } catch (thrown) {
    const text = textOf(thrown)
    const differs = /^DIFFERS: (\w+)/m.exec(text)?.[1]
    return differs === undefined ? refusalOf(text) : { fate: 'reported', said: differs }
  }
}

const isAction = ({ said }: Acknowledged): boolean =>
  parseStatement(said.text).header.type === 'action'

/** Every file that a start or an audit reads: LevelDB's own log and lock are none. */
const filesOf = (log: LogDirectory): readonly string[] => [
  ...readdirSync(join(log.data, 'db'))
    .filter((name) => !name.startsWith('LO'))
    .map((name) => join(log.data, 'db', name)),
  join(log.head, 'record'),
]

/** A byte, drawn so that small files come as often as large ones in every second round. */
function draw(files: readonly string[], random: Random, round: number): readonly [string, number] {
  const sizes = files.map((path) => statSync(path).size)
  if (round % 2 === 0) {
    const filled = files.filter((_, at) => (sizes[at] ?? 0) > 0)
    const path = filled[random.below(filled.length)] ?? ''
    return [path, random.below(statSync(path).size)]
  }
  let place = random.below(sizes.reduce((sum, size) => sum + size, 0))
  for (const [at, path] of files.entries()) {
    const size = sizes[at] ?? 0
    if (place < size) return [path, place]
    place -= size
  }
  throw new Error('no byte was drawn')
}

/** Copies that are judged at the same time: each is a process that mostly starts. */
const LANES = 3

/** Flips `flips` single bits, each in a copy of its own, in a log of about `entries` entries. */
export async function bitFlipRounds(flips: number, entries: number): Promise<FlipReport> {
  const random = seededRandom('bit flips')
  const log = await writeLog(entries)
  const fates: Record<Fate, number> = {
    refused: 0,
    reported: 0,
    holds: 0,
    silent: 0,
    unnamed: 0,
  }
  const said: Record<string, number> = {}
  const wrong: string[] = []
  const files = filesOf(log)
  // Drawn before the first is judged, so that a seed gives the same flips however the lanes run.
  const drawn = Array.from({ length: flips }, (_, round) => ({
    place: draw(files, random, round),
    bit: random.below(8),
  }))
  const next = drawn.values()
  const lane = async (place: string): Promise<void> => {
    const data = join(place, 'log')
    for (const { place: at, bit } of next) {
      const [path, offset] = at
      copyLog(log, place)
      const damaged = path.replace(log.data, data)
      const bytes = readFileSync(damaged)
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
      writeFileSync(damaged, bytes)
      const outcome = await judge(log, data)
      fates[outcome.fate]++
      said[outcome.said] = (said[outcome.said] ?? 0) + 1
      if (outcome.fate === 'silent' || outcome.fate === 'unnamed')
        wrong.push(`${path.slice(log.root.length)} byte ${offset} bit ${bit}: ${outcome.said}`)
    }
  }
  const places = Array.from({ length: LANES }, () =>
    mkdtempSync(join(tmpdir(), 'trustwarden-flip-')),
  )
  try {
    const [first = ''] = places
    copyLog(log, first)
    const undamaged = await judge(log, join(first, 'log'))
    expect(undamaged, 'undamaged').toEqual({ fate: 'holds', said: 'holds' })
    await Promise.all(places.map(lane))
    return { seed: random.seed, fates, said, wrong }
  } finally {
    for (const place of places) rmSync(place, { recursive: true, force: true })
    removeLog(log)
  }
}

/** A fresh copy of a log in `place`, with head record and keys beside it. */
function copyLog(log: Written, place: string): void {
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place)
  for (const tail of ['', '.head', '.keys'])
    cpSync(`${log.data}${tail}`, `${join(place, 'log')}${tail}`, { recursive: true })
}
