/**
 * Goal: whoever reads the log as C2SP tlog-tiles gets the tree that the checkpoint commits to, from hash tiles and from
 * entry bundles, at every size. Method: more than 600 entries through the real handlers; roots recomputed naively from
 * what was served.
 */
import { gunzipSync } from 'node:zlib'
import {
  decodeBundle,
  decodeEntry,
  formatTilePath,
  openTrustedHead,
  parseTrust,
  toHex,
  utf8Encode,
  verifyConsistency,
  verifyInclusion,
  verifyRange,
  fromBase64url,
} from '@trustwarden/proofs'
import { decode } from 'cbor-x'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { acceptsGzip } from '../../src/http/read.ts'
import { type Reply, resultsOf, type TestClient } from '../support/client.ts'
import { naiveLeafHash, naiveTree } from '../support/naive-merkle.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'

const LOG = '/logs/main'
const ENTRIES_MIN = 600
let opened: OpenedService
let operator: TestClient
let size: number
let root: string
/** Leaf hashes of the entries as the bundles hold them. */
let leaves: Uint8Array[]
/** Size → root of the heads under which receipts were given. */
const earlier = new Map<number, string>()

const trust = () => parseTrust(nativePrimitives, utf8Encode(opened.anchor))

beforeAll(async () => {
  opened = await openTestService()
  operator = opened.operator
  const { agent } = await opened.owner.issue('finance/bot/inst-00001')
  for (const count of [1, 2, 250, 3, 345]) {
    const reply = await agent.submit(Array.from({ length: count }, () => agent.makeAction()))
    for (const result of resultsOf(reply)) expect(result['status']).toBe('registered')
    const head = openTrustedHead(nativePrimitives, trust(), (await get(`${LOG}/checkpoint`)).bytes)
    earlier.set(head.size, toHex(head.root))
  }
  const head = openTrustedHead(nativePrimitives, trust(), (await get(`${LOG}/checkpoint`)).bytes)
  size = head.size
  root = toHex(head.root)
  leaves = []
  for (let index = 0; index * 256 < size; index++) {
    const width = Math.min(256, size - index * 256)
    const path = `${LOG}/${formatTilePath({ level: 'entries', index, width })}`
    const { status, bytes } = await operator.read(path)
    expect(status).toBe(200)
    for (const entry of decodeBundle(bytes, width)) leaves.push(naiveLeafHash(entry))
  }
})
afterAll(() => opened.close())

function get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  return operator.ask('GET', path, { headers })
}

async function tile(level: number, index: number, width: number): Promise<Reply> {
  return get(`${LOG}/${formatTilePath({ level, index, width })}`)
}

describe('the tree', () => {
  test('is that of the checkpoint, from the bundles alone', () => {
    expect(size).toBeGreaterThan(ENTRIES_MIN)
    expect(leaves).toHaveLength(size)
    expect(toHex(naiveTree(leaves)(0, size))).toBe(root)
    const rootOf = naiveTree(leaves)
    for (const [at, then] of earlier) expect([at, toHex(rootOf(0, at))]).toEqual([at, then])
  })

  test('every hash tile of every level and width holds the hashes of that tree', async () => {
    const rootOf = naiveTree(leaves)
    let span = 1
    for (let level = 0; span <= size; level++) {
      const nodes = Math.floor(size / span)
      const row = Array.from({ length: nodes }, (_, at) => rootOf(at * span, (at + 1) * span))
      for (let index = 0; index * 256 < nodes; index++) {
        const most = Math.min(256, nodes - index * 256)
        const want = Buffer.concat(row.slice(index * 256, index * 256 + most))
        for (let width = 1; width <= most; width++) {
          const reply = await tile(level, index, width)
          expect([level, index, width, reply.status]).toEqual([level, index, width, 200])
          expect(reply.bytes.equals(want.subarray(0, width * 32))).toBe(true)
        }
        if (most < 256) expect((await tile(level, index, most + 1)).status).toBe(404)
      }
      expect((await tile(level, Math.ceil(nodes / 256), 1)).status).toBe(404)
      span *= 256
    }
    expect((await tile(2, 0, 1)).status).toBe(404)
    expect((await tile(63, 0, 1)).status).toBe(404)
  })

  test('every partial bundle is a beginning of the full one', async () => {
    for (const index of [0, 1, Math.floor(size / 256)]) {
      const most = Math.min(256, size - index * 256)
      for (let width = 1; width <= most; width++) {
        const path = `${LOG}/${formatTilePath({ level: 'entries', index, width })}`
        const { status, bytes } = await operator.read(path)
        expect([path, status]).toEqual([path, 200])
        const served = decodeBundle(bytes, width)
        expect(
          served.every((entry, at) => {
            const leaf = leaves[index * 256 + at]
            return leaf !== undefined && Buffer.compare(naiveLeafHash(entry), leaf) === 0
          }),
        ).toBe(true)
      }
      if (most === 256) continue
      const path = `${LOG}/${formatTilePath({ level: 'entries', index, width: most + 1 })}`
      expect((await operator.read(path)).status).toBe(404)
    }
  })

  test('an entry of a bundle says its index, and proofs over HTTP lead to the same roots', async () => {
    const path = `${LOG}/${formatTilePath({ level: 'entries', index: 1, width: 256 })}`
    const entries = decodeBundle((await operator.read(path)).bytes, 256)
    expect(entries.map((entry) => decodeEntry(entry).index)).toEqual(
      Array.from({ length: 256 }, (_, at) => 256 + at),
    )
    const rootOf = naiveTree(leaves)
    const hashes = (reply: Reply) =>
      (reply.json()['path'] as string[]).map((one) => fromBase64url(one))
    for (const [index, at] of [
      [0, 1],
      [0, size],
      [size - 1, size],
      [255, 256],
      [256, 300],
      [77, 513],
    ] as const) {
      const reply = await operator.read(`${LOG}/v1/proofs/inclusion?index=${index}&size=${at}`)
      verifyInclusion(nativePrimitives, {
        leafIndex: index,
        treeSize: at,
        leafHash: leaves[index] ?? new Uint8Array(),
        path: hashes(reply),
        root: rootOf(0, at),
      })
    }
    for (const [start, end, at] of [
      [0, 1, 1],
      [0, size, size],
      [255, 257, 300],
      [256, 512, 513],
      [3, 598, size],
      [size - 1, size, size],
    ] as const) {
      const reply = await operator.read(
        `${LOG}/v1/proofs/range?start=${start}&end=${end}&size=${at}`,
      )
      expect(reply.json()).toMatchObject({ start, end, size: at })
      verifyRange(nativePrimitives, {
        start,
        treeSize: at,
        leafHashes: leaves.slice(start, end),
        path: hashes(reply),
        root: rootOf(0, at),
      })
    }
    for (const [from, to] of [
      [1, size],
      [255, 256],
      [256, 600],
      [size, size],
    ] as const) {
      const reply = await operator.read(`${LOG}/v1/proofs/consistency?from=${from}&to=${to}`)
      verifyConsistency(nativePrimitives, {
        oldSize: from,
        newSize: to,
        oldRoot: rootOf(0, from),
        newRoot: rootOf(0, to),
        path: hashes(reply),
      })
    }
  })

  test('a proof says the same in JSON and in CBOR', async () => {
    for (const query of [
      `inclusion?index=77&size=${size}`,
      'inclusion?index=0&size=1',
      `range?start=3&end=300&size=${size}`,
      `consistency?from=256&to=${size}`,
    ]) {
      const path = `${LOG}/v1/proofs/${query}`
      const text = await operator.read(path)
      const cbor = await operator.read(path, { accept: 'application/cbor' })
      expect([text.headers['content-type'], cbor.headers['content-type']]).toEqual([
        'application/json; charset=utf-8',
        'application/cbor',
      ])
      expect(decode(cbor.bytes)).toEqual(text.json())
    }
  })

  test('proofs out of range or malformed are refused', async () => {
    for (const [query, code] of [
      [`inclusion?index=0&size=${size + 1}`, 'range_invalid'],
      [`inclusion?index=5&size=5`, 'range_invalid'],
      ['inclusion?index=0', 'request_malformed'],
      ['inclusion?index=0&index=1&size=2', 'request_malformed'],
      ['inclusion?index=-1&size=2', 'request_malformed'],
      ['inclusion?index=00&size=2', 'request_malformed'],
      ['inclusion?index=0&size=9007199254740992', 'request_malformed'],
      ['inclusion?index=0&size=1e1', 'request_malformed'],
      ['consistency?from=0&to=5', 'range_invalid'],
      ['consistency?from=6&to=5', 'range_invalid'],
      [`consistency?from=1&to=${size + 1}`, 'range_invalid'],
      [`range?start=0&end=1&size=${size + 1}`, 'range_invalid'],
      ['range?start=0&end=6&size=5', 'range_invalid'],
      ['range?start=3&end=3&size=5', 'range_invalid'],
      ['range?start=4&end=3&size=5', 'range_invalid'],
      ['range?start=0&end=3', 'request_malformed'],
      ['range?start=0&end=-3&size=5', 'request_malformed'],
      ['range?start=0&end=3&size=9007199254740992', 'request_malformed'],
    ] as const) {
      const reply = await operator.read(`${LOG}/v1/proofs/${query}`)
      expect([query, reply.status, reply.json()['code']]).toEqual([query, 400, code])
    }
    for (const index of [size, 9_007_199_254_740_991]) {
      const reply = await operator.read(`${LOG}/v1/entries/${index}`)
      expect([reply.status, reply.json()['code']]).toEqual([400, 'range_invalid'])
    }
  })
})

describe('how it is served', () => {
  test('paths that name no tile are 404', async () => {
    for (const path of [
      'tile/0/0',
      'tile/0/00',
      'tile/0/0000',
      'tile/0/x000/000',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000.p/',
      'tile/0/000.p/1/2',
      'tile/00/000.p/1',
      'tile/64/000.p/1',
      'tile/-1/000.p/1',
      'tile/0/',
      'tile/0/999',
      'tile/0/x001/x234/067',
      'tile/0/000/',
      'tile/0/..%2f000',
      'tile/a/000',
      'tile/entries/000.p/0',
      'tile/entries/0',
      'tile/entries/999',
      'tile/entries/',
    ]) {
      const reply = await operator.read(`${LOG}/${path}`)
      expect([path, reply.status]).toEqual([path, 404])
      expect(reply.headers['cache-control']).toBe('no-store')
      expect(reply.headers['content-type']).toContain('application/problem+json')
    }
  })

  test('tiles are immutable for anybody, bundles for their reader alone, the checkpoint for a second', async () => {
    const hashTile = await tile(0, 0, 256)
    expect(hashTile.bytes).toHaveLength(8192)
    expect(hashTile.headers['content-type']).toBe('application/octet-stream')
    expect(hashTile.headers['cache-control']).toBe('public, max-age=31536000, immutable')
    expect((await tile(0, 0, 7)).headers['cache-control']).toContain('immutable')
    const bundle = await operator.read(`${LOG}/tile/entries/000`)
    expect(bundle.headers['content-type']).toBe('application/octet-stream')
    expect(bundle.headers['cache-control']).toBe('private, max-age=31536000, immutable')
    const checkpoint = await get(`${LOG}/checkpoint`)
    expect(checkpoint.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(checkpoint.headers['cache-control']).toBe('public, max-age=1')
  })

  test('bundles and checkpoint are compressed for whoever takes gzip', async () => {
    const gzip = { 'accept-encoding': 'br, gzip;q=0.5' }
    for (const path of [`${LOG}/tile/entries/001`, `${LOG}/checkpoint`]) {
      const plain = await operator.read(path)
      const small = await operator.read(path, gzip)
      expect([plain.headers['content-encoding'], small.headers['content-encoding']]).toEqual([
        undefined,
        'gzip',
      ])
      expect(gunzipSync(small.bytes).equals(plain.bytes)).toBe(true)
      expect([plain.headers['vary'], small.headers['vary']]).toEqual([
        'accept-encoding',
        'accept-encoding',
      ])
    }
  })

  test('weights of encodings are read as RFC 9110 says', () => {
    for (const header of [
      'gzip',
      'GZIP',
      'br, gzip;q=0.001',
      '*',
      'gzip; q=1',
      'identity;q=0, *;q=0.5',
    ])
      expect([header, acceptsGzip(header)]).toEqual([header, true])
    for (const header of [
      undefined,
      '',
      'br',
      'gzip;q=0',
      'gzip;q=0.000',
      '*, gzip;q=0',
      'gzip;q=x',
      '*;q=0',
    ])
      expect([header, acceptsGzip(header)]).toEqual([header, false])
  })

  test('of a log that is open, bundles too are for anybody to keep', async () => {
    const open = await openTestService({ openReads: true })
    const reply = await open.owner.ask('GET', `${LOG}/tile/entries/000.p/4`)
    expect([reply.status, reply.headers['cache-control']]).toEqual([
      200,
      'public, max-age=31536000, immutable',
    ])
    await open.close()
  })
})
