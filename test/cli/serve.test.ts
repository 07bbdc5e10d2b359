/**
 * Goal: `serve` starts only over what it may serve, and its refusal says what to do; stdout has the URL and stderr the log
 * as JSON; a signal drains. Method: the built service as a process of its own.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { outcomeOf, type Target, TestClient } from '../support/client.ts'
import { type Ended, scratchDirectory, trustwarden, writeSecret } from '../support/command-line.ts'
import { type LogDirectory, makeLog, removeLog, startService } from '../support/service.ts'

let scratch: ReturnType<typeof scratchDirectory>
let log: LogDirectory
let foreign: LogDirectory
const at = (name: string): string => join(scratch.path, name)

beforeAll(() => {
  scratch = scratchDirectory()
  log = makeLog()
  foreign = makeLog()
})
afterAll(() => {
  scratch.remove()
  removeLog(log)
  removeLog(foreign)
})

const targetOf = (url: string): Target => ({
  url,
  origin: 'acme.example/logs/agents',
  trustDomain: 'acme.example',
})

function serve(data: string, ...args: readonly string[]): Ended {
  return trustwarden(['serve', '--data', data, '--port', '0', ...args])
}

/** A copy of the log's three directories, to be broken. */
function copied(name: string, from: LogDirectory = log): string {
  const data = at(name)
  cpSync(from.data, data, { recursive: true })
  cpSync(from.head, `${data}.head`, { recursive: true })
  cpSync(from.keys, `${data}.keys`, { recursive: true })
  return data
}

function expectRefused(ended: Ended, code: number, ...said: readonly (string | RegExp)[]): void {
  expect([ended.code, ended.out]).toEqual([code, ''])
  for (const text of said) expect(ended.err).toMatch(text)
  // A refusal is a sentence for its operator and no defect with a stack.
  expect(ended.err).not.toMatch(/^\s+at /m)
}

describe('serve refuses', () => {
  test('settings that are wrong, all at once', () => {
    const ended = trustwarden(['serve', '--host', '0.0.0.0', '--port', 'x'], {
      environment: { TRUSTWARDEN_PROT: '1' },
    })
    expectRefused(
      ended,
      2,
      'data is missing',
      'needs --tls-cert',
      'port is "x"',
      'TRUSTWARDEN_PROT',
    )
  })

  test('a log that is not there, or that init did not finish', () => {
    expectRefused(serve(at('nothing')), 1, 'there is no log in', 'trustwarden init --data')
    mkdirSync(at('empty'))
    expectRefused(serve(at('empty')), 1, 'there is no log in')
    const data = copied('no-database')
    rmSync(join(data, 'db'), { recursive: true })
    expectRefused(serve(data), 1, 'store_missing', 'restore it')
  })

  test('a log without its head record, and says the way on', () => {
    const data = copied('no-record')
    renameSync(join(`${data}.head`, 'record'), at('record'))
    expectRefused(serve(data), 1, 'head_record_missing', '--head names', '--accept-head SIZE:ROOT')
    expect(existsSync(join(`${data}.head`, 'record'))).toBe(false)
  })

  test('keys that are missing, of another log, or readable by others', () => {
    const data = copied('keys')
    for (const name of ['log', 'permit', 'ca']) {
      const path = join(`${data}.keys`, `${name}.key`)
      const own = readFileSync(path)
      rmSync(path)
      expectRefused(serve(data), 2, 'key_file_missing', '--keys names')
      cpSync(join(foreign.keys, `${name}.key`), path)
      const what = name === 'ca' ? 'CA' : name
      expectRefused(serve(data), 1, `the ${what} key is not the one`)
      rmSync(path)
      writeSecret(path, own.toString())
    }
    expectRefused(serve(data, '--keys', foreign.keys), 1, 'is not the one that genesis names')
    expectRefused(serve(data, '--head', foreign.head), 1, /\S/)
  })

  test('a log whose journals cannot be copied aside, and says the way on', () => {
    const data = copied('no-copy')
    // A directory cannot be copied as a file, whoever runs this.
    mkdirSync(join(data, 'db', 'MANIFEST-999999'))
    expectRefused(
      serve(data),
      1,
      /journals_not_kept: the journals of \S+ could not be copied \([A-Z_]+\)/,
      'if the disk is full, free at least so many bytes there',
    )
  })

  test('a certificate or its key that is missing', () => {
    const data = copied('no-certificate')
    const ended = serve(data, '--tls-cert', at('no.pem'), '--tls-key', at('no.key'))
    expectRefused(ended, 2, 'tls_file_missing', `${at('no.pem')}, which --tls-cert names`)
    expect(ended.err).not.toContain('--keys')
  })

  test('a wrong passphrase or none', () => {
    const data = at('sealed')
    const right = writeSecret(at('right'), 'right words\n')
    const wrong = writeSecret(at('wrong'), 'wrong words\n')
    const made = trustwarden([
      'init',
      '--data',
      data,
      '--origin',
      'acme.example/logs/agents',
      '--trust-domain',
      'acme.example',
      '--owner',
      `${log.owner}.pub`,
      '--operator',
      `${log.operator}.pub`,
      '--passphrase-file',
      right,
    ])
    expect(made.code).toBe(0)
    expectRefused(serve(data), 1, 'key_passphrase_required', '--passphrase-file F')
    expectRefused(serve(data, '--passphrase-file', wrong), 1, 'key_passphrase_wrong')
    const both = serve(data, '--passphrase-file', right, '--passphrase-fd', '0')
    expectRefused(both, 2, 'both given')
    for (const ended of [serve(data), serve(data, '--passphrase-file', wrong)])
      expect(ended.err).not.toContain('words')
  })

  test('a log that another process serves, and a port that is taken', async () => {
    const service = await startService(log)
    try {
      expectRefused(serve(log.data), 1, 'head_record_locked', 'stop it first')
      const { port } = new URL(service.url)
      const data = copied('port', foreign)
      const ended = trustwarden(['serve', '--data', data, '--port', port])
      expectRefused(ended, 1, 'EADDRINUSE', '--port')
    } finally {
      expect(await service.stop()).toBe(0)
    }
  })
})

describe('a lost head record', () => {
  test('is written anew from a head that the operator names, and only from one of this log', async () => {
    const data = copied('lost')
    const service = await startService({ ...log, data, head: `${data}.head`, keys: `${data}.keys` })
    const checkpoint = await (await fetch(`${service.url}/logs/agents/checkpoint`)).text()
    expect(await service.stop()).toBe(0)
    const [, size = '', root = ''] = checkpoint.split('\n')
    rmSync(join(`${data}.head`, 'record'))
    expect(serve(data, '--accept-head', 'x').code).toBe(2)
    const other = Buffer.alloc(32, 7).toString('base64')
    expectRefused(serve(data, '--accept-head', `${size}:${other}`), 1, /root|histor/)
    expectRefused(serve(data, '--accept-head', `${Number(size) + 1}:${root}`), 1, /older|behind/)
    const again = await startService(
      { ...log, data, head: `${data}.head`, keys: `${data}.keys` },
      { flags: ['--accept-head', `${size}:${root}`] },
    )
    expect(await again.stop()).toBe(0)
    const third = await startService({ ...log, data, head: `${data}.head`, keys: `${data}.keys` })
    expect(await third.stop()).toBe(0)
  })
})

describe('a service', () => {
  test('prints its URL and nothing else on stdout, JSON on stderr, and answers over a socket', async () => {
    const service = await startService(log, {
      flags: ['--log-level', 'debug', '--open-reads', 'true'],
    })
    let out = ''
    service.process.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    const owner = TestClient.owner(log.owner, targetOf(service.url))
    const { agent, reply } = await owner.issue('finance/bot/inst-00001')
    expect(reply.status).toBe(201)
    const asked = await agent.decide()
    expect(asked.effect).toBe('allow')
    expect((await agent.act(asked)).outcome).toBe('matched')
    expect(await service.stop()).toBe(0)
    expect(out).toBe('')
    const lines = service
      .stderr()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string })
    expect(lines.map((line) => line.msg)).toContain('answered')
    expect(lines.some(({ msg }) => msg.startsWith('open-reads:'))).toBe(true)
    expect(service.stderr()).not.toMatch(/deprecat|warning/i)
  })

  test('answers bytes that are no HTTP by a problem document', async () => {
    const service = await startService(log)
    const { port } = new URL(service.url)
    const answer = (bytes: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes))
        let text = ''
        socket.on('data', (chunk) => {
          text += chunk.toString()
        })
        socket.on('close', () => resolve(text))
        socket.on('error', reject)
      })
    for (const bytes of [
      'garbage\r\n\r\n',
      'FOO /livez HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET /livez HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n',
      `GET /livez HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(20_000)}\r\n\r\n`,
      'POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
    ]) {
      const text = await answer(bytes)
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).toContain('application/problem+json')
      expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))).toMatchObject({
        code: 'request_malformed',
      })
    }
    expect(await service.stop('SIGINT')).toBe(0)
  })

  test('answers what is under way when it is told to stop, and loses none of it', async () => {
    const service = await startService(log)
    const owner = TestClient.owner(log.owner, targetOf(service.url))
    const { agent } = await owner.issue('finance/drain/inst-00001')
    const made = Array.from({ length: 50 }, () => agent.makeAction())
    const replies = made.map((one) => agent.submit([one]).catch(() => undefined))
    await replies[0]
    const exited = service.stop('SIGTERM')
    const answered = await Promise.all(replies)
    expect(await exited).toBe(0)
    const registered = made.filter((_, n) => {
      const reply = answered[n]
      return reply?.status === 200 && outcomeOf(reply) === 'absent'
    })
    expect(registered.length).toBeGreaterThan(0)
    const again = await startService(log)
    const later = TestClient.owner(log.owner, targetOf(again.url))
    const reply = await later.submit(registered)
    const results = reply.json()['results'] as unknown as readonly { repeated: boolean }[]
    expect(results.every(({ repeated }) => repeated)).toBe(true)
    expect(await again.stop()).toBe(0)
  })

  test('ends although a client holds a connection and says nothing', async () => {
    const service = await startService(log)
    const { port } = new URL(service.url)
    const open = [
      '',
      'POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n',
    ].map(
      (bytes) =>
        new Promise<Socket>((resolve) => {
          const socket = connect(Number(port), '127.0.0.1', () => {
            socket.on('error', () => undefined)
            socket.write(bytes, () => resolve(socket))
          })
        }),
    )
    const sockets = await Promise.all(open)
    expect((await fetch(`${service.url}/livez`)).status).toBe(200)
    expect(await service.stop()).toBe(0)
    for (const socket of sockets) socket.destroy()
  })

  test('starts with the passphrase file that a variable names', async () => {
    const data = at('by-descriptor')
    const right = writeSecret(at('right-fd'), 'right words\n')
    trustwarden([
      'init',
      '--data',
      data,
      '--origin',
      'acme.example/logs/agents',
      '--trust-domain',
      'acme.example',
      '--owner',
      `${log.owner}.pub`,
      '--operator',
      `${log.operator}.pub`,
      '--passphrase-file',
      right,
    ])
    const service = await startService(
      { ...log, data },
      { environment: { TRUSTWARDEN_PASSPHRASE_FILE: right } },
    )
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
    expect(await service.stop()).toBe(0)
  })
})
