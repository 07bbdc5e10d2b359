/**
 * Goal: a mirror behind any web server is read as it is or refused by name: what redirects, compresses, answers in part
 * or sends more than was asked for. Method: a server on loopback that does each.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ArchiveError } from '../../src/archive/errors.ts'
import { openGet, serviceSource } from '../../src/archive/url-source.ts'

const BYTES_MAX = 1000

let server: Server
let base: string
let answer: (response: ServerResponse) => void
const asked: IncomingMessage[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request)
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** Reads once from who answers so: what came, or code and message of the refusal; and how often it was asked. */
async function read(by: typeof answer): Promise<readonly unknown[]> {
  answer = by
  asked.length = 0
  const later = globalThis.setTimeout
  // Pauses between attempts are of seconds.
  vi.stubGlobal('setTimeout', (run: (of: unknown) => void, ms: number, of: unknown) =>
    later(run, ms / 100, of),
  )
  const got = await openGet(base)('/checkpoint', BYTES_MAX).catch((thrown: unknown) => {
    if (!(thrown instanceof ArchiveError)) throw thrown
    return `${thrown.code} ${thrown.message}`
  })
  vi.unstubAllGlobals()
  return [got instanceof Uint8Array ? Buffer.from(got).toString() : got, asked.length]
}

test('what is there is read as it is, and nothing else is asked for', async () => {
  expect(await read((response) => response.end('note'))).toEqual(['note', 1])
  expect(asked[0]?.headers['accept-encoding']).toBe('identity')
  expect(await read((response) => response.writeHead(404).end('none'))).toEqual([undefined, 1])
  const identity = { 'content-encoding': 'identity' }
  expect(await read((response) => response.writeHead(200, identity).end('note'))).toEqual([
    'note',
    1,
  ])
})

test('a list of more erased entries than a MiB holds is read whole', async () => {
  const entries = Array.from({ length: 150_000 }, (_, at) => 1_000_000 + at)
  const bytes = Buffer.from(JSON.stringify({ entries }))
  const source = serviceSource(base, () => Promise.resolve(bytes))
  expect(await source.erasedSince(0)).toEqual(entries)
})

test('a redirect is said at once, with the address', async () => {
  const location = `https://x.example/\u009b2J${'y'.repeat(4000)}`
  for (const status of [301, 302, 307, 308]) {
    const [said, times] = await read((response) => response.writeHead(status, { location }).end())
    const to = `status ${status}, to https://x.example/\\u{9b}2Jyyy`
    expect([said, times]).toEqual([expect.stringMatching(/^archive_redirected .*y{170,180}…$/), 1])
    expect(said).toContain(to)
  }
})

test('another content encoding is refused by name, before it is decoded', async () => {
  const [said, times] = await read((response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000))),
  )
  expect([said, times]).toEqual([
    expect.stringMatching(/^archive_encoded .*\/checkpoint: content-encoding "gzip"/),
    1,
  ])
})

test('a part is not taken for the whole, nor an error for what is there', async () => {
  for (const status of [204, 206, 304, 403, 503]) {
    const [said, times] = await read((response) => response.writeHead(status).end())
    const code = expect.stringMatching(`^archive_unreachable .*: status ${status}$`)
    expect([said, times]).toEqual([code, 5])
  }
})

test('more than was asked for is not read', async () => {
  expect(await read((response) => response.end('x'.repeat(BYTES_MAX + 1)))).toEqual([
    `archive_corrupt ${base}/checkpoint is over ${BYTES_MAX} bytes`,
    1,
  ])
})
