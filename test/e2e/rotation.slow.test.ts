/**
 * Goal: the drill of a stolen log key, as the manual tells it, with real processes and files: the new key comes in force with
 * the second operator and not before; what was proven before stays proven; old anchors learn the new key by proof; the
 * stolen key signs nothing that an updated verifier accepts; whatever is killed or missing on the way is named. Method: the
 * real CLI and service, killed with SIGKILL between the steps, and heads that the thief signs.
 */
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  formatHeadBody,
  formatNote,
  noblePrimitives,
  noteSigningInput,
  openHead,
  parseHeadBody,
  parseNote,
  parseTrustAnchor,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import { AgentIdentity, PersonKey, signStatement, TrustWarden } from 'trustwarden'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { readKeyFile } from '../../src/keys.ts'
import { trustwarden } from '../support/command-line.ts'
import { removeLog, runCli, type RunningService, startService } from '../support/service.ts'
import { makeTwoOperatorLog, type TwoOperators } from '../support/two-operators.ts'

let log: TwoOperators
let service: RunningService
let proposal: string
let before: string
let stolen: ReturnType<typeof signerFromPrivateKey>
/** The trust file after the rotation. */
let updated: string

const path = (name: string): string => join(log.root, name)
const verify = (file: string, trust: string) => trustwarden(['verify', file, '--trust', trust])
const activate = (operator: string, file: string = proposal) =>
  trustwarden([
    'keys',
    'activate',
    file,
    '--key',
    operator,
    '--url',
    service.url,
    '--trust',
    log.anchor,
  ])

/** Lets an agent act, and collects the evidence. */
async function act(trust: string, out: string): Promise<string> {
  const text = trust.startsWith('twtrust') ? trust : readFileSync(trust, 'utf8')
  const client = await TrustWarden.connect({ url: service.url, trust: text })
  const owner = PersonKey.fromFile(log.owner)
  const scope = ['read:transactions']
  const agent = await AgentIdentity.create({ client, owner, name: 'finance/bot', scope, ttl: '1h' })
  let index = -1
  await agent.perform(
    { action: 'read:transactions', resource: { type: 'table', id: 'bank/transactions' } },
    () => Promise.resolve(1),
    {
      onRecorded: (recorded) => {
        index = recorded.index
      },
    },
  )
  const by = ['--as', 'operator', '--key', log.operator, '--url', service.url, '--trust', trust]
  runCli(['evidence', String(index), '--out', out, ...by])
  return out
}

async function checkpoint(): Promise<string> {
  return (await fetch(`${service.url}/logs/agents/checkpoint`)).text()
}

/** How many keys signed the latest head. */
async function signatures(): Promise<number> {
  return parseNote(utf8Encode(await checkpoint())).signatures.length
}

async function restart(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  await service.stop(signal)
  service = await startService(log)
}

function newKeyFile(): string {
  const [name = ''] = readdirSync(log.keys).filter((one) => one.startsWith('log-'))
  return join(log.keys, name)
}

beforeAll(async () => {
  log = makeTwoOperatorLog()
  stolen = signerFromPrivateKey(readKeyFile(join(log.keys, 'log.key')))
  service = await startService(log)
  before = await act(log.anchor, path('before.json'))
}, 120_000)

afterAll(async () => {
  await service.stop('SIGKILL')
  removeLog(log)
})

describe('the key is made', () => {
  test('beside the one in force, for its owner alone, and signs nothing', async () => {
    proposal = path('rotation.json')
    const args = ['keys', 'rotate-log', '--data', log.data, '--out', proposal]
    expect(trustwarden([...args, '--overlap', '1023']).code).toBe(2)
    const made = JSON.parse(runCli([...args, '--overlap', '1100', '--json'])) as { key: string }
    expect(made.key).toBe(newKeyFile())
    // Too early: there is nothing to learn, and no file that would be in the way later.
    updated = path('updated.json')
    const by = ['--trust', log.anchor, '--url', service.url, '--out', updated]
    expect(runCli(['trust', 'update', ...by])).toContain('nothing was written')
    expect(existsSync(updated)).toBe(false)
    expect(trustwarden(args)).toMatchObject({ code: 1 })
    expect(readdirSync(log.keys).filter((one) => one.startsWith('log-'))).toHaveLength(1)
    const refused = activate(log.operators[0])
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('key_not_held')])
    expect(await signatures()).toBe(1)
  })

  test('and a start opens it, with a word about a file that a crash cut off', async () => {
    const cut = join(log.keys, 'log-0123456789abcdef.key')
    writeFileSync(cut, '-----BEGIN PRIVATE KEY-----\nMC4C', { mode: 0o600 })
    await restart()
    expect(service.stderr()).toContain('log-0123456789abcdef.key')
    rmSync(cut)
    expect(await signatures()).toBe(1)
  })
})

describe('operators put it in force', () => {
  test('not one of two, however often, and not after a kill', async () => {
    for (let times = 0; times < 2; times++) {
      const { out } = activate(log.operators[0])
      // What the manual says to type, as it stands.
      expect(out).toMatch(/^pending: /)
      const at = `--url ${service.url} --trust ${log.anchor}`
      expect(out).toContain(`trustwarden keys activate ${proposal} --key KEY ${at}\n`)
      await restart()
      expect(await signatures()).toBe(1)
    }
    const stranger = path('stranger.key')
    runCli(['keygen', '--out', stranger, '--plain-key'])
    expect(activate(stranger).err).toContain('signer_unknown')
  })

  test('with the second: from then on both keys sign, over a kill too', async () => {
    // A key that is in memory alone is not put in force: no later start would find it.
    const file = newKeyFile()
    renameSync(file, `${file}.away`)
    expect(activate(log.operators[1]).err).toContain('key_not_held')
    renameSync(`${file}.away`, file)
    expect(activate(log.operators[1]).out).toContain('effective')
    expect(await signatures()).toBe(2)
    rmSync(join(log.data, 'trust.json'))
    await restart()
    expect(await signatures()).toBe(2)
    expect(JSON.parse(readFileSync(join(log.data, 'trust.json'), 'utf8'))).toMatchObject({
      logs: [{ keys: [{ from: 0 }, { to: null }] }],
    })
  })

  test('once: replayed, it is of a key that is not in force', () => {
    for (const operator of log.operators)
      expect(activate(operator).err).toContain('rotation_outdated')
  })

  test('and neither key may be missing while both sign', async () => {
    await service.stop('SIGTERM')
    for (const name of [newKeyFile(), join(log.keys, 'log.key')]) {
      renameSync(name, `${name}.away`)
      const started = trustwarden(['serve', '--data', log.data, '--port', '0'])
      renameSync(`${name}.away`, name)
      expect(started.code).toBe(2)
      expect(started.err).toContain(`there is no ${name}`)
    }
    service = await startService(log)
  })
})

describe('verifiers', () => {
  test('with the old anchor go on while the old key signs too, and learn the new one by proof', async () => {
    const overlapping = await act(log.anchor, path('overlapping.json'))
    for (const file of [before, overlapping]) expect(verify(file, log.anchor).code).toBe(0)
    const own = runCli(['trust', 'show', '--data', log.data])
    const by = ['--trust', log.anchor, '--url', service.url, '--out']
    // Repeated, it takes the place of a file that it extends, and of no other.
    writeFileSync(updated, `${log.anchor}\n`)
    for (let times = 0; times < 2; times++) {
      expect(runCli(['trust', 'update', ...by, updated])).toContain('verified and updated')
      expect(readFileSync(updated, 'utf8')).toBe(own)
    }
    const stranger = makeTwoOperatorLog()
    const other = JSON.parse(own) as { logs: [{ keys: { from: number; to: number | null }[] }] }
    const [old, next] = other.logs[0].keys
    if (old === undefined || next === undefined) throw new Error('no rotation')
    next.from -= 1
    old.to = next.from - 1
    for (const [name, text] of [
      ['letter', 'Dear'],
      ['stranger', `${stranger.anchor}\n`],
      ['other-sizes', JSON.stringify(other)],
    ] as const) {
      writeFileSync(path(name), text)
      const refused = trustwarden(['trust', 'update', ...by, path(name)])
      expect([name, refused.code, refused.err]).toEqual([
        name,
        1,
        expect.stringContaining('EEXIST'),
      ])
      expect(readFileSync(path(name), 'utf8')).toBe(text)
    }
    removeLog(stranger)
    for (const file of [before, overlapping]) expect(verify(file, updated).code).toBe(0)
    const rotations = path('rotations.json')
    writeFileSync(rotations, await (await fetch(`${service.url}/logs/agents/v1/rotations`)).text())
    for (const trust of [log.anchor, updated])
      expect(runCli(['trust', 'update', '--trust', trust, '--rotations', rotations])).toBe(
        readFileSync(updated, 'utf8'),
      )
  })

  test('beyond the overlap are told what to do, and an SDK that began before goes on', async () => {
    const early = await TrustWarden.connect({ url: service.url, trust: log.anchor })
    const operator = PersonKey.fromFile(log.operator).as('operator')
    const readers = Array.from({ length: 1100 }, () => {
      const { spki } = signerFromPrivateKey(generateKey('EdDSA'))
      const kid = Buffer.from(nativePrimitives.sha256(spki)).toString('base64url')
      const payload = { role: 'reader', key: Buffer.from(spki).toString('base64url') }
      return signStatement(operator, early.origin, {
        type: 'member.enroll',
        subject: `reader:${kid}`,
        payload,
      })
    })
    for (const at of [0, 550]) await early.submitMany(readers.slice(at, at + 550))
    expect(early.trust.logs[0]?.keys).toHaveLength(2)
    expect(await signatures()).toBe(1)
    const after = await act(updated, path('after.json'))
    expect(verify(after, updated).code).toBe(0)
    const stale = verify(after, log.anchor)
    expect(stale.code).toBe(1)
    expect(stale.err).toContain('key_unknown')
    expect(stale.err).toContain('trustwarden trust update')
    expect(verify(before, log.anchor).code).toBe(0)
    // Who comes so late still learns it: the proof is under a head of the overlap.
    const late = path('late.json')
    runCli(['trust', 'update', '--trust', log.anchor, '--url', service.url, '--out', late])
    expect(readFileSync(late, 'utf8')).toBe(readFileSync(updated, 'utf8'))
  })

  test('that are updated accept no later head of the stolen key', () => {
    const bundle = JSON.parse(readFileSync(path('after.json'), 'utf8')) as { head: string }
    const { text } = parseNote(utf8Encode(bundle.head))
    const { key } = parseTrustAnchor(noblePrimitives, log.anchor)
    const signature = stolen.sign(noteSigningInput(text))
    const note = formatNote(text, [{ name: key.name, keyId: key.keyId, signature }])
    // The signature itself is good: only the range refuses it.
    expect(openHead(noblePrimitives, note, [key], key.name).size).toBe(parseHeadBody(text).size)
    const forged = path('forged.json')
    writeFileSync(forged, JSON.stringify({ ...bundle, head: utf8Decode(note) }))
    const refused = verify(forged, updated)
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('head_out_of_range')])
    const body = formatHeadBody({ ...parseHeadBody(text), size: parseHeadBody(text).size + 5 })
    expect(body).not.toBe(text)
  })
})

describe('afterwards', () => {
  test('the old key is destroyed, the audit holds, and the log rotates again', async () => {
    await restart('SIGTERM')
    expect(service.stderr()).toContain('destroy it')
    await service.stop('SIGTERM')
    rmSync(join(log.keys, 'log.key'))
    const audit = (trust: string) => trustwarden(['audit', '--data', log.data, '--trust', trust])
    for (const trust of [log.anchor, updated]) expect(audit(trust).out).toContain('holds')
    const shifted = path('shifted.json')
    const file = JSON.parse(readFileSync(updated, 'utf8')) as {
      logs: [{ keys: { from: number; to: number | null }[] }]
    }
    const moved = file.logs[0].keys.map((key, at) =>
      at === 0 ? { ...key, to: 900 } : { ...key, from: 901 },
    )
    writeFileSync(shifted, JSON.stringify({ ...file, logs: [{ ...file.logs[0], keys: moved }] }))
    expect(audit(shifted).out).toContain('the trust gives log key 0 sizes 0 to 900')
    service = await startService(log)
    const again = path('again.json')
    runCli(['keys', 'rotate-log', '--data', log.data, '--out', again])
    await restart('SIGTERM')
    const by = (operator: string) =>
      trustwarden([
        'keys',
        'activate',
        again,
        '--key',
        operator,
        '--url',
        service.url,
        '--trust',
        updated,
      ])
    expect(by(log.operators[0]).out).toContain('pending')
    expect(by(log.operators[1]).out).toContain('effective')
    const both = runCli(['trust', 'update', '--trust', log.anchor, '--url', service.url])
    expect((JSON.parse(both) as { logs: { keys: unknown[] }[] }).logs[0]?.keys).toHaveLength(3)
  })
})
