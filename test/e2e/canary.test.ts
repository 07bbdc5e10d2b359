/**
 * Goal: nothing that was not declared is kept, nothing declared is kept twice, nothing erased is kept at all, and no
 * certificate of a refused child exists anywhere (DESIGN §1, §3, §7, §9).
 * Method: secrets that exist once in the world are put into every input of the real process, at its most talkative log
 * level; then its directories and its log are searched as bytes, in every encoding that a secret could have taken. A
 * planted secret is found, so the search can.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  fromBase64url,
  jsonObject,
  jsonString,
  makeDisclosure,
  parseReceipt,
  toBase64url,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, type Signer, signerFromPrivateKey } from '../../src/crypto.ts'
import { readKeyFile } from '../../src/keys.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import {
  bodyOf,
  isAcknowledged,
  type LoadAgent,
  post,
  type Said,
  Speaker,
  submitAll,
} from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'

const FLAGS = ['--open-reads', 'true', '--log-level', 'debug']
const ERASABLE_SPACE = 'x'

const draw = (name: string): string => `canary-${name}-${randomBytes(9).toString('hex')}`

/** The encodings of a secret: as it is, hexadecimal, and both base64 at each of the three offsets. */
function encodingsOf(secret: Uint8Array): readonly Buffer[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const found = [bytes, Buffer.from(hex), Buffer.from(hex.toUpperCase())]
  for (const offset of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes])
    // What neighbours share is cut off: the first character or two, and the last.
    const from = offset === 0 ? 0 : offset + 1
    const whole = Math.floor((shifted.length * 8) / 6)
    for (const encoding of ['base64', 'base64url'] as const)
      found.push(Buffer.from(shifted.toString(encoding).slice(from, whole)))
  }
  return [...new Map(found.map((one) => [one.toString('latin1'), one])).values()]
}

function countIn(haystack: Buffer, needle: Buffer): number {
  let count = 0
  for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1)) count++
  return count
}

function filesUnder(...roots: readonly string[]): readonly string[] {
  return roots
    .flatMap((root) =>
      readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => join(root, name)),
    )
    .filter((path) => statSync(path).isFile())
}

/** How often a secret stands in bytes, in any encoding. */
const occurrences = (haystack: Buffer, secret: Uint8Array): number =>
  encodingsOf(secret).reduce((sum, needle) => sum + countIn(haystack, needle), 0)

/** Files that hold a secret, with how often. A file that goes away meanwhile may have become another: begin anew. */
function findIn(roots: readonly string[], secret: Uint8Array): readonly string[] {
  for (let turn = 0; turn < 50; turn++) {
    try {
      return filesUnder(...roots).flatMap((path) => {
        const count = occurrences(readFileSync(path), secret)
        return count === 0 ? [] : [`${path} ×${count}`]
      })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error('the files never stood still')
}

const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8')

/** X and Y of a P-256 key: what a certificate of it holds. */
const pointOf = (signer: Signer): Uint8Array => signer.spki.subarray(-64)

describe('secrets', () => {
  const declared = {
    details: draw('details'),
    context: draw('context'),
    actionProperty: draw('action-property'),
    reason: draw('revocation'),
  }
  /** By name: must be nowhere, from the moment on that they were sent. */
  const undeclared = new Map<string, Uint8Array>()
  const rogues: Signer[] = []
  const answers: string[] = []
  let stderr = ''
  let log: LogDirectory
  let service: RunningService
  let speaker: Speaker
  let agent: LoadAgent
  let told: readonly Said[]
  let indexes: readonly number[]

  const secret = (name: string): string => {
    const text = draw(name)
    undeclared.set(name, utf8(text))
    return text
  }
  const send = async (path: string, init: RequestInit = {}): Promise<number> => {
    const response = await fetch(service.url + path, init)
    answers.push(await response.text())
    return response.status
  }
  const sendJson = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    send(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  const places = (): readonly string[] => [log.data, log.head]
  const stop = async (): Promise<void> => {
    expect(await service.stop()).toBe(0)
    stderr += service.stderr()
  }

  beforeAll(async () => {
    log = encryptedLog(secret('passphrase'))
    service = await startService(log, { flags: [...FLAGS, ...passphraseOf(log)] })
    speaker = Speaker.of(log)
    const asked = speaker.requestAgent('canary/reader')
    const issued = await post(service.url, '/logs/agents/v1/agents', bodyOf(asked.said))
    expect(issued.status).toBe(201)
    agent = asked.agent
    await sendDeclared()
    await sendUndeclared()
    await sendRogues()
    stderr += service.stderr()
  }, 60_000)

  afterAll(async () => {
    await service.stop('SIGKILL')
    removeLog(log)
  })

  async function sendDeclared(): Promise<void> {
    const { details, context, actionProperty, reason } = declared
    const other = speaker.requestAgent('canary/other')
    await post(service.url, '/logs/agents/v1/agents', bodyOf(other.said))
    const statements = [
      speaker.report(agent, null, { note: details }),
      speaker.revoke(`inst:${other.agent.principal}`, reason),
    ]
    const results = await submitAll(service.url, statements)
    const { said } = speaker.ask(agent, {
      context: { why: context },
      action_properties: { what: actionProperty },
    })
    const decided = await post(service.url, '/access/v1/evaluation', bodyOf(said))
    expect(decided.status).toBe(200)
    const answer = jsonObject(decided.body['context'], 'context')
    const permit = jsonString(answer['permit'], 'permit')
    const [, , signature = ''] = permit.split('.')
    undeclared.set('permit', utf8(permit))
    undeclared.set('signature of the permit', fromBase64url(signature))
    told = [...statements, said]
    const receipts = results.filter(isAcknowledged).map(({ receipt }) => receipt)
    indexes = [...receipts, parseReceipt(answer['receipt'] ?? null)].map(({ index }) => index)
    expect(indexes).toHaveLength(3)
  }

  async function sendUndeclared(): Promise<void> {
    const statements = '/logs/agents/v1/statements'
    const good = bodyOf(speaker.report(agent, null))
    expect(await sendJson(statements, { statements: [good], extra: secret('member') })).toBe(400)
    expect(await sendJson(statements, { statements: [good], [secret('name')]: 1 })).toBe(400)
    await sendJson(statements, { statements: [{ ...good, extra: secret('inner member') }] })
    await sendJson(statements, `{"statements": [${secret('not JSON')}`)
    await sendJson(statements, `${' '.repeat(1_100_000)}${secret('too large')}`)
    const text = { 'content-type': 'text/plain' }
    await send(statements, { method: 'POST', headers: text, body: secret('media type') })
    const clear = speaker.sign(agent, 'action', agent.principal, {
      details: secret('clear detail'),
    })
    const unknown = speaker.sign(agent, 'action', agent.principal, {
      other: secret('unknown member'),
    })
    const loose = makeDisclosure(randomBytes(16), 'details', secret('unmatched disclosure'))
    const unmatched = { ...speaker.report(agent, null), disclosures: [loose] }
    const forged = speaker.report(agent, null, secret('detail under a bad signature'))
    const bad = { ...forged, text: `${forged.text.slice(0, -6)}AAAAAA` }
    const elsewhere = new Speaker({
      origin: 'other.example/logs/agents',
      trustDomain: 'acme.example',
      owner: speaker.owner.signer,
      operator: speaker.operator.signer,
    })
    const foreign = elsewhere.report(agent, null, secret('detail for another log'))
    const results = await submitAll(service.url, [clear, unknown, unmatched, bad, foreign])
    expect(results.filter(isAcknowledged)).toEqual([])
    answers.push(JSON.stringify(results))
    const bearer = { authorization: `Bearer ${secret('bearer')}`, cookie: `s=${secret('cookie')}` }
    expect(await sendJson(statements, { statements: [good] }, bearer)).toBe(200)
    const more = { 'x-api-key': secret('header'), 'user-agent': secret('user agent') }
    await sendJson(statements, { statements: [good] }, { ...more, referer: secret('referer') })
    await send(`/logs/agents/v1/entries/0?token=${secret('query')}`, { headers: more })
    await send(`/logs/agents/v1/entries/0`, { headers: bearer })
    await send(`/logs/agents/v1/agents/${secret('parameter')}`)
    await send(`/${secret('path')}`)
    await send(`/logs/agents/checkpoint`, { method: 'PUT', body: secret('method') })
    const jws = `${toBase64url(utf8('{}'))}.${toBase64url(utf8(secret('credential')))}.AAAA`
    await send('/metrics', { headers: { authorization: `TrustWarden ${jws}` } })
  }

  /** Children that must be refused: too wide, an instance that exists, a parent that is revoked meanwhile. */
  async function sendRogues(): Promise<void> {
    const path = '/logs/agents/v1/agents'
    const rogue = (): Signer => {
      const signer = signerFromPrivateKey(generateKey('ES256'))
      rogues.push(signer)
      return signer
    }
    const size = 4
    const wide = speaker.requestAgent('canary/wide', {
      parent: agent,
      size,
      signer: rogue(),
      patch: { scope: ['delete:**'] },
    })
    expect((await post(service.url, path, bodyOf(wide.said))).status).toBe(403)
    // Two keys for one instance at once: both are prepared, one is registered.
    const same = `spiffe://acme.example/canary/same/inst-aaaaa`
    const pair = [rogue(), rogue()].map((signer) => sameInstance(signer, same))
    const outcomes = await Promise.all(pair.map((said) => post(service.url, path, bodyOf(said))))
    const issued = outcomes.findIndex(({ status }) => status === 201)
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set([201, 403]))
    rogues.splice(1 + issued, 1)
    answers.push(JSON.stringify(outcomes[1 - issued]?.body))
    await racedByRevocation(path, rogue)
  }

  /** Children of a parent that is revoked in the same moment: whichever come too late must leave nothing. */
  async function racedByRevocation(path: string, rogue: () => Signer): Promise<void> {
    const doomed = speaker.requestAgent('canary/doomed')
    await post(service.url, path, bodyOf(doomed.said))
    const children = Array.from({ length: 12 }, (_, n) => {
      const signer = signerFromPrivateKey(generateKey('ES256'))
      const options = { parent: doomed.agent, size: 8, signer }
      return { signer, said: speaker.requestAgent(`canary/child-${n}`, options).said }
    })
    const [first, ...rest] = children.map(async ({ signer, said }) => {
      const { status, body } = await post(service.url, path, bodyOf(said))
      if (status === 201) return
      rogues.push(signer)
      answers.push(JSON.stringify(body))
    })
    const revoked = submitAll(service.url, [speaker.revoke(`inst:${doomed.agent.principal}`)])
    await Promise.all([first, revoked, ...rest])
    const late = { parent: doomed.agent, size: 8, signer: rogue() }
    const { said } = speaker.requestAgent('canary/late', late)
    expect((await post(service.url, path, bodyOf(said))).status).toBe(403)
  }

  function sameInstance(signer: Signer, instance: string): Said {
    const made = speaker.requestAgent('canary/same', { signer })
    const child = jsonObject(made.agent.payload['child'], 'child')
    const payload = { ...made.agent.payload, child: { ...child, instance } }
    const { csr } = made.said
    const said = speaker.sign(speaker.owner, 'agent.issue', instance, payload)
    return csr === undefined ? said : { ...said, csr }
  }

  /** Where undeclared secrets stand: directories, the keys' one too, and the service's log. */
  function leaks(): readonly string[] {
    const found: string[] = []
    for (const [name, bytes] of undeclared) {
      const files = findIn([...places(), log.keys], bytes)
      found.push(...files.map((file) => `${name}: ${file}`))
      if (occurrences(utf8(stderr), bytes) > 0) found.push(`${name}: stderr`)
    }
    for (const signer of rogues) {
      const point = pointOf(signer)
      found.push(...findIn([...places(), log.keys], point).map((file) => `rogue key: ${file}`))
      if (occurrences(utf8(answers.join('\n')), point) > 0) found.push('rogue key: an answer')
    }
    return found
  }

  test('control: a planted secret is found in each encoding', () => {
    const planted = utf8(draw('planted'))
    const place = join(log.data, 'planted')
    for (const [n, encoded] of encodingsOf(planted).entries()) {
      writeFileSync(place, Buffer.concat([randomBytes(100 + n), encoded, randomBytes(50)]))
      expect(findIn(places(), planted), `encoding ${n}`).not.toEqual([])
    }
    for (const prefix of ['', 'a', 'ab']) {
      writeFileSync(place, Buffer.from(`${prefix}${planted.toString()}z`).toString('base64url'))
      expect(findIn(places(), planted)).not.toEqual([])
    }
    rmSync(place)
  })

  test('what was not declared is nowhere: not on disk, not in the log of the service', () => {
    expect(undeclared.size).toBeGreaterThan(20)
    // The log was at its most talkative.
    expect(stderr).toContain('"level":20')
    expect(leaks()).toEqual([])
  })

  test('answers repeat no undeclared value', () => {
    const all = utf8(answers.join('\n'))
    const repeated = [...undeclared].filter(
      ([name, bytes]) => name !== 'name' && occurrences(all, bytes) > 0,
    )
    expect(repeated.map(([name]) => name)).toEqual([])
  })

  test('no certificate of a refused child is on disk or in an answer', () => {
    expect(rogues.length).toBeGreaterThanOrEqual(3)
    expect(leaks()).toEqual([])
    // The search finds the key of a child that was issued: its certificate is in its entry.
    expect(findIn(places(), pointOf(agent.signer))).not.toEqual([])
  })

  test('no private key of the service is in data or head record', () => {
    for (const name of readdirSync(log.keys)) {
      const key = readKeyFile(
        join(log.keys, name),
        readFileSync(join(log.root, 'passphrase'), 'utf8').trim(),
      )
      const d = key.export({ format: 'jwk' }).d ?? ''
      expect(findIn(places(), fromBase64url(d)), name).toEqual([])
    }
  })

  test('what was declared is on disk once, under the erasable prefix', async () => {
    await stop()
    const files = new Map(
      Object.entries(declared).map(([name, text]) => {
        const all = filesUnder(...places()).map((path) =>
          occurrences(readFileSync(path), utf8(text)),
        )
        return [name, all.reduce((sum, count) => sum + count, 0)]
      }),
    )
    const store = await LevelStore.open(join(log.data, 'db'))
    try {
      const rows = new Map<string, number>()
      const range = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) }
      for await (const { key, value } of store.scan(range)) {
        for (const [name, text] of Object.entries(declared)) {
          const count = occurrences(Buffer.from(value), utf8(text))
          if (count === 0) continue
          expect(String.fromCharCode(key[9] ?? 0), name).toBe(ERASABLE_SPACE)
          rows.set(name, (rows.get(name) ?? 0) + count)
        }
      }
      expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(files))
      expect([...rows.values()]).toEqual([1, 1, 1, 1])
    } finally {
      await store.close()
    }
    service = await startService(log, { flags: [...FLAGS, ...passphraseOf(log)] })
  })

  test('what was erased is nowhere, and a repeat does not bring it back', async () => {
    const [erased] = await submitAll(service.url, [speaker.erase(indexes)])
    expect(erased !== undefined && isAcknowledged(erased)).toBe(true)
    const left = () =>
      Object.entries(declared).flatMap(([name, text]) =>
        findIn(places(), utf8(text)).map((file) => `${name}: ${file}`),
      )
    for (let turn = 0; turn < 200 && left().length > 0; turn++) await wait(50)
    expect(left()).toEqual([])
    const [action, revocation, decision] = told
    if (action === undefined || revocation === undefined || decision === undefined)
      throw new Error('three statements were told')
    const again = await submitAll(service.url, [action, revocation])
    expect(again.map((one) => isAcknowledged(one) && one.repeated)).toEqual([true, true])
    const { status } = await post(service.url, '/access/v1/evaluation', bodyOf(decision))
    expect(status).toBe(409)
    expect(left()).toEqual([])
    await stop()
    expect(left()).toEqual([])
    expect(leaks()).toEqual([])
    const scratch = join(log.root, 'scratch')
    mkdirSync(scratch)
    const paths = ['--data', log.data, '--trust', log.anchor, '--scratch', scratch]
    expect(runCli(['audit', ...paths])).toMatch(/^holds: .*of 3 entries erased/)
    service = await startService(log, { flags: [...FLAGS, ...passphraseOf(log)] })
  })
})

const passphraseOf = (log: LogDirectory): readonly string[] => [
  '--passphrase-file',
  join(log.root, 'passphrase'),
]

/** A log whose keys are encrypted under a passphrase. */
function encryptedLog(passphrase: string): LogDirectory {
  const made = makeLog()
  for (const path of [made.data, made.head, made.keys]) rmSync(path, { recursive: true })
  const log = { ...made }
  writeFileSync(join(log.root, 'passphrase'), `${passphrase}\n`, { mode: 0o600 })
  const names = ['--origin', 'acme.example/logs/agents', '--trust-domain', 'acme.example']
  const people = ['--owner', `${log.owner}.pub`, '--operator', `${log.operator}.pub`]
  runCli(['init', '--data', log.data, ...names, ...people, ...passphraseOf(log)])
  return { ...log, anchor: readFileSync(join(log.data, 'trust-anchor'), 'utf8').trim() }
}
