/**
 * Goal: over HTTP a statement in COSE is registered, decided, answered, repeated and refused as one in JWS is, and is
 * never taken for it. Method: the whole story in COSE, and with each statement in the other envelope; every way that a
 * body can carry one; the audit, which decides all of it anew.
 */
import {
  decodeCbor,
  decodeEntry,
  encodeCbor,
  fromBase64url,
  type JsonObject,
  matchReceipt,
  MEDIA_COSE,
  MEDIA_JOSE,
  openReceipt,
  parseEntryStatement,
  parseReceipt,
  parseTrust,
  toBase64url,
  utf8Encode,
} from '@trustwarden/proofs'
import { Decoder, Encoder } from 'cbor-x'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { audit } from '../../src/cli/audit.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { formatCbor } from '../../src/http/body.ts'
import { checkCborShape } from '../../src/http/cbor-shape.ts'
import {
  type Made,
  outcomeOf,
  parseMade,
  type Reply,
  resultsOf,
  type TestClient,
} from '../support/client.ts'
import { drawPerson, type OpenedService, openTestService } from '../support/opened-service.ts'
import { otherSignature } from '../support/statement-signer.ts'

const STATEMENTS = '/logs/main/v1/statements'
const AGENTS = '/logs/main/v1/agents'
const EVALUATION = '/access/v1/evaluation'
const cbor = new Encoder({ mapsAsObjects: true, useRecords: false, tagUint8Array: false })

let opened: OpenedService
let agent: TestClient

beforeAll(async () => {
  opened = await openTestService()
  agent = (await opened.owner.inCose().issue('finance/bot/inst-00001')).agent
})
afterAll(() => opened.close())

function send(media: string, body: Uint8Array, path = STATEMENTS, accept?: string): Promise<Reply> {
  const headers = { 'content-type': media, ...(accept === undefined ? {} : { accept }) }
  return agent.ask('POST', path, { headers, body })
}

function entryOf(answer: JsonObject | undefined) {
  return decodeEntry(parseReceipt(answer?.['receipt'] ?? null).entry)
}

const bytesOf = ({ statement }: Made): Uint8Array => fromBase64url(statement)

/** The statement with an unprotected header that names a key. */
function withUnprotected(made: Made): Uint8Array {
  const [header, , payload, signature] = decodeCbor(bytesOf(made).subarray(1)) as Uint8Array[]
  const unprotected = new Map([[4, utf8Encode('key')]])
  const array = encodeCbor([
    header as Uint8Array,
    unprotected,
    payload as Uint8Array,
    signature as Uint8Array,
  ])
  return Buffer.concat([Buffer.of(0xd2), array])
}

describe('the story', () => {
  test('told in COSE, with links in JWS, holds at every step and in the audit', async () => {
    const here = await openTestService()
    const { owner, operator, config, anchor } = here
    const { agent: parent, reply } = await owner.inCose().issue('finance/parent/inst-00001')
    expect(reply.status).toBe(201)
    // The record of a child names the digest of its parent's, whichever envelope that is in.
    const { agent: child, reply: second } = await parent.issue('finance/parent/a/inst-00001')
    expect(second.status).toBe(201)
    const plain = (await owner.issue('finance/plain/inst-00001')).agent
    const { agent: below, reply: third } = await plain.inCose().issue('finance/plain/a/inst-00001')
    expect(third.status).toBe(201)
    const refused = await parent.issue('finance/parent/b/inst-00001', { scope: ['delete:**'] })
    expect([refused.reply.status, refused.reply.json()['code']]).toEqual([
      403,
      'scope_not_contained',
    ])
    expect(entryOf(refused.reply.json()).media).toBe(MEDIA_COSE)
    for (const bot of [child, below]) {
      const allowed = await bot.decide('read:transactions')
      expect(allowed.effect).toBe('allow')
      expect((await bot.act(allowed)).outcome).toBe('matched')
    }
    const reader = drawPerson('reader')
    expect(outcomeOf(await operator.inCose().enroll('reader', reader))).toBe('effective')
    expect((await here.as(reader).read('/logs/main/v1/entries/0')).status).toBe(200)
    expect(outcomeOf(await owner.inCose().revoke(`inst:${child.principal}`))).toBe('revoked')
    expect((await child.decide()).effect).toBe('deny')
    const { size } = here.service.log.head()
    await here.service.close()
    let out = ''
    const io = { out: (text: string) => (out += text), err: () => undefined }
    const args = ['--data', config.data, '--head', config.head, '--trust', anchor, '--json']
    expect(await audit.run(args, io as never)).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ ok: true, size, signatures: size })
    await here.close()
  })

  test('operators sign one proposal, each in an envelope of their own', async () => {
    const second = drawPerson('operator')
    const here = await openTestService({ second })
    const whom = drawPerson('reader')
    const [first] = resultsOf(await here.operator.enroll('reader', whom))
    expect([first?.['outcome'], entryOf(first).media]).toEqual(['pending', MEDIA_JOSE])
    const [last] = resultsOf(await here.as(second).inCose().enroll('reader', whom))
    expect([last?.['outcome'], entryOf(last).media]).toEqual(['effective', MEDIA_COSE])
    await here.close()
  })
})

describe('an entry', () => {
  test('holds the very bytes, and its receipt proves them', async () => {
    const made = agent.makeAction()
    const [result] = resultsOf(await agent.submit([made]))
    expect(result).toMatchObject({ status: 'registered', outcome: 'absent', repeated: false })
    expect(result).not.toHaveProperty('unprotected_emptied')
    const entry = entryOf(result)
    expect([entry.media, toBase64url(entry.statement)]).toEqual([MEDIA_COSE, made.statement])
    const trust = parseTrust(nativePrimitives, utf8Encode(opened.anchor))
    const receipt = openReceipt(nativePrimitives, parseReceipt(result?.['receipt'] ?? null), trust)
    matchReceipt(nativePrimitives, receipt, parseMade(made), agent.identity.key.spki)
  })

  test('of a statement that came with an unprotected header holds it emptied, and every answer says so', async () => {
    const action = agent.makeAction()
    const reply = await send(MEDIA_COSE, withUnprotected(action))
    const [result] = resultsOf(reply)
    expect(result).toMatchObject({ outcome: 'absent', unprotected_emptied: true })
    expect(toBase64url(entryOf(result).statement)).toBe(action.statement)
    const [again] = resultsOf(await agent.submit([action]))
    expect(again).toMatchObject({ repeated: true, index: result?.['index'] })
    expect(again).not.toHaveProperty('unprotected_emptied')

    const decision = agent.makeDecision().made
    const body = { ...decision, statement: toBase64url(withUnprotected(decision)) }
    const decided = (await agent.post(EVALUATION, body)).json()
    expect(decided['context']).toMatchObject({ unprotected_emptied: true })

    const { made } = opened.owner.inCose().makeIssue('finance/emptied/inst-00001')
    const issued = await agent.post(AGENTS, {
      ...made,
      statement: toBase64url(withUnprotected(made)),
    })
    expect(issued.status).toBe(201)
    expect(issued.json()).toMatchObject({ unprotected_emptied: true })
    expect((await agent.post(AGENTS, made)).status).toBe(200)
  })
})

describe('a repeat', () => {
  test('is the same content, whatever its signature', async () => {
    const made = agent.makeAction()
    const [first] = resultsOf(await agent.submit([made]))
    const [header, , payload, signature] = decodeCbor(bytesOf(made).subarray(1)) as Uint8Array[]
    const other = otherSignature(signature as Uint8Array)
    const array = encodeCbor([header as Uint8Array, new Map(), payload as Uint8Array, other])
    const bytes = Buffer.concat([Buffer.of(0xd2), array])
    const results = [
      ...resultsOf(await agent.submit([made])),
      ...resultsOf(await send(MEDIA_COSE, bytes)),
    ]
    for (const result of results)
      expect(result).toMatchObject({ repeated: true, index: first?.['index'] })
  })

  test('in the other envelope is a conflict, either way round', async () => {
    const inJws = (await opened.owner.issue('finance/two/inst-00001')).agent
    const claims = { jti: 'one-event', iat: Math.floor(Date.now() / 1000), seq: 1 }
    const first = inJws.makeAction(null, claims)
    const second = inJws.inCose().makeAction(null, claims)
    expect(parseMade(second).header).toEqual(parseMade(first).header)
    expect(outcomeOf(await agent.submit([first]))).toBe('absent')
    expect(outcomeOf(await agent.submit([second]))).toBe('event_conflict')
    const later = { ...claims, jti: 'another-event', seq: 2 }
    expect(outcomeOf(await agent.submit([inJws.inCose().makeAction(null, later)]))).toBe('absent')
    expect(outcomeOf(await agent.submit([inJws.makeAction(null, later)]))).toBe('event_conflict')
  })
})

describe('bodies', () => {
  test('carry one or many, in JSON, in CBOR, and a statement as it is', async () => {
    const [a, b, c, d, e] = Array.from({ length: 5 }, () => agent.makeAction()) as [
      Made,
      Made,
      Made,
      Made,
      Made,
    ]
    const jws = (await opened.owner.issue('finance/bodies/inst-00001')).agent
    const many = resultsOf(
      await agent.post(STATEMENTS, { statements: [a, jws.makeAction(), { ...b }] }),
    )
    expect(many.map((result) => result['outcome'])).toEqual(['absent', 'absent', 'absent'])
    const bytes = { statement: bytesOf(c), media: MEDIA_COSE }
    const text = { statement: d.statement, media: MEDIA_COSE }
    const mixed = cbor.encode({ statements: [bytes, text, jws.makeAction()] })
    const results = resultsOf(await send('application/cbor', mixed))
    expect(results.map((result) => result['outcome'])).toEqual(['absent', 'absent', 'absent'])
    expect(outcomeOf(await send('application/json', utf8Encode(JSON.stringify(e))))).toBe('absent')
    expect(outcomeOf(await send(MEDIA_COSE, bytesOf(agent.makeAction())))).toBe('absent')
    expect(outcomeOf(await send(MEDIA_JOSE, utf8Encode(jws.makeAction().statement)))).toBe('absent')
  })

  test('of the other statement routes take both too', async () => {
    const { made } = opened.owner.inCose().makeIssue('finance/route/inst-00001')
    const record = {
      statement: bytesOf(made),
      media: MEDIA_COSE,
      csr: fromBase64url(made.csr ?? ''),
    }
    expect((await send('application/cbor', cbor.encode(record), AGENTS)).status).toBe(201)
    const { made: asked } = agent.makeDecision()
    const body = { ...asked, statement: bytesOf(asked) }
    expect((await send('application/cbor', cbor.encode(body), EVALUATION)).json()).toMatchObject({
      decision: true,
    })
    // A decision needs the disclosure of its salt, a record its certificate request: alone they are read, and refused.
    const alone = await send(MEDIA_COSE, bytesOf(agent.makeDecision().made), EVALUATION)
    expect(alone.json()['code']).toBe('disclosure_invalid')
  })

  test('that say another envelope, or none that is known, are refused by name', async () => {
    const made = agent.makeAction()
    const jws = (await opened.owner.issue('finance/wrong/inst-00001')).agent.makeAction()
    const one = async (body: unknown) => outcomeOf(await agent.post(STATEMENTS, body))
    expect(await one({ ...made, media: 'application/cbor' })).toBe('envelope_unsupported')
    expect(await one({ ...made, media: '' })).toBe('envelope_unsupported')
    expect(await one({ ...made, media: 7 })).toBe('request_malformed')
    expect(await one({ ...made, media: MEDIA_JOSE })).toBe('statement_malformed')
    expect(await one({ statement: made.statement })).toBe('statement_malformed')
    expect(await one({ ...jws, media: MEDIA_COSE })).toBe('request_malformed')
    expect(await one({ ...made, statement: `${made.statement}=` })).toBe('request_malformed')
    const inCbor = async (body: unknown) =>
      outcomeOf(await send('application/cbor', cbor.encode(body)))
    expect(await inCbor({ statement: bytesOf(made) })).toBe('request_malformed')
    expect(await inCbor({ statement: utf8Encode(jws.statement) })).toBe('request_malformed')
    const raw = async (media: string, bytes: Uint8Array) => outcomeOf(await send(media, bytes))
    expect(await raw(MEDIA_JOSE, bytesOf(made))).toBe('statement_malformed')
    expect(
      await raw(
        MEDIA_JOSE,
        Buffer.concat([Buffer.from('efbbbf', 'hex'), utf8Encode(jws.statement)]),
      ),
    ).toBe('statement_malformed')
    expect(await raw(MEDIA_COSE, utf8Encode(jws.statement))).toBe('statement_malformed')
    expect(await raw(MEDIA_COSE, bytesOf(made).subarray(0, -1))).toBe('statement_malformed')
    expect(await raw(MEDIA_COSE, new Uint8Array(32_769))).toBe('statement_too_large')
    const flipped = bytesOf(made)
    flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1
    expect(await raw(MEDIA_COSE, flipped)).toBe('signature_invalid')
    expect(await raw(MEDIA_COSE, new Uint8Array())).toBe('statement_malformed')
    expect(await raw(MEDIA_COSE, bytesOf(made))).toBe('absent')
  })

  test('both one and many is refused', async () => {
    const made = agent.makeAction()
    const reply = await agent.post(STATEMENTS, { ...made, statements: [made] })
    expect(outcomeOf(reply)).toBe('request_malformed')
  })
})

describe('answers in CBOR', () => {
  const decoder = new Decoder({ mapsAsObjects: true, useRecords: false })

  test('say what they say in JSON, to whoever asks for them', async () => {
    const made = agent.makeAction()
    const body = utf8Encode(JSON.stringify(made))
    await send('application/json', body)
    const json = await send('application/json', body)
    for (const accept of ['application/cbor', 'application/json;q=0.5, application/cbor']) {
      const reply = await send('application/json', body, STATEMENTS, accept)
      expect([reply.status, reply.headers['content-type']]).toEqual([200, 'application/cbor'])
      const [said] = (decoder.decode(reply.bytes) as { results: JsonObject[] }).results
      const [result] = resultsOf(json)
      expect({ ...said, receipt: null }).toEqual({ ...result, receipt: null })
      expect(parseReceipt(said?.['receipt'] ?? null).index).toBe(result?.['index'])
      // No tag, no float, no integer that had to become one: what a request may not hold no answer holds.
      checkCborShape(reply.bytes, 16, 1000)
    }
    for (const accept of [
      'application/json',
      '*/*',
      'application/cbor-seq',
      'text/application/cbor',
    ])
      expect(
        (await send('application/json', body, STATEMENTS, accept)).headers['content-type'],
      ).toContain('json')
  })

  test('hold integers as integers, whatever their size', () => {
    const integers = [0, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]
    const bytes = formatCbor({ integers, none: null, nested: [{ yes: true }] })
    checkCborShape(bytes, 4, 16)
    expect(() => checkCborShape(bytes, 4, 15)).toThrow('too many items')
    const { integers: read } = decoder.decode(bytes) as { integers: (number | bigint)[] }
    expect(read.map(Number)).toEqual(integers)
  })

  test('are there for what is read too; files and problems stay what they are', async () => {
    const headers = { accept: 'application/cbor' }
    const path = '/.well-known/trustwarden'
    const inCbor = await agent.ask('GET', path, { headers })
    const inJson = await agent.ask('GET', path, {})
    expect(inCbor.headers['content-type']).toBe('application/cbor')
    const both = [decoder.decode(inCbor.bytes) as JsonObject, inJson.json()]
    expect(both[0]).toEqual(both[1])
    const checkpoint = await agent.ask('GET', '/logs/main/checkpoint', { headers })
    expect(checkpoint.headers['content-type']).toContain('text/plain')
    const problem = await agent.ask('GET', '/logs/main/v1/entries/0', { headers })
    expect(problem.headers['content-type']).toContain('application/problem+json')
    const { made } = agent.makeIssue('finance/bot/x/inst-00001', { scope: ['delete:**'] })
    const refused = await agent.ask('POST', AGENTS, {
      headers: { ...headers, 'content-type': 'application/json' },
      body: utf8Encode(JSON.stringify(made)),
    })
    expect(refused.status).toBe(403)
    expect(refused.headers['content-type']).toContain('application/problem+json')
  })
})

test('an entry that is read back is parsed in its own envelope', async () => {
  const made = agent.makeAction()
  const [result] = resultsOf(await agent.submit([made]))
  const reply = await agent.read(`/logs/main/v1/entries/${String(result?.['index'] as number)}`)
  expect(parseEntryStatement(entryOf(reply.json())).bytes).toEqual(bytesOf(made))
})
