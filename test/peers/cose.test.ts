/**
 * Goal: COSE is COSE: what we sign two implementations verify that share nothing with ours, and what they sign the service
 * registers. Method: scitt-cose and pycose beside the opened service; both directions, both algorithms; every byte of a
 * statement changed once.
 */
import { spawnSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  canonicalJson,
  decodeEntry,
  type Entry,
  fromBase64url,
  fromHex,
  type JsonValue,
  MEDIA_COSE,
  parseReceipt,
  parseStatement,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PersonKey } from '../../src/sdk/person.ts'
import { type Identity, parseMade, resultsOf, type TestClient } from '../support/client.ts'
import {
  drawPerson,
  type OpenedService,
  openTestService,
  ORIGIN,
} from '../support/opened-service.ts'

const PYTHON = join(process.env['TRUSTWARDEN_PEERS'] ?? '', 'cose', 'bin', 'python')
const SCRIPT = fileURLToPath(new URL('cose/peer.py', import.meta.url))
const HOW =
  'python3 -m venv <folder>/cose && <folder>/cose/bin/pip install -r test/peers/cose/requirements.txt, ' +
  'and TRUSTWARDEN_PEERS=<folder>'
const PEERS = ['scitt-cose', 'pycose'] as const

type Answer = Readonly<Record<string, JsonValue>>

/** Asks the peers, line by line. */
function ask(lines: readonly object[]): readonly Answer[] {
  const input = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  const { stdout, stderr } = spawnSync(PYTHON, [SCRIPT], { input, encoding: 'utf8' })
  const answers = stdout.trim().split('\n')
  if (answers.length !== lines.length) throw new Error(`${SCRIPT}: ${stderr}`)
  return answers.map((line) => JSON.parse(line) as Answer)
}

function pemOf(spki: Uint8Array): string {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return String(key.export({ format: 'pem', type: 'spki' }))
}

describe.skipIf(!existsSync(PYTHON))(
  `scitt-cose and pycose (skipped where they are missing: ${HOW})`,
  () => {
    let opened: OpenedService
    let agent: TestClient
    const people = { EdDSA: PersonKey.generate('EdDSA'), ES256: PersonKey.generate('ES256') }
    const operatorOf = (key: PersonKey): Identity => ({ principal: key.principal('operator'), key })

    beforeAll(async () => {
      opened = await openTestService()
      agent = (await opened.owner.issue('finance/bot/inst-00001')).agent
      for (const key of Object.values(people))
        await opened.operator.enroll('operator', operatorOf(key))
    })
    afterAll(() => opened.close())

    /** What the log holds after a statement was sent to it as it is. */
    async function register(
      statement: Uint8Array,
    ): Promise<readonly [result: Answer, entry: Entry]> {
      const reply = await opened.owner.ask('POST', '/logs/main/v1/statements', {
        headers: { 'content-type': MEDIA_COSE },
        body: statement,
      })
      const [result = {}] = resultsOf(reply)
      expect(result).toMatchObject({ status: 'registered' })
      return [result, decodeEntry(parseReceipt(result['receipt'] ?? null).entry)]
    }

    test.each(PEERS)('%s verifies what we signed, and reads the same claims', async (peer) => {
      const signers = [agent, ...Object.values(people).map((key) => opened.as(operatorOf(key)))]
      for (const signer of signers) {
        const cose = signer.inCose()
        const made =
          signer === agent ? cose.makeAction() : cose.makeEnrolment('reader', drawPerson('reader'))
        const { header, payloadBytes, bytes } = parseMade(made)
        const [, entry] = await register(bytes)
        expect(entry.statement).toEqual(bytes)
        const key = pemOf(signer.identity.key.spki)
        const statement = toHex(entry.statement)
        const [answer] = ask([{ peer, do: 'verify', statement, key }])
        const { iss, sub, aud, iat, jti, alg } = header
        const claims = { 1: iss, 2: sub, 3: aud, 6: iat, 7: jti }
        expect(answer).toEqual({ verified: true, alg, claims, payload: toHex(payloadBytes) })
      }
    })

    test.each(PEERS)('%s refuses it under another key, and with any byte changed', (peer) => {
      const made = agent.inCose().makeAction()
      const bytes = fromBase64url(made.statement)
      const key = pemOf(agent.identity.key.spki)
      const changed = Array.from(bytes, (byte, at) => {
        const copy = new Uint8Array(bytes)
        copy[at] = byte ^ 1
        return { peer, do: 'verify', statement: toHex(copy), key }
      })
      const other = { ...changed[0], statement: toHex(bytes), key: people.ES256.publicPem() }
      const answers = ask([...changed, other])
      expect(answers.filter(({ verified }) => verified === true)).toEqual([])
      expect(ask([{ ...other, key }])).toMatchObject([{ verified: true }])
    })

    test.each(PEERS.flatMap((peer) => [[peer, 'ES256'] as const, [peer, 'EdDSA'] as const]))(
      '%s signs (%s), and the service registers it, without its unprotected header where it has one',
      async (peer, alg) => {
        const key = people[alg]
        for (const unprotected of [false, true]) {
          const whom = drawPerson('reader')
          const payload = canonicalJson({ role: 'reader', key: toBase64url(whom.key.spki) })
          const iat = Math.floor(Date.now() / 1000)
          const jti = `${peer}-${alg}-${unprotected}`
          const [signed] = ask([
            {
              peer,
              do: 'sign',
              alg,
              key: key.privatePem(),
              kid: toHex(fromBase64url(key.kid)),
              typ: 'application/vnd.trustwarden.member.enroll',
              claims: {
                1: key.principal('operator'),
                2: whom.principal,
                3: ORIGIN,
                6: iat,
                7: jti,
              },
              payload: toHex(payload),
              unprotected,
            },
          ])
          const foreign = fromHex(String(signed?.['statement'] as string))
          const [result, { kind, outcome, statement }] = await register(foreign)
          expect([kind, outcome.get(0)]).toEqual(['member.enroll', 'effective'])
          expect(result['unprotected_emptied'] === true).toBe(unprotected)
          expect(toHex(statement) === toHex(foreign)).toBe(!unprotected)
          expect(parseStatement(statement, MEDIA_COSE).header).toMatchObject({ alg, jti, iat })
          const lines = PEERS.map((by) => ({
            peer: by,
            do: 'verify',
            statement: toHex(statement),
            key: key.publicPem(),
          }))
          expect(ask(lines)).toMatchObject([{ verified: true }, { verified: true }])
          expect((await opened.as(whom).read('/logs/main/v1/entries/0')).status).toBe(200)
        }
      },
    )
  },
)
