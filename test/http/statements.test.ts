/**
 * Goal: what comes in over HTTP is read strictly, answered one by one in order, registered once however often it is
 * sent, and never logged. Method: real statements and hostile bodies into the opened service.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openReceipt, parseReceipt, parseTrust, utf8Encode } from '@trustwarden/proofs'
import { Encoder } from 'cbor-x'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { ServiceError } from '../../src/errors.ts'
import {
  BODY_MEDIA,
  parseBody,
  readStatements,
  readSubmitted,
  STATEMENT_MEDIA,
} from '../../src/http/body.ts'
import { outcomeOf, type Reply, resultsOf, type TestClient } from '../support/client.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { drawPerson, type OpenedService, openTestService } from '../support/opened-service.ts'

const STATEMENTS = '/logs/main/v1/statements'
let opened: OpenedService
let agent: TestClient

beforeAll(async () => {
  opened = await openTestService()
  agent = (await opened.owner.issue('finance/bot/inst-00001')).agent
})
afterAll(() => opened.close())

function size(): number {
  return opened.service.log.head().size
}

function codeOf(reply: Reply): unknown {
  return reply.json()['code']
}

function sendJson(text: string, path = STATEMENTS): Promise<Reply> {
  const headers = { 'content-type': 'application/json' }
  return agent.ask('POST', path, { headers, body: utf8Encode(text) })
}

function sendCbor(bytes: Uint8Array, path = STATEMENTS): Promise<Reply> {
  return agent.ask('POST', path, { headers: { 'content-type': 'application/cbor' }, body: bytes })
}

describe('results', () => {
  test('stand in the order of the statements, each independent of the others', async () => {
    const good = [agent.makeAction(), agent.makeAction(), agent.makeAction()]
    const stranger = opened.as(drawPerson('owner')).makeRevocation('agent:spiffe://example.org/no')
    const [first, second, third] = good
    const mixed = [
      first,
      { statement: 'no.statement.here' },
      second,
      stranger,
      { statement: 7 },
      { ...third, unknown: true },
      { statement: opened.owner.makeIssue('finance/x/inst-00001').made.statement },
      third,
    ]
    const reply = await agent.post(STATEMENTS, { statements: mixed })
    expect(reply.status).toBe(200)
    const results = resultsOf(reply)
    const words = results.map((result) => {
      const problem = result['problem'] as Readonly<Record<string, unknown>> | undefined
      return problem?.['code'] ?? result['outcome']
    })
    expect(words).toEqual([
      'absent',
      'statement_malformed',
      'absent',
      'signer_unknown',
      'request_malformed',
      'request_malformed',
      'type_unknown',
      'absent',
    ])
    const trust = parseTrust(nativePrimitives, utf8Encode(opened.anchor))
    for (const result of results.filter((one) => one['status'] === 'registered')) {
      const receipt = parseReceipt(result['receipt'] ?? null)
      expect(openReceipt(nativePrimitives, receipt, trust).index).toBe(result['index'])
    }
  })

  test('an empty list, and one of 1,001, are refused whole; 1,000 are read', async () => {
    const made = agent.makeAction()
    const before = size()
    expect(codeOf(await agent.post(STATEMENTS, { statements: [] }))).toBe('request_malformed')
    const over = await agent.post(STATEMENTS, { statements: Array(1001).fill({ statement: 'x' }) })
    expect([over.status, codeOf(over)]).toEqual([413, 'request_too_large'])
    expect(size()).toBe(before)
    const full = await agent.post(STATEMENTS, {
      statements: [...Array<unknown>(999).fill({ statement: 'x' }), made],
    })
    expect(resultsOf(full)).toHaveLength(1000)
    expect(resultsOf(full).at(-1)?.['outcome']).toBe('absent')
  })

  test('a body of 1 MiB is read, one byte more is not', async () => {
    const frame = (length: number) => `{"statements":[{"statement":"${'x'.repeat(length - 33)}"}]}`
    const fits = await sendJson(frame(1_048_576))
    expect(frame(1_048_576)).toHaveLength(1_048_576)
    expect([fits.status, outcomeOf(fits)]).toEqual([200, 'statement_too_large'])
    const over = await sendJson(frame(1_048_577))
    expect([over.status, codeOf(over)]).toEqual([413, 'request_too_large'])
  })

  test('a retry gets the same entry, in one request and in the next, and no second leaf', async () => {
    const made = agent.makeAction()
    const before = size()
    const together = resultsOf(await agent.submit([made, made, made]))
    const again = resultsOf(await agent.submit([made]))
    const all = [...together, ...again]
    expect(new Set(all.map((result) => result['index'])).size).toBe(1)
    expect(all.filter((result) => result['repeated'] === true)).toHaveLength(3)
    expect(size()).toBe(before + 1)
  })

  test('one event id for two statements is a conflict', async () => {
    await agent.submit([agent.makeAction(null, { jti: 'twice', details: 'a' })])
    const reply = await agent.submit([agent.makeAction(null, { jti: 'twice', details: 'b' })])
    expect(outcomeOf(reply)).toBe('event_conflict')
  })

  test('an issuance is 201, its repeat 200, a recorded refusal 403 with its receipt', async () => {
    const { reply, made } = await opened.owner.issue('finance/one/inst-00001')
    expect(reply.status).toBe(201)
    const again = await opened.owner.post('/logs/main/v1/agents', made)
    expect([again.status, again.json()['index']]).toEqual([200, reply.json()['index']])
    expect(again.json()['certificate']).toBe(reply.json()['certificate'])
    const { reply: refused } = await agent.issue('finance/two/inst-00001', {
      scope: ['delete:**'],
    })
    expect([refused.status, codeOf(refused)]).toEqual([403, 'scope_not_contained'])
    expect(parseReceipt(refused.json()['receipt'] ?? null).index).toBe(refused.json()['index'])
  })

  test('a decision is 200 for allow and deny; X-Request-ID comes back, with a problem too', async () => {
    const allowed = await agent.decide('read:transactions')
    expect([allowed.reply.status, allowed.effect]).toEqual([200, 'allow'])
    expect((await agent.act(allowed)).outcome).toBe('matched')
    const denied = await agent.decide('delete:everything')
    expect([denied.reply.status, denied.reply.json()['decision']]).toEqual([200, false])
    const id = { 'x-request-id': 'caller-7' }
    const { made } = agent.makeDecision()
    const echoed = await agent.post('/access/v1/evaluation', made, id)
    expect([echoed.status, echoed.headers['x-request-id']]).toEqual([200, 'caller-7'])
    const problem = await agent.post('/access/v1/evaluation', { nothing: 1 }, id)
    expect([problem.status, problem.headers['x-request-id']]).toEqual([400, 'caller-7'])
    const hostile = await agent.post('/access/v1/evaluation', made, { 'x-request-id': 'a b' })
    expect(hostile.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })
})

const cbor = new Encoder({ mapsAsObjects: true, useRecords: false })

describe('bodies', () => {
  test('CBOR says what JSON says; byte strings stand for base64url', async () => {
    const { made, agent: born } = opened.owner.makeIssue('finance/cbor/inst-00001')
    const body = { statement: made.statement, csr: Buffer.from(made.csr ?? '', 'base64url') }
    const reply = await sendCbor(cbor.encode(body), '/logs/main/v1/agents')
    expect([reply.status, reply.json()['instance']]).toEqual([201, born.principal])
    const action = agent.makeAction()
    const results = resultsOf(await sendCbor(cbor.encode({ statements: [action] })))
    expect(results[0]?.['outcome']).toBe('absent')
    expect(outcomeOf(await agent.submit([action]))).toBe('absent')
  })

  const hostileJson: Readonly<Record<string, string>> = {
    'no JSON': '{',
    nothing: '',
    'a duplicate member': '{"statements":[],"statements":[{"statement":"x"}]}',
    'a duplicate member inside': '{"statements":[{"statement":"x","statement":"y"}]}X',
    'the member __proto__': '{"__proto__":{"statements":[]},"statements":[{"statement":"x"}]}',
    'the member constructor': '{"constructor":{},"statements":[{"statement":"x"}]}',
    'deep nesting': `{"statements":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    'more values than any request has': `{"statements":[{"statement":"x","disclosures":[${'0,'.repeat(65_530)}0]}]}`,
    'an unsafe number': '{"statements":[{"statement":9007199254740993}]} ',
    'a byte order mark': '\ufeff{"statements":[{"statement":"x"}]}',
    'a lone surrogate': '{"statements":"\\ud800"}',
    'an array': '[]',
    'an unknown member': '{"statements":[{"statement":"x"}],"more":1}',
  }
  for (const [name, text] of Object.entries(hostileJson))
    test(`JSON with ${name} is refused whole`, async () => {
      const before = size()
      const reply = await sendJson(text)
      expect([reply.status, codeOf(reply)]).toEqual([400, 'request_malformed'])
      expect(size()).toBe(before)
    })

  const bytes = (hex: string) => Buffer.from(hex, 'hex')
  // {"statements": …} up to the value.
  const name = (text: string) =>
    Buffer.concat([Buffer.from([0x60 + text.length]), Buffer.from(text)])
  const head = Buffer.concat([bytes('a1'), name('statements')])
  // A date as text, which a decoder that follows tags makes an object of.
  const text = Buffer.concat([bytes('14'), Buffer.from('2013-03-21T20:04:00Z')])
  // [{"statement":"x"}]: read, and refused as a statement and not as a body.
  const one = Buffer.concat([bytes('81a1'), name('statement'), bytes('6178')])
  const list = head.subarray(1)

  test('CBOR of the frame that the hostile ones are made of is read', async () => {
    const reply = await sendCbor(Buffer.concat([head, one]))
    expect([reply.status, outcomeOf(reply)]).toEqual([200, 'statement_malformed'])
  })

  const hostileCbor: Readonly<Record<string, Uint8Array>> = {
    nothing: bytes(''),
    'an array head of 33 million items': Buffer.concat([head, bytes('9a01ffffff')]),
    'nested heads of 33 million items': Buffer.concat([
      head,
      ...Array<Buffer>(200).fill(bytes('9a01ffffff')),
    ]),
    'an array head of 2^64−1 items': Buffer.concat([head, bytes('9bffffffffffffffff')]),
    'a map head of 2^32−1 members': bytes('baffffffff'),
    'a byte string longer than the body': Buffer.concat([head, bytes('5a7fffffff')]),
    'a text longer than the body': Buffer.concat([head, bytes('7a7fffffff')]),
    'deep nesting': Buffer.concat([head, Buffer.alloc(500_000, 0x81)]),
    'more items than any request has': Buffer.concat([
      head,
      bytes('81a2'),
      one.subarray(2),
      name('disclosures'),
      bytes('9a0000ffff'),
      Buffer.alloc(65_535),
    ]),
    'a duplicate key': Buffer.concat([bytes('a2'), list, bytes('80'), list, one]),
    'the key __proto__': Buffer.concat([bytes('a169'), Buffer.from('__proto__'), bytes('a0')]),
    'a number as key': bytes('a10180'),
    'a tag around it all': Buffer.concat([bytes('d9d9f7'), head, one]),
    'a tag inside': Buffer.concat([head, bytes('81a1'), name('statement'), bytes('c078'), text]),
    'a shared reference': Buffer.concat([head, bytes('d81c'), one]),
    'a generic object': Buffer.concat([
      head,
      bytes('d81b8265'),
      Buffer.from('Error'),
      bytes('61'),
      Buffer.from('x'),
    ]),
    'an indefinite array': Buffer.concat([head, bytes('9f'), one.subarray(1), bytes('ff')]),
    'an indefinite map': Buffer.concat([bytes('bf'), list, one, bytes('ff')]),
    'an indefinite text': Buffer.concat([
      head,
      bytes('81a1'),
      name('statement'),
      bytes('7f6178ff'),
    ]),
    'a float': Buffer.concat([head, bytes('81a1'), name('statement'), bytes('fb3ff8000000000000')]),
    undefined: Buffer.concat([head, bytes('81a1'), name('statement'), bytes('f7')]),
    'text that is no UTF-8': Buffer.concat([
      head,
      bytes('81a1'),
      name('statement'),
      bytes('62c328'),
    ]),
    'a key that is no UTF-8': Buffer.concat([bytes('a2'), list, one, bytes('62c32880')]),
    'bytes after the item': Buffer.concat([head, one, bytes('00')]),
    'an integer beyond 2^53−1': Buffer.concat([
      head,
      bytes('81a1'),
      name('statement'),
      bytes('1b0020000000000000'),
    ]),
  }
  for (const [name, body] of Object.entries(hostileCbor))
    test(`CBOR with ${name} is refused whole, and costs no memory`, async () => {
      const before = process.memoryUsage().rss
      const reply = await sendCbor(body)
      expect([reply.status, codeOf(reply)]).toEqual([400, 'request_malformed'])
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    })

  test('any bytes are read or refused in our words, and nothing else is thrown', () => {
    const member = fc.oneof(
      fc.string(),
      fc.jsonValue(),
      fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
    )
    const submitted = fc.record(
      {
        statement: member,
        media: fc.oneof(fc.constantFrom('application/cose', 'application/jose'), member),
        csr: member,
        disclosures: fc.oneof(fc.array(member), member),
        attachments: fc.oneof(fc.array(member), member),
        statements: fc.array(member),
      },
      { requiredKeys: [] },
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.jsonValue().map((value) => new Uint8Array(cbor.encode(value))),
      submitted.map((value) => new Uint8Array(cbor.encode(value))),
      submitted.map((value) => utf8Encode(JSON.stringify(value))),
      fc.tuple(fc.jsonValue(), fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
        const encoded = new Uint8Array(cbor.encode(value))
        encoded[at % encoded.length] = byte
        return encoded
      }),
    )
    fc.assert(
      fc.property(body, fc.constantFrom(...BODY_MEDIA, ...STATEMENT_MEDIA), (input, media) => {
        try {
          const read = parseBody(input, media)
          for (const one of [read, ...readStatements(read).statements]) readSubmitted(one, 'body')
        } catch (error) {
          expect(error).toBeInstanceOf(ServiceError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('a map key in CBOR that V8 takes for an index is refused: it would cost a thousand times its bytes', () => {
    for (const name of ['0', '1000', '9x']) {
      const input = new Uint8Array(cbor.encode({ statements: [{ [name]: 1 }] }))
      expect(() => parseBody(input, 'application/cbor'), name).toThrow(/begins with a digit/)
    }
    const many = new Uint8Array(cbor.encode(Array.from({ length: 20_000 }, () => ({ x: 1 }))))
    expect(parseBody(many, 'application/cbor')).toHaveLength(20_000)
  })

  test('another content type, or none, is refused', async () => {
    const body = utf8Encode('{"statements":[]}')
    for (const headers of [
      {},
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json, application/cbor' },
      { 'content-type': 'multipart/form-data; boundary=x' },
      { 'content-type': '__proto__' },
    ]) {
      const reply = await agent.ask('POST', STATEMENTS, { headers, body })
      expect([reply.status, codeOf(reply)]).toEqual([415, 'media_type_unsupported'])
    }
    const none = await agent.ask('POST', STATEMENTS, {})
    expect([none.status, codeOf(none)]).toEqual([400, 'request_malformed'])
  })

  test('a path that is no path is refused by a problem document', async () => {
    for (const path of ['/%zz', '/logs/main/v1/entries/%e0%a4%a', '/logs/main/tile/0/%']) {
      const reply = await agent.ask('GET', path)
      expect([path, reply.status, codeOf(reply)]).toEqual([path, 400, 'request_malformed'])
      expect(reply.headers['content-type']).toContain('application/problem+json')
      expect(reply.headers['x-request-id']).toBe(reply.json()['request_id'])
    }
    const long = await agent.ask('GET', `/logs/main/v1/agents/${'a'.repeat(3000)}`)
    expect([long.status, codeOf(long)]).toEqual([404, 'not_found'])
  })
})

describe('credentials', () => {
  const PATH = '/logs/main/v1/entries/0'
  let operator: TestClient
  beforeAll(() => {
    operator = opened.operator
  })

  async function codeWith(authorization: string, path = PATH): Promise<unknown> {
    const reply = await operator.ask('GET', path, { headers: { authorization } })
    return reply.status === 200 ? 'read' : codeOf(reply)
  }

  test('a credential is for one path, method, log and signer, and for 60 s; a replay within them reads the same', async () => {
    const credential = operator.credential(PATH)
    expect(await codeWith(credential)).toBe('read')
    expect(await codeWith(credential)).toBe('read')
    expect(await codeWith(credential, '/logs/main/v1/entries/1')).toBe('credential_invalid')
    expect(await codeWith(credential, `${PATH}?x=1`)).toBe('credential_invalid')
    expect(await codeWith(operator.credential(PATH, { method: 'POST' }))).toBe('credential_invalid')
    expect(await codeWith(operator.credential(PATH, { aud: 'other.example/logs/main' }))).toBe(
      'credential_invalid',
    )
    const nowS = Math.floor(Date.now() / 1000)
    expect(await codeWith(operator.credential(PATH, { iat: nowS - 50 }))).toBe('read')
    expect(await codeWith(operator.credential(PATH, { iat: nowS - 62 }))).toBe('credential_expired')
    expect(await codeWith(operator.credential(PATH, { iat: nowS + 62 }))).toBe('credential_expired')
  })

  test('another key, a stranger, and bytes of any sort are refused', async () => {
    const { key } = drawPerson('operator')
    const forged = opened.as({ principal: operator.principal, key })
    expect(await codeWith(forged.credential(PATH))).toBe('credential_invalid')
    const kid = operator.identity.key.kid
    const lying = opened.as({ principal: operator.principal, key: { ...key, kid } })
    expect(await codeWith(lying.credential(PATH))).toBe('credential_invalid')
    expect(await codeWith(opened.as(drawPerson('reader')).credential(PATH))).toBe(
      'credential_invalid',
    )
    const right = operator.credential(PATH)
    for (const wrong of [
      'TrustWarden',
      'TrustWarden ..',
      'TrustWarden a.b.c',
      right.replace('TrustWarden', 'Bearer'),
      `${right}.x`,
      right.slice(0, -2),
      `TrustWarden ${'a'.repeat(5000)}`,
      right.replace('.', '..'),
    ])
      expect(await codeWith(wrong)).toBe('credential_invalid')
    // A statement is not a credential, nor the other way round.
    const statement = operator.makeRevocation('agent:spiffe://example.org/no').statement
    expect(await codeWith(`TrustWarden ${statement}`)).toBe('credential_invalid')
    const jws = right.slice('TrustWarden '.length)
    expect(outcomeOf(await operator.submit([{ statement: jws }]))).toBe('statement_malformed')
  })
})

describe('the log of the process', () => {
  test('holds request ids and nothing of bodies, headers, queries or paths', async () => {
    const canary = 'canary7f3a'
    await agent.post(STATEMENTS, { statements: [{ statement: canary }] }, { 'x-note': canary })
    await agent.submit([agent.makeAction(null, { details: canary, jti: canary })])
    await sendJson(`{"${canary}":`)
    await sendCbor(Buffer.from(canary))
    await agent.ask('GET', `/logs/main/v1/entries/${canary}?q=${canary}`, {
      headers: { authorization: `TrustWarden ${canary}`, cookie: canary, 'user-agent': canary },
    })
    await agent.ask('GET', `/${canary}/%zz`)
    const credential = opened.operator.credential('/metrics')
    const reply = await opened.operator.ask('GET', '/metrics', {
      headers: { authorization: credential },
    })
    expect(reply.status).toBe(200)
    const logged = opened.logged()
    expect(logged).not.toContain(canary)
    expect(logged).not.toContain(credential.slice('TrustWarden '.length, 40))
    const lines = logged.trim().split('\n')
    const ids = lines.map((line) => (JSON.parse(line) as { request_id?: string }).request_id)
    expect(ids).toContain(reply.headers['x-request-id'])
  })
})

describe('a service that ends', () => {
  test('after a fatal error nothing is acknowledged, nothing is read, and the process is told once', async () => {
    const here = await openTestService()
    const { agent: bot } = await here.owner.issue('finance/bot/inst-00001')
    const sizeBefore = here.service.log.head().size
    // Somebody else writes the head record: the next batch is on disk, and its record cannot be.
    const record = join(here.config.head, 'record')
    const image = readFileSync(record)
    writeFileSync(
      record,
      image.map((byte) => (byte + 1) % 256),
    )
    const reply = await bot.submit([bot.makeAction(), bot.makeAction()])
    expect([reply.status, codeOf(reply)]).toEqual([503, 'outcome_unknown'])
    expect(reply.bytes.toString()).not.toContain('receipt')
    expect(here.fatals).toHaveLength(1)
    expect(here.service.log.head().size).toBe(sizeBefore)
    for (const path of ['/logs/main/checkpoint', '/logs/main/tile/0/000.p/1']) {
      const read = await bot.ask('GET', path)
      expect([path, read.status, codeOf(read)]).toEqual([path, 503, 'shutting_down'])
    }
    expect((await bot.ask('GET', '/readyz')).status).toBe(503)
    expect((await bot.ask('GET', '/livez')).status).toBe(200)
    expect(codeOf(await bot.submit([bot.makeAction()]))).toBe('shutting_down')
    expect(here.fatals).toHaveLength(1)
    await here.close()
  })

  test('closing answers what is under way and refuses what comes after', async () => {
    const here = await openTestService()
    const { agent: bot } = await here.owner.issue('finance/bot/inst-00001')
    const under = Array.from({ length: 20 }, () => bot.submit([bot.makeAction()]))
    let answered = false
    void under[0]?.then(() => {
      answered = true
    })
    const { log } = here.service
    while (!answered && log.stats().lanes.normal.submissions === 0)
      await new Promise((done) => setImmediate(done))
    const closing = here.close()
    const replies = await Promise.all(under)
    await closing
    const codes = replies.map((reply) => (reply.status === 200 ? outcomeOf(reply) : codeOf(reply)))
    expect(codes.every((code) => code === 'absent' || code === 'shutting_down')).toBe(true)
    expect(codes).toContain('absent')
  })

  test('a clock that leaves the time since boot stops intake, says so, and is ready no more', async () => {
    const clock = new FakeClock(Date.now())
    const here = await openTestService({ clock })
    const { agent: bot } = await here.owner.issue('finance/bot/inst-00001')
    expect((await bot.ask('GET', '/readyz')).status).toBe(200)
    clock.step(20_000)
    expect(outcomeOf(await bot.submit([bot.makeAction()]))).toBe('clock_stopped')
    const decision = await bot.decide()
    expect([decision.reply.status, decision.reply.headers['retry-after']]).toEqual([503, '10'])
    const ready = await bot.ask('GET', '/readyz')
    expect([ready.status, ready.json()['status']]).toEqual([503, 'not ready'])
    expect(outcomeOf(await here.owner.revoke(`inst:${bot.principal}`))).toBe('revoked')
    await here.close()
  })

  test('an expired agent reads nothing of its own any more', async () => {
    const clock = new FakeClock(Date.now())
    const here = await openTestService({ clock })
    const { agent: bot, reply } = await here.owner.issue('finance/bot/inst-00001', { ttl: 60 })
    const path = `/logs/main/v1/entries/${Number(reply.json()['index'])}`
    expect((await bot.read(path)).status).toBe(200)
    clock.advance(61_000)
    expect(codeOf(await bot.read(path))).toBe('certificate_expired')
    expect((await here.owner.read(path)).status).toBe(200)
    await here.close()
  })
})
