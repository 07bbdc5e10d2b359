/**
 * Goal: whatever the network loses and whatever a lying service says, the SDK repeats the same bytes or refuses by
 * code, and never turns it into an allow. Method: the real service behind a proxy that drops, delays, swaps and
 * forges answers, also with the log's own key.
 */
import type { JsonObject, JsonValue } from '@trustwarden/proofs'
import {
  decodeBundle,
  decodeEntry,
  encodeEntry,
  expandReceipts,
  encodeBundle,
  fromBase64url,
  keyId,
  noblePrimitives,
  parsePermit,
  signPermit,
  parseReceipt,
  parseRange,
  receiptSetObject,
  toBase64url,
  utf8Encode,
} from '@trustwarden/proofs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { generateKey, signerFromPrivateKey } from '../../src/crypto.ts'
import {
  AgentIdentity,
  type ConnectOptions,
  enrollReader,
  formatRange,
  PersonKey,
  Reader,
  TrustWarden,
  TrustWardenError,
} from '../../src/sdk/index.ts'
import { otherSignature } from '../support/statement-signer.ts'
import { makeLog, removeLog, type RunningService, startService } from '../support/service.ts'
import {
  changed,
  flipped,
  forgedReceipt,
  forkedReceipt,
  type Reply,
  TamperingProxy,
} from './tampering-proxy.ts'

const EVALUATION = '/access/v1/evaluation'
const STATEMENTS = '/v1/statements'
const REQUEST = { action: 'read:transactions', resource: 'db/transactions' } as const
const FAST = { backoffMs: 1, backoffMaxMs: 5, attempts: 3 } as const

let service: RunningService
let owner: PersonKey
let proxy: TamperingProxy
let url: string
let agent: AgentIdentity

async function connect(options: Partial<ConnectOptions> = {}): Promise<TrustWarden> {
  return TrustWarden.connect({ url, trust: service.anchor, ...FAST, ...options })
}

async function agentOf(client: TrustWarden): Promise<AgentIdentity> {
  const scope = ['read:transactions', 'write:reports']
  return AgentIdentity.create({ client, owner, name: 'finance/agent', scope })
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof TrustWardenError ? error.code : `no TrustWardenError: ${String(error)}`
}

const problem = (code: string, status: number): Reply => ({
  status,
  body: JSON.stringify({ type: 'x', title: 'x', detail: 'x', status, code }),
})

function textIn(object: JsonObject, name: string): string {
  const value = object[name]
  if (typeof value !== 'string') throw new Error(`${name} is no text`)
  return value
}

const contextOf = (body: JsonObject) => body['context'] as JsonObject

function inContext(reply: Reply, change: (context: JsonObject) => JsonObject): Reply {
  return changed(reply, (body) => ({ ...body, context: change(contextOf(body)) }))
}

/** Tampers with the answers of one path, and forwards everything else. */
function tamper(ending: string, change: (reply: Reply, count: number) => Reply): void {
  proxy.script = async (seen, forward, count) => {
    const reply = await forward()
    return seen.path.endsWith(ending) ? change(reply, count) : reply
  }
}

/** The receipt under a head of the log's own key that commits to another tree. */
function forkAnswer(reply: Reply): Reply {
  return inContext(reply, (context) => ({
    ...context,
    receipt: forkedReceipt(context['receipt'] as JsonObject, service.keys),
  }))
}

beforeAll(async () => {
  service = await startService(makeLog())
  owner = PersonKey.fromFile(service.owner)
}, 60_000)

beforeEach(async () => {
  proxy = new TamperingProxy(service.url)
  url = await proxy.listen()
  agent = await agentOf(await connect())
})

afterEach(async () => {
  await proxy.close()
})

afterAll(async () => {
  await service?.stop()
  if (service !== undefined) removeLog(service)
})

describe('the network', () => {
  test('dropped, then overloaded, then taken: every attempt has the same bytes', async () => {
    proxy.script = (seen, forward, count) => {
      if (seen.path !== EVALUATION || count > 2) return forward()
      return count === 1
        ? 'drop'
        : { ...problem('overloaded', 503), headers: { 'retry-after': '1' } }
    }
    expect((await agent.authorize(REQUEST)).allowed).toBe(true)
    const bodies = proxy.bodies(EVALUATION)
    expect(bodies).toHaveLength(3)
    expect(new Set(bodies).size).toBe(1)
  })

  test('an answer that is lost: the repeat finds the entry, and the log has it once', async () => {
    const indexes: JsonValue[] = []
    proxy.script = async (seen, forward, count) => {
      const reply = await forward()
      if (seen.path !== EVALUATION) return reply
      indexes.push(contextOf(JSON.parse(reply.body) as JsonObject)['index'] ?? null)
      return count === 1 ? 'drop' : reply
    }
    const permission = await agent.authorize(REQUEST)
    expect(indexes).toEqual([permission.index, permission.index])
  })

  test('the log holds our statement under another valid signature: the receipt counts', async () => {
    proxy.script = async (seen, forward, count) => {
      if (seen.path !== EVALUATION || count > 1) return forward()
      const body = JSON.parse(seen.body) as { statement: string }
      const [header, payload, signature = ''] = body.statement.split('.')
      const other = toBase64url(otherSignature(fromBase64url(signature)))
      const statement = [header, payload, other].join('.')
      await fetch(service.url + EVALUATION, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, statement }),
      })
      return 'drop'
    }
    const permission = await agent.authorize(REQUEST)
    expect(permission.allowed).toBe(true)
    const sent = JSON.parse(proxy.bodies(EVALUATION)[1] ?? '') as { statement: string }
    const held = Buffer.from(decodeEntry(permission.receipt.entry).statement).toString()
    expect(held).not.toBe(sent.statement)
    expect(held.slice(0, held.lastIndexOf('.'))).toBe(
      sent.statement.slice(0, sent.statement.lastIndexOf('.')),
    )
  })

  test('no answer at all: service_unreachable after all attempts', async () => {
    const client = await connect({ timeoutMs: 1000, attempts: 2 })
    const quick = await agentOf(client)
    proxy.script = (seen, forward) => (seen.path === EVALUATION ? 'hang' : forward())
    expect(await codeOf(quick.authorize(REQUEST))).toBe('service_unreachable')
    expect(proxy.bodies(EVALUATION)).toHaveLength(2)
  })

  test('a redirect is not followed, nor asked for again: status and address are said, cut and harmless', async () => {
    for (const [status, location, said] of [
      [301, `${service.url}${EVALUATION}`, `${service.url}${EVALUATION}`],
      [302, '/sign-in', '/sign-in'],
      [307, '\u009b2Jhttps://x', '\\u{9b}2Jhttps://x'],
      [308, `https://x/${'y'.repeat(4000)}`, `https://x/${'y'.repeat(190)}…`],
    ] as const) {
      tamper(EVALUATION, () => ({ status, body: '', headers: { location } }))
      const before = proxy.bodies(EVALUATION).length
      const error = await agent.authorize(REQUEST).catch((thrown: unknown) => thrown)
      const message = `POST ${EVALUATION}: status ${status}, to ${said}`
      expect(error).toMatchObject({ code: 'answer_redirected', status, message })
      expect(proxy.bodies(EVALUATION).length - before).toBe(1)
    }
  })

  test('the caller gives up', async () => {
    const giveUp = new AbortController()
    proxy.script = (seen, forward) => {
      if (seen.path !== EVALUATION) return forward()
      giveUp.abort()
      return 'hang'
    }
    expect(await codeOf(agent.authorize(REQUEST, { signal: giveUp.signal }))).toBe('aborted')
  })

  test('one statement of many meets "not now": it alone is sent again, as it is', async () => {
    tamper(STATEMENTS, (reply, count) =>
      count > 1
        ? reply
        : changed(reply, (body) => {
            const [first = null] = body['results'] as readonly JsonValue[]
            const refused = JSON.parse(problem('overloaded', 503).body) as JsonObject
            const [sent = ''] = proxy.bodies(STATEMENTS)
            const { statements } = JSON.parse(sent) as {
              statements: readonly { statement: string }[]
            }
            const bytes = statements.map(({ statement }) => utf8Encode(statement))
            const receipts = expandReceipts(body['receipts'], bytes).slice(0, 1)
            return {
              results: [first, { status: 'refused', problem: refused }],
              receipts: receiptSetObject(receipts, bytes),
            }
          }),
    )
    const event = { ...REQUEST, outcome: 'success' } as const
    const results = await agent.recordMany([event, { ...event, details: 'the second' }])
    expect(results).toMatchObject([{ verdict: 'absent' }, { verdict: 'absent' }])
    const [both = '', second = ''] = proxy.bodies(STATEMENTS)
    const { statements } = JSON.parse(both) as { statements: readonly JsonValue[] }
    expect(JSON.parse(second)).toEqual({ statements: [statements[1]], receipts: 'shared' })
  })

  test('answers that are none', async () => {
    const answers: readonly [Reply, string][] = [
      [{ status: 200, body: 'hello' }, 'answer_malformed'],
      [{ status: 200, body: '{"decision":true}' }, 'answer_malformed'],
      [{ status: 400, body: '<html>' }, 'answer_unexpected'],
      [{ status: 503, body: '<html>' }, 'answer_unexpected'],
      [{ status: 403, body: '{"message":"Forbidden"}' }, 'answer_unexpected'],
      [{ status: 403, body: ' '.repeat(400_000) }, 'answer_unexpected'],
      [{ status: 304, body: '' }, 'answer_unexpected'],
      [{ status: 204, body: '' }, 'answer_unexpected'],
      [{ status: 200, body: '', headers: { 'content-encoding': 'br' } }, 'answer_encoded'],
      [{ status: 503, body: '', headers: { 'content-encoding': 'br' } }, 'answer_unexpected'],
      [{ status: 206, body: '{"decision":true}' }, 'answer_unexpected'],
      [problem('statement_malformed', 400), 'statement_malformed'],
      [problem('from_the_future', 400), 'service_refused'],
      [{ status: 200, body: `"${'x'.repeat(34_000_000)}"` }, 'answer_malformed'],
    ]
    for (const [reply, code] of answers) {
      tamper(EVALUATION, () => reply)
      expect(await codeOf(agent.authorize(REQUEST))).toBe(code)
    }
    const code = `from_${'the_'.repeat(99)}future`
    tamper(EVALUATION, () => problem(code, 400))
    const error = await agent.authorize(REQUEST).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: `the service says: ${code.slice(0, 300)}…` })
    tamper(STATEMENTS, () => ({ status: 200, body: '{"results":[]}' }))
    expect(await codeOf(agent.record({ ...REQUEST, outcome: 'success' }))).toBe('answer_malformed')
  })

  test('no read takes more bytes than what it asks for can have', async () => {
    const client = await connect()
    const reader = new Reader(client, PersonKey.fromFile(service.operator).as('operator'))
    const digest = toBase64url(new Uint8Array(32))
    const reads: readonly [string, number, () => Promise<unknown>][] = [
      ['/.well-known/trustwarden', 262_144, () => connect()],
      ['/checkpoint', 65_536, () => client.checkpoint()],
      ['/v1/rotations', 16_777_216, () => client.followRotations()],
      ['/v1/entries/1', 262_144, () => reader.entry(1)],
      ['/v1/chains/log', 65_536, () => reader.chain('log').next()],
      ['/v1/agents/', 2_359_296, () => reader.agent(agent.id)],
      ['/tile/entries/000.p/3', 3 * 65_537, () => reader.bundle(0, 3)],
      ['/tile/0/000.p/3', 3 * 32, () => reader.tile(0, 0, 3)],
      ['/v1/pinned/', 4_194_304, () => reader.pinned(digest)],
      ['/proofs/inclusion', 65_536, () => reader.inclusion(0, 3)],
      ['/proofs/range', 65_536, () => reader.rangeProof(0, 2, 3)],
      ['/proofs/consistency', 65_536, () => reader.consistency(1, 3)],
      ['/v1/other', 33_554_432, () => client.read(undefined, '/v1/other')],
      ['/v1/other', 9, () => client.readBytes(undefined, '/v1/other', { bytesMax: 9 })],
    ]
    for (const [path, bytesMax, read] of reads) {
      const answered = async (length: number): Promise<string> => {
        const body = ' '.repeat(length)
        proxy.script = (seen, forward) =>
          seen.path.includes(path) ? { status: 200, body } : forward()
        return read().then(
          () => 'read',
          (thrown: unknown) => String(thrown),
        )
      }
      const over = `status 200 and over ${bytesMax} bytes`
      expect([path, await answered(bytesMax + 1)]).toEqual([path, expect.stringContaining(over)])
      expect([path, await answered(bytesMax)]).toEqual([path, expect.not.stringContaining(over)])
    }
  })

  test('performed, and then the log is away: record_failed', async () => {
    proxy.script = (seen, forward) => (seen.path.endsWith(STATEMENTS) ? 'drop' : forward())
    let runs = 0
    const work = agent.perform(REQUEST, () => {
      runs += 1
    })
    expect(await codeOf(work)).toBe('record_failed')
    expect(runs).toBe(1)
  })
})

describe('a service that lies', () => {
  test("another statement's receipt", async () => {
    const { receipt } = await agent.authorize(REQUEST)
    const other = {
      format: 'trustwarden-receipt/1',
      index: receipt.index,
      entry: Buffer.from(receipt.entry).toString('base64url'),
      path: receipt.path.map((hash) => Buffer.from(hash).toString('base64url')),
      head: receipt.head,
    }
    tamper(EVALUATION, (reply) => inContext(reply, (context) => ({ ...context, receipt: other })))
    expect(await codeOf(agent.authorize(REQUEST))).toBe('receipt_mismatch')
  })

  test('a receipt with one bit changed, or none', async () => {
    for (const change of [
      (receipt: JsonObject) => ({ ...receipt, entry: flipped(textIn(receipt, 'entry'), 9) }),
      (receipt: JsonObject) => ({ ...receipt, head: textIn(receipt, 'head').replace('\n', '\n1') }),
      (receipt: JsonObject) => ({ ...receipt, index: 0 }),
      () => null,
    ]) {
      tamper(EVALUATION, (reply) =>
        inContext(reply, (context) => ({
          ...context,
          receipt: change(context['receipt'] as JsonObject),
        })),
      )
      expect(await codeOf(agent.authorize(REQUEST))).toBe('receipt_invalid')
    }
  })

  test('a denial told as an allow, with the permit of another', async () => {
    const { permit } = await agent.authorize(REQUEST)
    tamper(EVALUATION, (reply) =>
      changed(reply, (body) => ({
        decision: true,
        context: { ...contextOf(body), effect: 'allow', reasons: [], permit: permit ?? null },
      })),
    )
    const denied = { ...REQUEST, action: 'delete:transactions' }
    expect(await codeOf(agent.authorize(denied))).toBe('answer_malformed')
  })

  test('a permit under another key, of another decision, or none', async () => {
    const earlier = await agent.authorize(REQUEST)
    const forger = signerFromPrivateKey(generateKey('EdDSA'))
    const forge = (text: string): string => {
      const kid = keyId(noblePrimitives, forger.spki)
      return signPermit(kid, parsePermit(text), forger.sign)
    }
    for (const change of [forge, () => earlier.permit ?? null, () => null]) {
      tamper(EVALUATION, (reply) =>
        inContext(reply, (context) => ({ ...context, permit: change(textIn(context, 'permit')) })),
      )
      expect(await codeOf(agent.authorize(REQUEST))).toBe('permit_invalid')
    }
  })

  test('two roots of one size, by the log key itself: nothing is trusted after', async () => {
    tamper(EVALUATION, forkAnswer)
    // The receipt is the log's by every signature: nothing contradicts it yet.
    expect((await agent.authorize(REQUEST)).allowed).toBe(true)
    proxy.script = (_seen, forward) => forward()
    expect(await codeOf(agent.client.checkpoint())).toBe('log_forked')
    expect(await codeOf(agent.authorize(REQUEST))).toBe('log_forked')
    expect(await codeOf(agent.record({ ...REQUEST, outcome: 'success' }))).toBe('log_forked')
  })

  test('a history that does not extend the one before: found by its consistency proof', async () => {
    tamper(EVALUATION, forkAnswer)
    expect((await agent.authorize(REQUEST)).allowed).toBe(true)
    proxy.script = (_seen, forward) => forward()
    expect(await codeOf(agent.confirmHeads())).toBe('log_forked')
    expect(await codeOf(agent.authorize(REQUEST))).toBe('log_forked')
  })

  test('no consistency proofs: waited for, asked again, and never taken for one', async () => {
    const refusing = await agentOf(await connect({ headIntervalMs: 0 }))
    proxy.script = (seen, forward) =>
      seen.path.includes('/proofs/consistency') ? problem('not_found', 404) : forward()
    expect((await refusing.authorize(REQUEST)).allowed).toBe(true)
    expect(refusing.client.heads.unproven.length).toBeGreaterThan(0)
    expect(await codeOf(refusing.confirmHeads())).toBe('not_found')
    proxy.script = (_seen, forward) => forward()
    await refusing.confirmHeads()
    expect(refusing.client.heads.unproven).toEqual([])
  })

  test('a range with an entry left out, exchanged or moved, and one beyond the checkpoint', async () => {
    const operator = PersonKey.fromFile(service.operator)
    const client = await connect()
    const reader = new Reader(client, operator.as('operator'))
    const { size } = (await client.checkpoint()).head
    expect((await reader.entries(0, size)).entries).toHaveLength(size)
    const part = await reader.entries(1, 4)
    expect(part.entries.map(({ index }) => index)).toEqual([1, 2, 3])
    expect(parseRange(formatRange(part.range))).toEqual(part.range)
    const bundle = (change: (entries: readonly Uint8Array[]) => readonly Uint8Array[]) => {
      tamper(`/tile/entries/000.p/${size}`, (reply) => {
        const entries = decodeBundle(Buffer.from(reply.body, 'latin1'), size)
        return { ...reply, body: Buffer.from(encodeBundle(change(entries))).toString('latin1') }
      })
      return codeOf(reader.entries(1, 4))
    }
    expect(await bundle((entries) => entries.toSpliced(2, 1))).toBe('answer_malformed')
    expect(await bundle((entries) => entries.with(2, entries[3] ?? new Uint8Array()))).toBe(
      'receipt_invalid',
    )
    expect(await bundle((entries) => entries.toReversed())).toBe('receipt_invalid')
    tamper(`/proofs/range?start=1&end=4&size=${size}`, (reply) =>
      changed(reply, (body) => ({ ...body, path: [] })),
    )
    expect(await codeOf(reader.entries(1, 4))).toBe('receipt_invalid')
    proxy.script = (_seen, forward) => forward()
    expect(await codeOf(reader.entries(1, size + 1))).toBe('range_invalid')
    expect(await codeOf(reader.entries(4, 4))).toBe('argument_invalid')
    expect(await codeOf(reader.entries(-1, 4))).toBe('argument_invalid')
  })

  test('a certificate or lineage that is not the recorded one', async () => {
    const changes: readonly ((body: JsonObject) => JsonObject)[] = [
      (body) => ({ ...body, certificate: flipped(textIn(body, 'certificate'), 100) }),
      (body) => ({ ...body, lineage: { format: 'trustwarden-lineage/1', receipts: [] } }),
      (body) => ({ ...body, lineage: null }),
      (body) => {
        const lineage = body['lineage'] as JsonObject
        const [, self = null] = lineage['receipts'] as readonly JsonValue[]
        return { ...body, lineage: { ...lineage, receipts: [self] } }
      },
    ]
    for (const change of changes) {
      tamper('/v1/agents', (reply) => changed(reply, change))
      const child = agent.startChild({ name: 'child', scope: ['read:transactions'] })
      expect(await codeOf(child)).toBe('issuance_invalid')
    }
  })

  test('a recorded refusal under another name', async () => {
    tamper('/v1/agents', (reply) => changed(reply, (body) => ({ ...body, code: 'revoked' })))
    const child = agent.startChild({ name: 'child', scope: ['delete:transactions'] })
    expect(await codeOf(child)).toBe('receipt_mismatch')
  })

  test("another log's genesis, or none", async () => {
    for (const genesis of [null, 'AAAA', '']) {
      tamper('/.well-known/trustwarden', (reply) =>
        changed(reply, (body) => ({ ...body, genesis })),
      )
      expect(['service_untrusted', 'answer_malformed']).toContain(await codeOf(connect()))
    }
  })

  test('an entry under another index, and disclosures that nobody made', async () => {
    const operator = PersonKey.fromFile(service.operator)
    const client = await connect()
    const { index } = await enrollReader(client, operator, { key: PersonKey.generate() })
    expect(index).toBeGreaterThan(1)
    const { receipt } = await agent.authorize(REQUEST)
    tamper(`/v1/entries/${receipt.index}`, (reply) =>
      changed(reply, (body) => ({ ...body, disclosures: ['W10'] })),
    )
    expect(await codeOf(agent.entry(receipt.index))).toBe('answer_malformed')
    proxy.script = async (seen, forward) => {
      if (!seen.path.endsWith(`/v1/entries/${receipt.index}`)) return forward()
      return changed(await forward(), (body) => ({
        ...body,
        receipt: { ...(body['receipt'] as JsonObject), index: 1 },
      }))
    }
    expect(await codeOf(agent.entry(receipt.index))).toBe('receipt_mismatch')
  })
})

describe('a chain', () => {
  const CHAIN = '/v1/chains/'
  const listed = async (): Promise<number[]> => {
    const all: number[] = []
    for await (const { seq } of agent.entries()) all.push(seq)
    return all
  }

  test('with an entry left out, added or swapped is broken, and none of another subject is taken', async () => {
    for (let n = 0; n < 2; n++) await agent.authorize(REQUEST)
    expect(await listed()).toEqual([2, 1, 0])
    const other = await agentOf(await connect())
    const foreign = (await other.authorize(REQUEST)).index
    const forge = (change: (end: JsonObject) => JsonObject): void => {
      proxy.script = async (seen, forward) =>
        seen.path.includes(CHAIN) ? changed(await forward(), change) : forward()
    }
    const lie = (end: Partial<JsonObject>) => forge((said) => ({ ...said, ...end }) as JsonObject)
    for (const length of [2, 4, 0]) {
      lie({ length })
      expect(await codeOf(listed())).toBe('chain_broken')
    }
    lie({ newest: foreign, length: 3 })
    expect(await codeOf(listed())).toBe('role_forbidden')
    lie({ newest: '7' })
    expect(await codeOf(listed())).toBe('answer_malformed')
    // An older end is a shorter chain, and nothing in the chain can tell: the service alone says where it ends.
    const older = agent.lineage.receipts[0]?.index ?? -1
    lie({ newest: older, length: 1 })
    expect(await listed()).toEqual([0])
  })

  test('whose entry is answered with another one, its receipt genuine, is refused', async () => {
    await agent.authorize(REQUEST)
    const first = agent.lineage.receipts[0]?.index ?? -1
    let asked = 0
    proxy.script = async (seen, forward) => {
      const reply = await forward()
      if (!seen.path.includes('/v1/entries/') || ++asked > 1) return reply
      return changed(reply, (body) => ({
        ...body,
        receipt: { ...(body['receipt'] as JsonObject), index: first },
      }))
    }
    expect(await codeOf(listed())).toMatch(/^receipt_/)
  })

  test('with an entry that the log forged for it is broken: it is not the one that the next one names', async () => {
    const { index } = await agent.authorize(REQUEST)
    const { size } = (await agent.client.checkpoint()).head
    proxy.script = async (seen, forward) => {
      const reply = await forward()
      if (!seen.path.includes('/v1/entries/') || seen.path.endsWith(`/${index}`)) return reply
      return changed(reply, (body) => {
        const receipt = parseReceipt(body['receipt'] ?? null)
        const { timeMs, ...rest } = decodeEntry(receipt.entry)
        const entry = encodeEntry({ ...rest, timeMs: timeMs - 1 })
        return { ...body, receipt: forgedReceipt({ ...receipt, entry }, size + 9, service.keys) }
      })
    }
    expect(await codeOf(listed())).toBe('chain_broken')
  })
})
