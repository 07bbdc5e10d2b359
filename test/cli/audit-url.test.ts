/**
 * Goal: `audit --url` says of a sound log that it holds, whoever serves it, and names what a log that lies does: flips,
 * drops, swaps, cuts, forks, rolls back. Method: the real service, read through a proxy that tampers; a second service
 * over an early copy of the same log, with the same keys, that went another way.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  decodeBundle,
  decodeEntry,
  encodeBundle,
  encodeEntry,
  leafHash,
  parseHeadBody,
  parseNote,
  utf8Encode,
} from '@trustwarden/proofs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { audit } from '../../src/cli/audit.ts'
import { type Io, UsageError } from '../../src/cli/command.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import {
  changed,
  type Reply,
  type Script,
  signHead,
  TamperingProxy,
} from '../sdk/tampering-proxy.ts'
import { type Target, TestClient } from '../support/client.ts'
import { type Ended, scratchDirectory, trustwardenAsync } from '../support/command-line.ts'
import {
  makeLog,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'

const ORIGIN = 'acme.example/logs/agents'

let scratch: ReturnType<typeof scratchDirectory>
let service: RunningService
let fork: RunningService
let proxy: TamperingProxy
let url: string
let auditor: string
let size: number
/** An early checkpoint of the log, before the fork. */
let early: string

const targetOf = (at: RunningService): Target => ({
  url: at.url,
  origin: ORIGIN,
  trustDomain: 'acme.example',
})

const checkpointOf = async (at: RunningService): Promise<string> =>
  (await fetch(`${at.url}/logs/agents/checkpoint`)).text()

const sizeOf = (note: string): number => parseHeadBody(parseNote(utf8Encode(note)).text).size

async function fill(at: RunningService, name: string, count: number): Promise<void> {
  const owner = TestClient.owner(at.owner, targetOf(at))
  const { agent } = await owner.issue(`finance/${name}/inst-00001`)
  await agent.act(await agent.decide())
  await agent.submit(Array.from({ length: count }, () => agent.makeAction()))
}

beforeAll(async () => {
  scratch = scratchDirectory()
  const made = makeLog()
  auditor = join(scratch.path, 'auditor.key')
  runCli(['keygen', '--out', auditor, '--plain-key'])
  const first = await startService(made)
  const args = ['--key', made.operator, '--url', first.url, '--trust', made.anchor]
  runCli(['enroll', 'reader', `${auditor}.pub`, ...args])
  early = join(scratch.path, 'early')
  writeFileSync(early, await checkpointOf(first))
  expect(await first.stop()).toBe(0)
  const data = join(scratch.path, 'fork')
  cpSync(made.data, data, { recursive: true })
  cpSync(made.head, `${data}.head`, { recursive: true })
  service = await startService(made)
  fork = await startService(
    { ...made, data, head: `${data}.head` },
    { flags: ['--keys', made.keys] },
  )
  await fill(service, 'bot', 600)
  await fill(fork, 'other', 700)
  size = sizeOf(await checkpointOf(service))
  proxy = new TamperingProxy(service.url)
  url = await proxy.listen()
}, 120_000)
afterEach(() => {
  proxy.script = (_seen, forward) => forward()
})
afterAll(async () => {
  await proxy.close()
  await service.stop()
  await fork.stop()
  removeLog(service)
  scratch.remove()
})

/** The command, in this process: a process of its own takes a second to begin. */
async function auditAt(at: string, ...args: readonly string[]): Promise<Ended> {
  let [out, err] = ['', '']
  const io: Io = {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    isTerminal: false,
  }
  const all = ['--url', at, '--trust', service.anchor, '--key', auditor, ...args]
  try {
    return { code: await audit.run(all, io), out, err }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return { code: error instanceof UsageError ? 2 : null, out, err: `${err}${error.message}` }
  }
}

async function found(script: Script, ...args: readonly string[]): Promise<readonly unknown[]> {
  proxy.script = script
  const ended = await auditAt(url, '--json', ...args)
  expect(ended.err).toBe('')
  const { ok, difference } = JSON.parse(ended.out) as {
    readonly ok: boolean
    readonly difference?: { readonly check: string; readonly index?: number }
  }
  expect([ended.code, ok]).toEqual([1, false])
  return [difference?.check, difference?.index]
}

/** Changes what is answered under one path; its bytes are characters, one each. */
const tamper =
  (path: string, change: (body: string) => string): Script =>
  async (seen, forward) => {
    const reply = await forward()
    return seen.path.endsWith(path) ? { ...reply, body: change(reply.body) } : reply
  }

/** A byte that is another one, whatever it was. */
const flipped = (body: string, at: number): string =>
  body.slice(0, at) + String.fromCharCode(body.charCodeAt(at) ^ 1) + body.slice(at + 1)

const inBundle =
  (width: number, change: (entries: readonly Uint8Array[]) => readonly Uint8Array[]) =>
  (body: string): string =>
    Buffer.from(encodeBundle(change(decodeBundle(Buffer.from(body, 'latin1'), width)))).toString(
      'latin1',
    )

/** Another character of a statement: still a statement, and no longer the one that was signed. */
function resigned(bytes: Uint8Array): Uint8Array {
  const entry = decodeEntry(bytes)
  const at = Buffer.from(entry.statement).lastIndexOf('.') + 40
  const statement = entry.statement.with(at, entry.statement[at] === 65 ? 66 : 65)
  return encodeEntry({ ...entry, statement })
}

describe('of a sound log', () => {
  test('holds, by every entry, and says what it did not see', async () => {
    const args = ['--url', url, '--trust', service.anchor, '--key', auditor]
    const ended = await trustwardenAsync(['audit', ...args])
    expect([ended.code, ended.err]).toEqual([0, ''])
    expect(ended.out).toContain(`holds: entries 0 to ${size - 1} of ${ORIGIN}`)
    expect(ended.out).toContain('register was run again over every entry')
    expect(ended.out).toContain('policies: 1, each fetched, of its digest and revision, loaded')
    expect(ended.out).toContain('not seen from outside: disclosures (so no decision')
    const json = JSON.parse((await auditAt(url, '--json')).out) as Record<string, unknown>
    expect(json).toEqual({
      ok: true,
      origin: ORIGIN,
      size,
      from: 0,
      to: size,
      hashesOnly: false,
      replayed: true,
      entries: size,
      tiles: 4,
      signatures: size,
      unverified: 0,
      policies: 1,
    })
    // Every bundle and tile once, by its C2SP path.
    const tiles = proxy.seen.map((one) => one.path).filter((path) => path.includes('/tile/'))
    expect(new Set(tiles).size).toBe(tiles.length / 2)
    expect(tiles).toContain('/logs/agents/tile/entries/001')
  })

  test('holds by hashes alone, and says that no statement was read', async () => {
    const ended = await auditAt(url, '--hashes')
    expect([ended.code, ended.err]).toEqual([0, ''])
    expect(ended.out).toContain(`checked: ${size} entries, 4 tiles, 0 signatures`)
    expect(ended.out).toContain('not checked: statements, their signatures and event ids, outcomes')
  })

  test('holds in part, with the keys of signers proven from before', async () => {
    for (const [from, to] of [
      [5, 300],
      [256, 512],
      [300, size],
    ] as const) {
      const ended = await auditAt(url, '--json', '--from', String(from), '--to', String(to))
      expect(JSON.parse(ended.out)).toMatchObject({
        ok: true,
        replayed: false,
        entries: to - from,
        signatures: to - from,
        unverified: 0,
        policies: 0,
      })
    }
    const told = await auditAt(url, '--from', '300')
    expect(told.out).toContain('a range proof shows that none is left out')
    expect(told.out).toContain('not checked: outcomes')
    const begin = await auditAt(url, '--json', '--to', '300')
    const beginning = { ok: true, replayed: true, entries: 300, policies: 1 }
    expect(JSON.parse(begin.out)).toMatchObject(beginning)
  })

  test('keeps its checkpoint, goes on from an earlier one, and leaves no scratch behind', async () => {
    const kept = join(scratch.path, 'kept')
    const beside = join(scratch.path, 'beside')
    mkdirSync(beside)
    const ended = await auditAt(url, '--json', '--since', early, '--save', kept, '--from', '600')
    expect(JSON.parse(ended.out)).toMatchObject({
      ok: true,
      since: sizeOf(readFileSync(early, 'utf8')),
    })
    expect(sizeOf(readFileSync(kept, 'utf8'))).toBe(size)
    const within = ['--since', kept, '--save', kept, '--from', '600', '--scratch', beside]
    expect((await auditAt(url, ...within)).code).toBe(0)
    expect([readdirSync(beside), readFileSync(kept, 'utf8')]).toEqual([
      [],
      await checkpointOf(service),
    ])
  })

  test('a range is written to a file, which verifies offline', async () => {
    const out = join(scratch.path, 'range.json')
    const common = ['--key', auditor, '--url', url, '--trust', service.anchor]
    const ended = await trustwardenAsync(['range', '250', '262', '--out', out, ...common])
    expect([ended.code, ended.err]).toEqual([0, ''])
    const held = await trustwardenAsync(['verify', out, '--trust', service.anchor])
    expect([held.code, held.out]).toEqual([0, expect.stringContaining('250 to 261')])
    const beyond = await trustwardenAsync(['range', '250', '9999', '--out', `${out}2`, ...common])
    expect([beyond.code, beyond.err]).toEqual([1, expect.stringContaining('range_invalid')])
  })
})

describe('finds', () => {
  const isPolicy = (path: string): boolean => path.includes('/v1/pinned/')
  const ofPolicy =
    (body: (body: string) => string, status = 200): Script =>
    async (seen, forward) => {
      const reply = await forward()
      return isPolicy(seen.path) ? { ...reply, status, body: body(reply.body) } : reply
    }
  const problem = (code: string, status: number) => () =>
    JSON.stringify({ type: 'about:blank', title: code, status, code })

  test('a policy that is not there, not shown, or of another digest, at the entry that activates it', async () => {
    // Whoever may read bundles may read policies.
    for (const [code, status] of [
      ['not_found', 404],
      ['route_unknown', 404],
      ['role_forbidden', 403],
    ] as const)
      expect(await found(ofPolicy(problem(code, status), status))).toEqual(['missing', 3])
    proxy.script = ofPolicy(problem('signer_unknown', 401), 401)
    expect((await auditAt(url)).code).toBe(2)
    expect(await found(ofPolicy((body) => `${body}x`))).toEqual(['pinned', 3])
    expect(
      await found(
        ofPolicy(() => ''),
        '--to',
        '300',
      ),
    ).toEqual(['pinned', 3])
    // Where it is another entry's, or no statement is read, nothing is found.
    proxy.script = ofPolicy(() => '')
    const later = await auditAt(url, '--json', '--from', '4')
    expect(JSON.parse(later.out)).toMatchObject({ ok: true, policies: 0 })
    const hashes = await auditAt(url, '--json', '--hashes')
    expect(JSON.parse(hashes.out)).toMatchObject({ ok: true, policies: null })
    expect((await auditAt(url, '--hashes')).out).toContain('computed again), policies, stored')
    // The entry that lies is named before what it names.
    expect(await found(tamper('/tile/0/001', (body) => flipped(body, 9)))).toEqual([
      'tile',
      expect.any(Number),
    ])
  })

  test('a flipped bit, by the tile that does not hold it', async () => {
    const flip = inBundle(256, (entries) =>
      entries.with(44, resigned(entries[44] ?? new Uint8Array(0))),
    )
    expect(await found(tamper('/tile/entries/001', flip))).toEqual(['tile', 300])
    expect(await found(tamper('/tile/entries/001', flip), '--from', '290')).toEqual(['tile', 300])
    const tile = (body: string) => flipped(body, 1408)
    expect(await found(tamper('/tile/0/001', tile))).toEqual(['tile', 300])
  })

  test('a flipped bit that the tile goes along with', async () => {
    const lying: Script = async (seen, forward) => {
      const reply = await forward()
      const isBundle = seen.path.endsWith('/tile/entries/001')
      if (!isBundle && !seen.path.endsWith('/tile/0/001')) return reply
      const bundle = await fetch(`${service.url}/logs/agents/tile/entries/001`, {
        headers: { authorization: credential('/logs/agents/tile/entries/001') },
      })
      const entries = decodeBundle(new Uint8Array(await bundle.arrayBuffer()), 256)
      const other = resigned(entries[44] ?? new Uint8Array(0))
      if (isBundle)
        return {
          ...reply,
          body: Buffer.from(encodeBundle(entries.with(44, other))).toString('latin1'),
        }
      const tile = Buffer.from(reply.body, 'latin1')
      tile.set(leafHash(p, other), 44 * 32)
      return { ...reply, body: tile.toString('latin1') }
    }
    expect(await found(lying)).toEqual(['signature', 300])
    expect(await found(lying, '--from', '290', '--to', '310')).toEqual(['signature', 300])
  })

  test('entries dropped, cut off, or swapped', async () => {
    const drop = inBundle(256, (entries) => entries.toSpliced(44, 1))
    expect(await found(tamper('/tile/entries/001', drop))).toEqual(['malformed', undefined])
    const cut = (body: string) => body.slice(0, -1)
    expect(await found(tamper('/tile/entries/001', cut))).toEqual(['malformed', undefined])
    expect(await found(tamper('/tile/0/001', cut))).toEqual(['malformed', undefined])
    const swap = inBundle(256, (entries) => entries.toReversed())
    expect(await found(tamper('/tile/entries/001', swap))).toEqual(['tile', 256])
  })

  test('what the head commits to and nobody serves', async () => {
    const problem = JSON.stringify({ code: 'not_found', status: 404, detail: 'none' })
    for (const [path, ...args] of [
      ['/tile/entries/001'],
      ['/tile/0/001'],
      [`&size=${size}`, '--from', '300'],
    ])
      expect(
        await found(
          (seen, forward) =>
            seen.path.endsWith(path ?? '') ? { status: 404, body: problem } : forward(),
          ...args,
        ),
      ).toEqual(['missing', undefined])
  })

  test('nothing that moves the cursor is shown of what the log answers', async () => {
    const detail = '\u001b[2Jholds\u202e'
    const problem = JSON.stringify({ code: 'not_found', status: 404, detail })
    proxy.script = (seen, forward) =>
      seen.path.includes('/tile/entries') ? { status: 404, body: problem } : forward()
    const { out } = await auditAt(url)
    expect(out).toContain('missing: the service says: \\u{1b}[2Jholds')
    expect([out.includes('\u001b'), out.includes('\u202e')]).toEqual([false, false])
    const closed = JSON.stringify({ code: 'role_forbidden', status: 403, detail })
    proxy.script = (seen, forward) =>
      seen.path.includes('/tile/entries') ? { status: 403, body: closed } : forward()
    const { err } = await auditAt(url)
    expect(err).toContain('role_forbidden: the service says: \\u{1b}[2Jholds')
    expect([err.includes('\u001b'), err.includes('\u202e')]).toEqual([false, false])
    const long = JSON.stringify({ code: 'role_forbidden', status: 403, detail: 'x'.repeat(9000) })
    proxy.script = (seen, forward) =>
      seen.path.includes('/tile/entries') ? { status: 403, body: long } : forward()
    const cut = `cannot be read: role_forbidden: the service says: ${'x'.repeat(300)}…\n`
    expect((await auditAt(url)).err).toContain(cut)
  })

  test('a range proof that leads elsewhere', async () => {
    const script: Script = async (seen, forward) => {
      const reply = await forward()
      if (!seen.path.includes('/proofs/range')) return reply
      return changed(reply, (body) => ({ ...body, path: (body['path'] as string[]).toReversed() }))
    }
    expect(await found(script, '--from', '300', '--to', '400')).toEqual(['root', undefined])
  })

  test('a checkpoint of another key, and another tree under the log’s own', async () => {
    const flip = (body: string) => body.replace(/.{8}=\n$/, 'AAAAAAA=\n')
    expect(await found(tamper('/checkpoint', flip))).toEqual(['checkpoint', undefined])
    const other = tamper('/checkpoint', () =>
      signHead(service.keys, ORIGIN, size, new Uint8Array(32).fill(1)),
    )
    expect(await found(other)).toEqual(['root', undefined])
  })

  test('another genesis than the anchor’s', async () => {
    const script: Script = async (seen, forward) => {
      const reply = await forward()
      if (!seen.path.endsWith('/.well-known/trustwarden')) return reply
      return { ...reply, body: reply.body.replace(/("genesis":"[^"]{400})..../, '$1AAAA') }
    }
    expect(await found(script)).toEqual(['genesis', undefined])
    const first = inBundle(256, (entries) => entries.with(0, entries[1] ?? new Uint8Array(0)))
    expect(await found(tamper('/tile/entries/000', first))).toEqual(['genesis', 0])
  })

  test('a log that was rolled back, and one that went another way', async () => {
    const mine = join(scratch.path, 'mine')
    const forks = join(scratch.path, 'forks')
    writeFileSync(mine, await checkpointOf(service))
    writeFileSync(forks, await checkpointOf(fork))
    const at = async (to: string, since: string): Promise<string> => {
      const ended = await auditAt(to, '--since', since, '--save', join(scratch.path, 'none'))
      expect([ended.code, ended.err]).toEqual([1, ''])
      return ended.out
    }
    // Each holds by itself: only a checkpoint of the one shows what the other is.
    expect((await auditAt(fork.url)).code).toBe(0)
    expect(await at(fork.url, mine)).toMatch(/^DIFFERS: forked: /)
    expect(await at(service.url, forks)).toMatch(/^DIFFERS: rolled_back: /)
    const same = join(scratch.path, 'same')
    writeFileSync(same, signHead(service.keys, ORIGIN, size, new Uint8Array(32).fill(1)))
    expect(await at(service.url, same)).toMatch(/^DIFFERS: forked: /)
    expect(() => readFileSync(join(scratch.path, 'none'))).toThrow('ENOENT')
  })

  test('a head that went back below the range that is asked for, or to nothing', async () => {
    const kept = join(scratch.path, 'kept-before')
    writeFileSync(kept, await checkpointOf(service))
    const head = (of: number): Script =>
      tamper('/checkpoint', () => signHead(service.keys, ORIGIN, of, p.sha256(new Uint8Array(0))))
    const since = ['--since', kept]
    expect(await found(head(0), ...since)).toEqual(['rolled_back', undefined])
    for (const range of [['--from', '300'], ['--to', '300'], []])
      expect(await found(head(2), ...since, ...range)).toEqual(['rolled_back', undefined])
    // Nobody needs a kept checkpoint to know that there is a genesis.
    for (const range of [['--from', '0'], ['--to', '300'], []])
      expect(await found(head(0), ...range)).toEqual(['genesis', undefined])
  })
})

describe('says nothing', () => {
  test('about a log that it cannot read', async () => {
    const bare = ['audit', '--url', service.url, '--trust', service.anchor]
    const nobody = await trustwardenAsync(bare)
    expect([nobody.code, nobody.out]).toEqual([2, ''])
    expect(nobody.err).toContain('give --key KEY')
    const owner = await trustwardenAsync([...bare, '--key', service.owner])
    expect([owner.code, owner.out]).toEqual([2, ''])
    const dropping = await (async () => {
      proxy.script = (seen, forward) => (seen.path.includes('/tile/entries') ? 'drop' : forward())
      return auditAt(url)
    })()
    expect([dropping.code, dropping.out]).toEqual([2, ''])
    expect(dropping.err).toContain('service_unreachable')
  })

  test('about a log behind what answers in its place, but for a malformed answer of status 200', async () => {
    const html = '<html>Service Unavailable</html>'
    const instead =
      (of: string, reply: Partial<Reply>): Script =>
      async (seen, forward) => {
        const right = await forward()
        return seen.path.includes(of) ? { ...right, ...reply } : right
      }
    const bundle = '/tile/entries/001'
    for (const [of, reply] of [
      [bundle, { status: 503, body: html }],
      [bundle, { status: 403, body: html }],
      [bundle, { status: 403, body: '{"message":"Forbidden"}' }],
      [bundle, { status: 404, body: html.padEnd(400_000) }],
      [bundle, { status: 304, body: '' }],
      [bundle, { status: 204, body: '' }],
      [bundle, { status: 206 }],
      ['/checkpoint', { status: 206 }],
      ['/.well-known/trustwarden', { status: 403, body: html }],
      ['/v1/pinned/', { status: 403, body: html }],
      ['/v1/pinned/', { status: 206 }],
    ] as const) {
      proxy.script = instead(of, reply)
      const { code, out, err } = await auditAt(url)
      const said = `cannot be read: answer_unexpected: status ${reply.status}`
      expect([of, code, out, err]).toEqual([of, 2, '', expect.stringContaining(said)])
    }
    expect(await found(instead(bundle, { body: html }))).toEqual(['malformed', undefined])
    expect(await found(instead('/v1/pinned/', { body: html }))).toEqual(['pinned', 3])
  })

  test('about a log that is sent in another encoding, which nobody asked for', async () => {
    const asked = new Set<string | undefined>()
    proxy.script = async (seen, forward) => {
      asked.add(seen.headers['accept-encoding'])
      const reply = await forward()
      if (!seen.path.includes('/tile/entries')) return reply
      const body = gzipSync(Buffer.from(reply.body, 'latin1')).toString('latin1')
      return { ...reply, body, headers: { 'content-encoding': 'gzip' } }
    }
    const { code, out, err } = await auditAt(url)
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/answer_encoded: GET \/logs\/agents\/tile\/entries\S+: .*"gzip"/)
    expect([...asked]).toEqual(['identity'])
    proxy.script = async (_seen, forward) => {
      return { ...(await forward()), headers: { 'content-encoding': 'Identity' } }
    }
    expect((await auditAt(url, '--hashes')).code).toBe(0)
  })

  test('about a log at another address, but which one that is', async () => {
    const location = 'https://tw.example.org/logs/agents/checkpoint'
    proxy.script = (seen, forward) =>
      seen.path.endsWith('/checkpoint')
        ? { status: 301, body: '', headers: { location } }
        : forward()
    const { code, out, err } = await auditAt(url)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(
      `answer_redirected: GET /logs/agents/checkpoint: status 301, to ${location}`,
    )
    expect(err).toContain('redirects are not followed: give that address with --url')
  })

  test('to a call that is wrong', async () => {
    for (const [args, said] of [
      [['--from', '5', '--to', '5'], '--from is 5'],
      [['--to', '99999'], '--to is 99999'],
      [['--from', 'x'], '"x" is not an index'],
      [['--data', 'x'], '--data is not for audit --url'],
      [['--as', 'owner'], 'reader or operator'],
      [['--since', auditor], 'malformed'],
    ] as const) {
      const ended = await auditAt(url, ...args)
      expect([args, ended.code, ended.out]).toEqual([args, 2, ''])
      expect(ended.err).toContain(said)
    }
    const lost = ['--url', url, '--trust', service.anchor, '--since', `${auditor}.none`]
    const unread = await trustwardenAsync(['audit', ...lost])
    expect([unread.code, unread.err]).toEqual([2, expect.stringContaining('ENOENT')])
    const without = await trustwardenAsync(['audit', '--data', service.data, '--since', early])
    expect([without.code, without.err]).toEqual([2, expect.stringContaining('audit --url')])
  })
})

/** The auditor's credential for a read. */
function credential(path: string): string {
  return TestClient.reader(auditor, targetOf(service)).credential(path)
}
