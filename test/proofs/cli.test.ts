/**
 * Goal: the command says of each kind of file whether it holds, why not and what to do next, by exit status and by text
 * or JSON; and nothing about what it cannot read. Method: files in memory; once the built command itself, as a process.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { toBase64, toBase64url, utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { type CliIo, runExplain, runProofs, runVerify } from '../../proofs/cli/main.ts'
import { formatLineage } from '../../proofs/lineage.ts'
import { formatRange } from '../../proofs/range.ts'
import { formatReceipt } from '../../proofs/receipt.ts'
import { formatTlogProof } from '../../proofs/tlog-proof.ts'
import { edit, make } from '../../proofs/vectors/generate-bundle.ts'
import { people } from '../../proofs/vectors/generate-plot.ts'
import { anchorOf, bundleOf, tellStory } from '../../proofs/vectors/generate-story.ts'

const story = tellStory()
const anchor = anchorOf(story)
const { log } = story
const receipts = [5, 6].map((index) => log.receipt(index))
const certificate = story.records.get('child')?.der ?? new Uint8Array()
const pem = `-----BEGIN CERTIFICATE-----\n${toBase64(certificate)}\n-----END CERTIFICATE-----\n`
const proof = formatTlogProof({ index: 8, path: log.path(8), checkpoint: utf8Encode(log.head()) })
const trustFile = JSON.stringify({ format: 'trustwarden-trust/1', logs: [{ anchor }] })
const stranger = tellStory({
  without: ['owner'],
  payload: { genesis: { owners: [] } },
})
const strange = tellStory()
strange.log.append(motion(strange.timeMs))
const files: Readonly<Record<string, Uint8Array>> = {
  'anchor.txt': utf8Encode(`${anchor}\n`),
  'trust.json': utf8Encode(trustFile),
  'other-anchor.txt': utf8Encode(anchorOf(tellStory({ origin: 'log.example/logs/other' }))),
  'retired.json': utf8Encode(
    JSON.stringify({
      format: 'trustwarden-trust/1',
      logs: [{ anchor, keys: [{ vkey: anchor.split(',')[1], from: 0, to: 5 }] }],
    }),
  ),
  'evidence.json': bundleOf(story),
  'cut.json': utf8Encode(make({}, ['decision']).text),
  'bad.json': utf8Encode(
    edit(make(), (bundle) => {
      bundle.action = 7
    }).text.replace('"path":["', '"path":["A'),
  ),
  'receipt.json': formatReceipt(log.receipt(8)),
  'genesis.json': formatReceipt(log.receipt(0)),
  'policy.json': formatReceipt(log.receipt(4)),
  'unknown.json': (() => {
    const told = make(
      { before: { action: (one) => void one.log.append(motion(one.timeMs)) } },
      [],
    ).story
    return formatReceipt(told.log.receipt(8))
  })(),
  'lineage.json': formatLineage({ receipts }),
  'empty-lineage.json': formatLineage({ receipts: [] }),
  'enrolment-lineage.json': formatLineage({ receipts: [log.receipt(3)] }),
  'stranger-lineage.json': formatLineage({
    receipts: [4, 5].map((index) => stranger.log.receipt(index)),
  }),
  'stranger-genesis.json': formatReceipt(stranger.log.receipt(0)),
  'range.json': formatRange(log.range(3, 9)),
  'cut-range.json': formatRange({ ...log.range(3, 9), entries: log.entries.slice(4, 9) }),
  'motion-range.json': formatRange(strange.log.range(9, 11)),
  'strange-anchor.txt': utf8Encode(anchorOf(strange)),
  'entry.tlog-proof': proof,
  'entry.bin': log.entries[8] ?? new Uint8Array(),
  'other.bin': log.entries[7] ?? new Uint8Array(),
  'certificate.pem': utf8Encode(pem),
  'certificate.der': certificate,
  'broken.pem': utf8Encode('-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n'),
  'text.txt': utf8Encode('hello'),
  'binary.bin': Uint8Array.of(0xff, 0xfe),
  'array.json': utf8Encode('[]'),
  'number.json': utf8Encode('{"format":1}'),
  'later.json': utf8Encode('{"format":"trustwarden-evidence/2"}'),
}

function motion(timeMs: number) {
  return {
    kind: 'motion',
    by: people.operator,
    header: { iss: `operator:${people.operator.kid}`, sub: 'log' },
    payload: {},
    prepared: new Map(),
    outcome: new Map([[0, 'moved']]),
    subjects: ['log'],
    timeMs,
  }
}

interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

function ran(run: (io: CliIo) => number): Ran {
  let out = ''
  let err = ''
  const status = run({
    readFile: (path) => {
      const file = files[path]
      if (file === undefined) throw new Error('no such file')
      return file
    },
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { status, out, err }
}

const verify = (...args: readonly string[]): Ran => ran((io) => runVerify(args, io))
const AT = ['--at', '2027-01-15T08:30:00Z'] as const

describe('verify', () => {
  test.each([
    ['the anchor itself', anchor],
    ['a file that holds it', 'anchor.txt'],
    ['a trust file', 'trust.json'],
  ])('holds for evidence under %s', (_, trust) => {
    const { status, out, err } = verify('evidence.json', '--trust', trust)
    expect([status, err]).toEqual([0, ''])
    expect(out).toContain('HOLDS\n')
    expect(out).toContain('verdict  matched: authorized')
    expect(out).toContain('through  spiffe://example.com/finance/orchestrator/inst-aaaaa')
  })

  test('holds for evidence about an action that was not authorized, and says that', () => {
    const made = make({ outcome: { action: [[0, 'expired']] }, delay: { action: 60_000 } })
    const path = 'evidence.json'
    const io = (trust: string): Ran =>
      ran((one) =>
        runVerify([path, '--trust', trust], { ...one, readFile: () => utf8Encode(made.text) }),
      )
    expect(io(anchorOf(made.story))).toMatchObject({
      status: 0,
      out: expect.stringContaining('NOT AUTHORIZED (expired)') as string,
    })
  })

  test('says why evidence does not hold, by its code, and what to do next', () => {
    const { status, out, err } = verify('cut.json', '--trust', anchor)
    expect([status, out]).toEqual([1, ''])
    expect(err).toContain('code     decision_missing\n')
    expect(err).toContain('next     Ask for the bundle again')
    const bad = verify('bad.json', '--trust', anchor)
    expect(bad.status).toBe(1)
    expect(bad.err).not.toContain('next')
    expect(verify('evidence.json', '--trust', 'other-anchor.txt').err).toContain('trust_mismatch')
    expect(verify('evidence.json', '--trust', 'retired.json').err).toContain('head_out_of_range')
  })

  test('writes one JSON object with --json', () => {
    const held = JSON.parse(verify('evidence.json', '--trust', anchor, '--json').out)
    expect(held).toMatchObject({ holds: true, kind: 'evidence', report: { authorized: true } })
    const failed = verify('cut.json', '--json', '--trust', anchor)
    expect(failed.err).toBe('')
    expect(JSON.parse(failed.out)).toMatchObject({ holds: false, code: 'decision_missing' })
    const bad = JSON.parse(verify('bad.json', '--json', '--trust', anchor).out)
    expect(Object.keys(bad)).toEqual(['holds', 'code', 'message'])
    const unread = verify('text.txt', '--trust', anchor, '--json')
    expect(unread.status).toBe(2)
    expect(JSON.parse(unread.out)).toMatchObject({ holds: null })
  })

  test('holds for a receipt, and says what it does not show', () => {
    const { status, out } = verify('receipt.json', '--trust', anchor)
    expect(status).toBe(0)
    expect(out).toContain('entry    8 of log.example/logs/main, kind action')
    expect(out).toContain('signature of the statement was not checked')
    expect(verify('unknown.json', '--trust', anchor).status).toBe(0)
    expect(verify('unknown.json', '--trust', anchor).out).toContain('kind is unknown')
  })

  test('holds for a lineage with the receipt of genesis, at a time', () => {
    const genesis = ['--genesis', 'genesis.json'] as const
    const { status, out, err } = verify('lineage.json', '--trust', anchor, ...genesis, ...AT)
    expect([status, err]).toEqual([0, ''])
    expect(out).toContain('scope    read:transactions')
    for (const file of ['certificate.pem', 'certificate.der']) {
      const own = ['--certificate', file] as const
      expect(verify('lineage.json', '--trust', anchor, ...genesis, ...AT, ...own).status).toBe(0)
    }
    const json = verify('lineage.json', '--trust', anchor, ...genesis, ...AT, '--json').out
    expect(JSON.parse(json)).toMatchObject({ kind: 'lineage', proven: true, depth: 1 })
    expect(
      verify('lineage.json', '--trust', anchor, ...genesis, '--at', '2028-01-01T00:00:00Z').err,
    ).toContain('certificate_expired')
    expect(
      verify('lineage.json', '--trust', anchor, ...genesis, '--certificate', 'other.bin').err,
    ).toContain('issuance_unproven')
    expect(verify('empty-lineage.json', '--trust', anchor, ...genesis).err).toContain(
      'issuance_unproven',
    )
    expect(verify('enrolment-lineage.json', '--trust', anchor, ...genesis).err).toContain(
      'issuance_unproven',
    )
    expect(verify('lineage.json', '--trust', anchor, '--genesis', 'policy.json').err).toContain(
      'genesis_mismatch',
    )
  })

  test('takes an owner whom genesis does not name', () => {
    const common = [
      'stranger-lineage.json',
      '--trust',
      anchorOf(stranger),
      '--genesis',
      'stranger-genesis.json',
      ...AT,
    ]
    expect(verify(...common).err).toContain('owner_unproven')
    const owner = ['--owner', toBase64url(people.owner.spki)] as const
    expect(verify(...common, ...owner, '--pattern', 'finance/**').status).toBe(0)
    expect(verify(...common, ...owner).err).toContain('delegation_invalid')
  })

  test('holds for a range, and says that nothing is left out', () => {
    const held = verify('range.json', '--trust', anchor)
    expect([held.status, held.out]).toEqual([0, expect.stringContaining('entries  3 to 8')])
    expect(held.out).toContain('none left out, none added, none changed')
    expect(held.out).toContain(
      '1 action, 2 agent.issue, 1 decision, 1 owner.enroll, 1 policy.activate',
    )
    const told = ran((io) => runExplain(['range.json', '--trust', anchor], io))
    expect(told.out).toContain('these are all entries from 3 to 8')
    const cut = verify('cut-range.json', '--trust', anchor)
    expect([cut.status, cut.err]).toEqual([1, expect.stringContaining('inclusion_mismatch')])
    const json = JSON.parse(verify('range.json', '--trust', anchor, '--json').out)
    expect(json).toMatchObject({ holds: true, kind: 'range', start: 3, end: 9, size: 10 })
    const unknown = verify('motion-range.json', '--trust', 'strange-anchor.txt').out
    expect(unknown).toContain('1 entry of a kind that is unknown to this release')
  })

  test('holds for a tlog-proof with its entry', () => {
    const args = ['entry.tlog-proof', '--trust', anchor] as const
    expect(verify(...args, '--entry', 'entry.bin').status).toBe(0)
    expect(verify(...args, '--entry', 'other.bin').err).toContain('inclusion_mismatch')
    expect(verify(...args).status).toBe(2)
    const retired = verify('entry.tlog-proof', '--trust', 'retired.json', '--entry', 'entry.bin')
    expect(retired.err).toContain('head_out_of_range')
  })

  test.each([
    ['no file', []],
    ['no trust', ['evidence.json']],
    ['two files', ['evidence.json', 'receipt.json', '--trust', anchor]],
    ['two trusts', ['evidence.json', '--trust', 'other-anchor.txt', '--trust', anchor]],
    ['an unknown option', ['evidence.json', '--trust', anchor, '--fast']],
    ['a file that is not there', ['nowhere.json', '--trust', anchor]],
    ['a trust that is not there', ['evidence.json', '--trust', 'nowhere.txt']],
    ['a trust that is none', ['evidence.json', '--trust', 'text.txt']],
    ['an anchor that is none', ['evidence.json', '--trust', 'twtrust1,a']],
    ['a text', ['text.txt', '--trust', anchor]],
    ['bytes', ['binary.bin', '--trust', anchor]],
    ['an array', ['array.json', '--trust', anchor]],
    ['a format that is a number', ['number.json', '--trust', anchor]],
    ['a later format', ['later.json', '--trust', anchor]],
    ['a lineage without genesis', ['lineage.json', '--trust', anchor]],
    ['a time that is none', ['lineage.json', '--trust', anchor, '--at', 'now']],
    ['a key that is none', ['lineage.json', '--trust', anchor, '--owner', '!']],
    [
      'a certificate that is none',
      ['lineage.json', '--trust', anchor, '--certificate', 'broken.pem'],
    ],
  ])('says nothing about %s: exit status 2', (_, args) => {
    const { status, out, err } = verify(...args)
    expect([status, out]).toEqual([2, ''])
    expect(err).toContain('cannot be read: ')
  })
})

describe('explain', () => {
  test('explains evidence, and lists what any other file shows', () => {
    const { status, out } = ran((io) => runExplain(['evidence.json', '--trust', anchor], io))
    expect(status).toBe(0)
    expect(out).toContain('WHICH AGENT DID THIS\n')
    const receipt = ran((io) => runExplain(['receipt.json', '--trust', anchor], io))
    expect(receipt.out).toContain('entry    8')
  })
})

describe('the command', () => {
  test('tells its two words apart, and how it is used', () => {
    const run = (...args: readonly string[]): Ran => ran((io) => runProofs(args, io))
    expect(run('verify', 'evidence.json', '--trust', anchor).status).toBe(0)
    expect(run('explain', 'evidence.json', '--trust', anchor).status).toBe(0)
    expect(run('--help')).toMatchObject({ status: 0, err: '' })
    const { out } = run('--help')
    for (const args of [
      ['verify', '--help'],
      ['explain', '-h'],
    ])
      expect(run(...args)).toEqual({ status: 0, out, err: '' })
    expect(run()).toMatchObject({ status: 2, out: '' })
    expect(run('fly')).toMatchObject({ status: 2, out: '' })
  })

  test('runs as a process', () => {
    const folder = mkdtempSync(join(tmpdir(), 'proofs-cli-'))
    const main = fileURLToPath(new URL('../../proofs/dist/cli/main.js', import.meta.url))
    try {
      const file = join(folder, 'evidence.json')
      writeFileSync(file, bundleOf(story))
      const out = execFileSync(process.execPath, [main, 'verify', file, '--trust', anchor])
      expect(utf8Decode(new Uint8Array(out))).toContain('HOLDS')
      const failed = spawnSync(process.execPath, [
        main,
        'verify',
        file,
        '--trust',
        anchor.slice(0, -1),
      ])
      expect(failed.status).toBe(2)
      expect(String(failed.stderr)).toContain('cannot be read')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
