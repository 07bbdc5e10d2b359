/**
 * @module Goal: whoever has no more than a head, bundles, tiles and proofs finds, by name and index, what is not as the
 * rules make it; and an audit of a part says what it did not see. Method: the entries of a real log, one of them changed,
 * the tree built over them anew, as only the operator of the log can; sources that give less or other than they should.
 */
import {
  decodeEntry,
  encodeEntry,
  leafHash,
  parseEntryStatement,
  readIssuance,
} from '@trustwarden/proofs'
import type { Entry, EntryFields, Link } from '@trustwarden/proofs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_FOLDS } from '../../src/rules.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { auditEntries } from '../../src/ledger/audit-entries.ts'
import type { EntriesReport, EntrySource } from '../../src/ledger/audit-entries.ts'
import { ChainEnds } from '../../src/ledger/chain-ends.ts'
import { readFrame } from '../../src/ledger/entry-frame.ts'
import { Edge, treeReader } from '../../src/merkle/grow.ts'
import { Prover } from '../../src/merkle/prove.ts'
import { tileNodes } from '../../src/merkle/tiles.ts'
import { keylessRules } from '../../src/offline.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { outcomeOf, resultsOf } from '../support/client.ts'
import { drawPerson, openTestService } from '../support/opened-service.ts'
import type { OpenedService } from '../support/opened-service.ts'
import { TileMap } from '../support/tile-map.ts'

let opened: OpenedService
let entries: readonly Uint8Array[]
let size: number
/** Index of the enrolment of an owner whom genesis does not name, and of the agent that this owner starts. */
let enrolled: number
let foreign: number
/** Index of an action whose decision was allowed. */
let matched: number

beforeAll(async () => {
  opened = await openTestService()
  const { owner, operator } = opened
  const { agent } = await owner.issue('finance/bot/inst-00001')
  const { agent: child } = await agent.issue('finance/bot/reader/inst-00001')
  const acted = await agent.act(await agent.decide())
  matched = Number(resultsOf(acted.reply)[0]?.['index'])
  await child.act(await child.decide('write:everything'))
  const other = opened.as(drawPerson('owner'))
  expect(outcomeOf(await operator.enroll('owner', other.identity, ['other/**']))).toBe('effective')
  enrolled = opened.service.log.head().size - 1
  await agent.submit(Array.from({ length: 260 }, () => agent.makeAction()))
  const issued = await other.issue('other/bot/inst-00001')
  foreign = Number(issued.reply.json()['index'])
  await owner.revoke(`inst:${child.principal}`)
  await agent.submit(Array.from({ length: 260 }, () => agent.makeAction()))
  size = opened.service.log.head().size
  entries = Array.from(
    { length: size },
    (_, index) => opened.service.log.reader.entryBytes(index) ?? new Uint8Array(0),
  )
}, 60_000)
afterAll(() => opened.close())

interface Shown {
  readonly source: EntrySource
  readonly head: { readonly origin: string; readonly size: number; readonly root: Uint8Array }
}

/** A log of these entries, whoever made them. */
function shownOf(all: readonly Uint8Array[]): Shown {
  const { edge, root, tiles } = Edge.empty(p).append(all.map((bytes) => leafHash(p, bytes)))
  const full = new TileMap()
  full.add(tiles)
  const reader = treeReader(edge, full)
  const prover = new Prover(p, all.length, tileNodes(p, all.length, reader))
  const source: EntrySource = {
    readBundle: (index, width) => Promise.resolve(all.slice(index * 256, index * 256 + width)),
    readTile: (level, index, width) =>
      Promise.resolve(reader.readTile(level, index, width).slice(0, width * 32)),
    readRangeProof: (start, end) => Promise.resolve(prover.range(start, end)),
    findIssuance: (instance) => {
      const index = all.findIndex((bytes) => issues(bytes) === instance)
      const bytes = all[index]
      return Promise.resolve(bytes && { index, bytes, path: prover.inclusion(index) })
    },
  }
  return { source, head: { origin: opened.service.genesis.origin, size: all.length, root } }
}

function issues(bytes: Uint8Array): string | undefined {
  const entry = decodeEntry(bytes)
  return entry.kind === 'agent.issue' ? readIssuance(p, entry).record.child.instance.id : undefined
}

interface Asked {
  readonly from?: number
  readonly to?: number
  readonly hashesOnly?: boolean
}

function auditOf(shown: Shown, range: Asked = {}): Promise<EntriesReport> {
  const { genesis } = opened.service
  const { handlers, principals } = keylessRules(genesis)
  return auditEntries({
    ...shown,
    genesis,
    genesisHash: leafHash(p, entries[0] ?? new Uint8Array(0)),
    from: range.from ?? 0,
    to: range.to ?? shown.head.size,
    hashesOnly: range.hashesOnly ?? false,
    handlers,
    folds: ALL_FOLDS,
    principals,
    scratch: new MemoryStore(),
  })
}

async function differenceIn(
  shown: Shown,
  range: Asked = {},
): Promise<readonly [string | undefined, number | undefined]> {
  const { ok, difference } = await auditOf(shown, range)
  expect(ok).toBe(difference === undefined)
  return [difference?.check, difference?.index]
}

/** The log with one entry changed, and the tree built over that. */
function withChanged(index: number, change: (entry: Entry) => Partial<EntryFields>): Shown {
  const entry = decodeEntry(entries[index] ?? new Uint8Array(0))
  return shownOf(entries.with(index, encodeEntry({ ...entry, ...change(entry) })))
}

/** The link with another hash of the entry before. */
const misnamed = (link: Link): Link =>
  link.previous === null
    ? link
    : { ...link, previous: { ...link.previous, leafHash: new Uint8Array(32) } }

const flipLast = (bytes: Uint8Array): Uint8Array => {
  const at = bytes.length - 20
  return bytes.with(at, bytes[at] === 65 ? 66 : 65)
}

describe('from entry 0 on', () => {
  it('a sound log holds, and so does every beginning of it', async () => {
    expect(await auditOf(shownOf(entries))).toEqual({
      ok: true,
      origin: 'log.example/logs/main',
      size,
      from: 0,
      to: size,
      hashesOnly: false,
      replayed: true,
      entries: size,
      tiles: 4,
      signatures: size,
      unverified: 0,
    })
    for (const to of [1, 7, 256, 257, 512]) {
      const report = await auditOf(shownOf(entries), { to })
      expect([report.ok, report.replayed, report.entries]).toEqual([true, true, to])
    }
  })

  it('finds what the rules do not give', async () => {
    const late = withChanged(matched, ({ outcome }) => ({
      outcome: new Map([...outcome, [0, 'late']]),
    }))
    expect(await differenceIn(late)).toEqual(['outcome', matched])
    const back = withChanged(300, ({ timeMs }) => ({ timeMs: timeMs - 100_000 }))
    expect(await differenceIn(back)).toEqual(['time', 300])
    const skipped = withChanged(matched, ({ links }) => ({ links: links.map(misnamed) }))
    expect(await differenceIn(skipped)).toEqual(['chain', matched])
    const signed = withChanged(299, ({ statement }) => ({ statement: flipLast(statement) }))
    expect(await differenceIn(signed)).toEqual(['signature', 299])
    const twice = decodeEntry(entries[300] ?? new Uint8Array(0))
    expect(await differenceIn(withChanged(301, () => ({ statement: twice.statement })))).toEqual([
      'dedup',
      301,
    ])
    expect(await differenceIn(shownOf(entries.with(300, Uint8Array.of(1))))).toEqual(['entry', 300])
  })

  it('finds an entry taken out, put in or moved, wherever the tree was built over that', async () => {
    const out = shownOf(entries.toSpliced(290, 1))
    expect(await differenceIn(out)).toEqual(['entry', 290])
    const swapped = entries.with(290, entries[291] ?? new Uint8Array(0))
    expect(await differenceIn(shownOf(swapped))).toEqual(['entry', 290])
    const other = shownOf(entries.with(0, entries[1] ?? new Uint8Array(0)))
    expect(await differenceIn(other)).toEqual(['genesis', 0])
  })

  it('finds a signature that fails before what it finds later, though verdicts come late', async () => {
    const both = withChanged(299, ({ statement }) => ({ statement: flipLast(statement) }))
    const source = { ...both.source, readRangeProof: () => Promise.resolve([]) }
    const root = new Uint8Array(32)
    expect(await differenceIn({ source, head: { ...both.head, root } })).toEqual(['signature', 299])
  })
})

describe('hashes alone', () => {
  const hashesOnly = true

  it('a sound log holds, whole and in every part, and says that nothing else was checked', async () => {
    const shown = shownOf(entries)
    expect(await auditOf(shown, { hashesOnly })).toEqual({
      ok: true,
      origin: 'log.example/logs/main',
      size,
      from: 0,
      to: size,
      hashesOnly: true,
      replayed: false,
      entries: size,
      tiles: 4,
      signatures: 0,
      unverified: size,
    })
    for (const [from, to] of [
      [1, 2],
      [3, size],
      [255, 257],
      [256, 512],
      [size - 1, size],
    ] as const)
      expect((await auditOf(shown, { from, to, hashesOnly })).difference).toBeUndefined()
  })

  it('finds a link or a time that does not follow, and an entry that is none or of another place', async () => {
    const find = (shown: Shown, range: Asked = {}) => differenceIn(shown, { ...range, hashesOnly })
    const skipped = withChanged(matched, ({ links }) => ({ links: links.map(misnamed) }))
    expect(await find(skipped)).toEqual(['chain', matched])
    const renumbered = withChanged(300, ({ links }) => ({
      links: links.map((link) => ({ ...link, seq: link.seq - 1 })),
    }))
    expect(await find(renumbered)).toEqual(['chain', 300])
    expect(await find(renumbered, { from: 300 })).toEqual(['chain', 301])
    const begun = withChanged(300, ({ links }) => ({
      links: links.map((link) => ({ ...link, seq: 0, previous: null })),
    }))
    expect(await find(begun)).toEqual(['chain', 300])
    // A chain whose beginning is not in the log.
    const middle = withChanged(1, ({ links }) => ({
      links: links.map((link) => ({
        ...link,
        subject: 'inst:spiffe://acme.example/a/b/inst-00009',
        seq: 1,
        previous: { index: 0, leafHash: new Uint8Array(32) },
      })),
      kind: 'kind.unknown',
    }))
    expect(await find(middle)).toEqual(['chain', 1])
    const named = { index: foreign, leafHash: leafHash(p, entries[foreign] ?? new Uint8Array(0)) }
    const inside = withChanged(foreign + 2, ({ links }) => ({
      links: links.map((link, at) => (at > 0 ? link : { ...link, previous: named })),
    }))
    expect(await find(inside, { from: foreign, to: 400 })).toEqual(['chain', foreign + 2])
    const back = withChanged(300, ({ timeMs }) => ({ timeMs: timeMs - 100_000 }))
    expect(await find(back)).toEqual(['time', 300])
    expect(await find(shownOf(entries.with(300, Uint8Array.of(1))))).toEqual(['entry', 300])
    expect(await find(shownOf(entries.toSpliced(290, 1)))).toEqual(['entry', 290])
    const other = shownOf(entries.with(0, entries[1] ?? new Uint8Array(0)))
    expect(await find(other)).toEqual(['genesis', 0])
  })

  it('finds tiles, a root and entries that are not those of each other', async () => {
    const shown = shownOf(entries)
    const readTile: EntrySource['readTile'] = async (level, index, width) => {
      const tile = await shown.source.readTile(level, index, width)
      return level === 0 && index === 1 ? tile.with(32 * 7, (tile[32 * 7] ?? 0) ^ 1) : tile
    }
    const tiles = { ...shown, source: { ...shown.source, readTile } }
    expect(await differenceIn(tiles, { hashesOnly })).toEqual(['tile', 256 + 7])
    const root = { ...shown, head: { ...shown.head, root: new Uint8Array(32) } }
    expect(await differenceIn(root, { hashesOnly })).toEqual(['root', undefined])
    const readBundle: EntrySource['readBundle'] = async (index, width) => {
      const all = await shown.source.readBundle(index, width)
      return all.map((bytes, at) => (index === 1 && at === 9 ? flipLast(bytes) : bytes))
    }
    const changed = { ...shown, source: { ...shown.source, readBundle } }
    expect(await differenceIn(changed, { hashesOnly })).toEqual(['tile', 256 + 9])
  })

  it('does not find what the rules do not give, and says so', async () => {
    const late = withChanged(matched, ({ outcome }) => ({
      outcome: new Map([...outcome, [0, 'late']]),
    }))
    const linked = await auditOf(late, { hashesOnly })
    // The entries behind it name its hash as it was.
    expect(linked.difference?.check).toBe('chain')
    const report = await auditOf(late, { from: matched, to: matched + 1, hashesOnly })
    expect([report.ok, report.replayed, report.hashesOnly]).toEqual([true, false, true])
  })

  it('reads of an entry what the whole of it says, and refuses what ends early, whatever it is', () => {
    for (const bytes of entries) {
      const { index, timeMs, links } = decodeEntry(bytes)
      const frame = readFrame(bytes)
      expect([frame.index, frame.timeMs]).toEqual([index, timeMs])
      const read = frame.links.map(({ previous, ...link }) => {
        if (previous === null) return { ...link, previous }
        const { index: before, hashAt } = previous
        const leafHash = bytes.slice(hashAt, hashAt + 32)
        return { ...link, previous: { index: before, leafHash } }
      })
      expect(read).toEqual(links.map(({ subject, seq, previous }) => ({ subject, seq, previous })))
    }
    const refused = expect.objectContaining({ code: 'entry_invalid' })
    const whole = entries[matched] ?? new Uint8Array(0)
    for (let length = 0; length < whole.length; length++)
      expect(() => readFrame(whole.subarray(0, length))).toThrow(refused)
    expect(() => readFrame(new Uint8Array([...whole, 0]))).toThrow(refused)
    const nested = [0xa8, 0, 1, 1, 0, 2, 0x61, 0x61, 3, 0, 4, ...Array<number>(40).fill(0x81)]
    expect(() => readFrame(Uint8Array.from(nested))).toThrow(/nested too deeply/)
    const endless = [
      0xa8,
      0,
      1,
      1,
      0,
      2,
      0x61,
      0x61,
      3,
      0,
      4,
      0x9b,
      0,
      0x1f,
      ...Array<number>(6).fill(255),
    ]
    expect(() => readFrame(Uint8Array.from(endless))).toThrow(refused)
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        try {
          readFrame(whole.with(at, byte))
        } catch (error) {
          expect(error).toMatchObject({ code: 'entry_invalid' })
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('keeps chains beside that do not fit in memory, and holds links against them', async () => {
    const ends = new ChainEnds(0, new MemoryStore(), 10)
    const hashOf = (index: number): Uint8Array => new Uint8Array(32).fill(index % 251)
    const follow = (index: number, chain: number, before: number | null, skipped = 0): boolean =>
      ends.follow(
        {
          subject: `inst:${chain}`,
          seq: Math.floor(index / 40) + skipped,
          previous: before === null ? null : { index: before, hashAt: 3 },
        },
        {
          index,
          bytes: Uint8Array.of(1, 2, 3, ...hashOf(before ?? 0)),
          leafHash: hashOf(index),
        },
      )
    for (let index = 0; index < 400; index++) {
      const before = index < 40 ? null : index - 40
      expect(follow(index, index % 40, before)).toBe(true)
      await ends.spill()
    }
    expect(follow(400, 0, 320)).toBe(false)
    expect(follow(401, 1, 361, -1)).toBe(false)
    expect(follow(402, 2, null)).toBe(false)
    expect(follow(403, 99, null)).toBe(false)
  })
})

describe('from a later entry on', () => {
  it('a sound log holds in every part, and says whose signature nothing shows', async () => {
    const shown = shownOf(entries)
    for (const [from, to, unverified] of [
      [1, 2, 0],
      [3, size, 0],
      [5, 300, 0],
      [matched, matched + 1, 0],
      [255, 257, 0],
      [256, 512, 1],
      [enrolled, size, 0],
      [enrolled + 1, size, 1],
      [foreign, foreign + 1, 1],
      [foreign + 1, size, 0],
      [size - 1, size, 0],
    ] as const) {
      const report = await auditOf(shown, { from, to })
      expect([from, to, report.difference]).toEqual([from, to, undefined])
      expect([report.replayed, report.entries]).toEqual([false, to - from])
      expect([report.signatures, report.unverified]).toEqual([to - from - unverified, unverified])
    }
  })

  it('finds what the entries of the part contradict', async () => {
    const range = { from: 280, to: 400 }
    const find = (shown: Shown) => differenceIn(shown, range)
    const back = withChanged(300, ({ timeMs }) => ({ timeMs: timeMs - 100_000 }))
    expect(await find(back)).toEqual(['time', 300])
    const skipped = withChanged(300, ({ links }) => ({ links: links.map(misnamed) }))
    expect(await find(skipped)).toEqual(['chain', 300])
    // The first of its chain in the part may name nothing that would lie in the part.
    const named = { index: foreign, leafHash: leafHash(p, entries[foreign] ?? new Uint8Array(0)) }
    const inside = withChanged(foreign + 2, ({ links }) => ({
      links: links.map((link, at) => (at > 0 ? link : { ...link, previous: named })),
    }))
    expect(await differenceIn(inside, { from: foreign, to: 400 })).toEqual(['chain', foreign + 2])
    const signed = withChanged(299, ({ statement }) => ({ statement: flipLast(statement) }))
    expect(await find(signed)).toEqual(['signature', 299])
    const twice = decodeEntry(entries[300] ?? new Uint8Array(0))
    expect(await find(withChanged(301, () => ({ statement: twice.statement })))).toEqual([
      'dedup',
      301,
    ])
    const moved = shownOf(entries.with(300, entries[299] ?? new Uint8Array(0)))
    expect(await find(moved)).toEqual(['entry', 300])
  })

  it('does not find an outcome that the rules do not give, and says that register was not run', async () => {
    const late = withChanged(matched, ({ outcome }) => ({
      outcome: new Map([...outcome, [0, 'late']]),
    }))
    const report = await auditOf(late, { from: matched, to: matched + 1 })
    expect([report.ok, report.replayed]).toEqual([true, false])
  })

  it('takes the key of a signer from no other entry than its issuance, proven', async () => {
    const shown = shownOf(entries)
    const part = { from: 300, to: 310 }
    const find = (findIssuance: EntrySource['findIssuance']) =>
      differenceIn({ ...shown, source: { ...shown.source, findIssuance } }, part)
    const { issuer } = parseEntryStatement(decodeEntry(entries[300] ?? new Uint8Array(0)))
    const right = await shown.source.findIssuance(String(issuer.text))
    if (right === undefined) throw new Error('no issuance')
    expect(await find(() => Promise.resolve(right))).toEqual([undefined, undefined])
    expect(await find(() => Promise.resolve(undefined))).toEqual(['signer', 300])
    const another = issues(entries[foreign] ?? new Uint8Array(0)) ?? ''
    const wrong = await shown.source.findIssuance(another)
    expect(await find(() => Promise.resolve(wrong))).toEqual(['signer', 300])
    // One that lies behind: whoever it issues, it was not the signer yet.
    const behind = { ...shown.source, findIssuance: () => Promise.resolve(wrong) }
    const before = await auditOf(
      { ...shown, source: behind },
      { from: foreign - 5, to: foreign - 4 },
    )
    expect(before.difference).toEqual({
      check: 'signer',
      index: foreign - 5,
      message: `it was issued at entry ${foreign}, after it signed`,
    })
    const unproven = { ...right, path: right.path.with(0, new Uint8Array(32)) }
    expect(await find(() => Promise.resolve(unproven))).toEqual(['inclusion', 300])
    const changed = { ...right, bytes: right.bytes.with(-1, (right.bytes.at(-1) ?? 0) ^ 1) }
    expect(await find(() => Promise.resolve(changed))).toEqual(['inclusion', 300])
  })
})

describe('what the source gives', () => {
  it('is held against the signed root, in whole and in part', async () => {
    const shown = shownOf(entries)
    const root = leafHash(p, new Uint8Array(0))
    const forked = { ...shown, head: { ...shown.head, root } }
    for (const range of [{}, { to: 300 }, { from: 1, to: 4 }])
      expect(await differenceIn(forked, range)).toEqual(['root', undefined])
    const cut = { ...shown.source, readRangeProof: () => Promise.resolve([]) }
    expect(await differenceIn({ ...shown, source: cut }, { from: 5 })).toEqual(['root', undefined])
  })

  it('is held against the tiles, of every level', async () => {
    const shown = shownOf(entries)
    const lying = (at: string, place: number): Shown => ({
      ...shown,
      source: {
        ...shown.source,
        readTile: async (level, index, width) => {
          const bytes = await shown.source.readTile(level, index, width)
          return `${level}/${index}` === at
            ? bytes.with(place * 32, 1 + (bytes[place * 32] ?? 0))
            : bytes
        },
      },
    })
    expect(await differenceIn(lying('0/0', 7))).toEqual(['tile', 7])
    expect(await differenceIn(lying('0/2', 3))).toEqual(['tile', 515])
    expect(await differenceIn(lying('1/0', 1))).toEqual(['tile', 256])
    expect(await differenceIn(lying('0/1', 9), { from: 257, to: 300 })).toEqual(['tile', 265])
    // Beside the part nothing is compared.
    expect(await differenceIn(lying('0/1', 9), { from: 270, to: 300 })).toEqual([
      undefined,
      undefined,
    ])
    const short = { ...shown.source, readTile: () => Promise.resolve(new Uint8Array(31)) }
    expect(await differenceIn({ ...shown, source: short })).toEqual(['malformed', undefined])
  })

  it('that cannot be read is nobody’s finding', async () => {
    const shown = shownOf(entries)
    const source = { ...shown.source, readBundle: () => Promise.reject(new Error('no answer')) }
    await expect(auditOf({ ...shown, source })).rejects.toThrow('no answer')
  })
})
