/**
 * @module Proofs: made over HTTP and in process from the log that the other parts filled, and verified by the kit.
 */
import {
  leafHash,
  noblePrimitives,
  openReceipt,
  parseTrust,
  type Primitives,
  type Receipt,
  type Trust,
  utf8Encode,
  verifyInclusion,
} from '@trustwarden/proofs'
import { BareServer } from './bare-http.ts'
import type { Load } from './load.ts'
import { type Figure, rateOf, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import type { BenchLog } from './service.ts'
import { serviceModule } from './service-module.ts'
import type { BareRate, Ceiling } from './signature.ts'
import { countFor } from './submit.ts'

/** Receipts that are verified in turn. */
const RECEIPTS = 64
const CONNECTIONS = 64

/** What answers inclusion proofs, or the requests for them: the service, and what HTTP costs by itself. */
const BARE_SERVERS = ['node:http', 'fastify'] as const

/** Measures inclusion proofs over HTTP, of random entries in the whole tree, beside servers that prove nothing. */
export async function benchProofsOverHttp(plan: Plan, load: Load): Promise<readonly Figure[]> {
  const rounds = new Rounds('proofs')
  const bare: BareServer[] = []
  try {
    for (const kind of BARE_SERVERS) bare.push(await BareServer.start(kind))
    await measureProofs(plan, load, rounds, bare)
    return rounds.figures()
  } finally {
    for (const server of bare) server.stop()
  }
}

async function measureProofs(
  plan: Plan,
  load: Load,
  rounds: Rounds,
  bare: readonly BareServer[],
): Promise<void> {
  const order = { what: 'proof', perRequest: 1, connections: CONNECTIONS } as const
  const targets = [
    ...BARE_SERVERS.map((kind, place) => ({
      name: `bare ${kind}, the same requests and answers as long`,
      order: { ...order, to: at(bare, place).place },
    })),
    { name: 'inclusion over HTTP', order },
  ]
  const rates: number[] = []
  for (const target of targets)
    rates.push((await load.run({ ...target.order, count: plan.warmUp })).rate)
  for (let round = 1; round <= plan.rounds; round++) {
    plan.progress(`proofs over HTTP: round ${round} of ${plan.rounds}`)
    let ceiling: Ceiling | undefined
    for (const [place, target] of targets.entries()) {
      const count = countFor(rates[place] ?? 0, plan.loadMs, 1)
      const report = await load.run({ ...target.order, count })
      rates[place] = report.rate
      const name = `${target.name}, ${CONNECTIONS} connections`
      rounds.add(name, 'proofs/s', report.rate, ceiling)
      rounds.add(`${name}: p50`, 'ms', report.p50Ms)
      rounds.add(`${name}: p99`, 'ms', report.p99Ms)
      if (report.serviceUs !== undefined)
        rounds.add(`${name}: processor time of the server`, 'µs/proof', report.serviceUs)
      rounds.add(`${name}: processor time of the load`, 'µs/proof', report.loadUs)
      ceiling = { of: target.name, rate: report.rate }
    }
  }
}

/** What is verified, and the primitives it is verified with. */
interface Kit {
  readonly name: string
  readonly primitives: Primitives
  readonly trust: Trust
  readonly receipts: readonly Receipt[]
}

function at<T>(values: readonly T[], turn: number): T {
  const value = values[turn % values.length]
  if (value === undefined) throw new Error('no values')
  return value
}

/** Measures the kit: an inclusion proof against the hashes it takes, a receipt against the signature of its head. */
function verifyRound(rounds: Rounds, plan: Plan, kit: Kit, ed25519: Ceiling): void {
  const { name, primitives, trust, receipts } = kit
  const ms = plan.primitiveMs
  const node = new Uint8Array(65)
  const nodes = at(receipts, 0).path.length
  const hashes: Ceiling = {
    of: `the ${nodes} SHA-256 of it, ${name}`,
    rate: rateOf(ms, () => void primitives.sha256(node)) / nodes,
  }
  const proofs = receipts.map((receipt) => {
    const { head } = openReceipt(primitives, receipt, trust)
    const leaf = leafHash(primitives, receipt.entry)
    const { index, path } = receipt
    return { leafIndex: index, treeSize: head.size, leafHash: leaf, path, root: head.root }
  })
  const inclusion = rateOf(ms, (turn) => verifyInclusion(primitives, at(proofs, turn)))
  rounds.add(`kit verifies inclusion, ${name}`, 'proofs/s', inclusion, hashes)
  const receipt = rateOf(ms, (turn) => void openReceipt(primitives, at(receipts, turn), trust))
  rounds.add(`kit opens a receipt, ${name}`, 'receipts/s', receipt, ed25519)
}

/** The rate of the pure verification by itself: on a head's length of text. */
function nobleCeiling(plan: Plan, [publicKey, message, signature]: readonly Uint8Array[]): Ceiling {
  const [key, text, mark] = [publicKey, message, signature].map((one) => one ?? new Uint8Array(0))
  const rate = rateOf(plan.primitiveMs, () => {
    if (key && text && mark && noblePrimitives.ed25519Verify(key, text, mark)) return
    throw new Error('a good signature was refused')
  })
  return { of: 'noble Ed25519 verifications, 1 thread', rate }
}

/** Keeps the arguments of the one verification that opening a receipt does. */
function signatureOf(receipt: Receipt, trust: Trust): readonly Uint8Array[] {
  let seen: readonly Uint8Array[] = []
  const ed25519Verify: Primitives['ed25519Verify'] = (...parts) => {
    seen = parts
    return noblePrimitives.ed25519Verify(...parts)
  }
  openReceipt({ ...noblePrimitives, ed25519Verify }, receipt, trust)
  return seen
}

/** Measures proofs in this process, one thread, over the log that a service just left. */
export async function benchProofsInProcess(
  plan: Plan,
  bare: BareRate,
  { data, anchor }: BenchLog,
): Promise<readonly Figure[]> {
  const { openService } = await serviceModule<typeof import('../src/build.ts')>('build')
  const { nativePrimitives } = await serviceModule<typeof import('../src/crypto.ts')>('crypto')
  const { readConfig } = await serviceModule<typeof import('../src/config.ts')>('config')
  const config = readConfig({ data, port: '0', 'log-level': 'error' }, {})
  const fatal = (error: Error): void => {
    throw error
  }
  const service = await openService(config, { onFatal: fatal })
  try {
    const { reader } = service.log
    const { size } = reader.head()
    const trust = parseTrust(noblePrimitives, utf8Encode(anchor))
    const drawn = () => Math.floor(Math.random() * size)
    const receipts = Array.from({ length: RECEIPTS }, () => reader.receipt(drawn()))
    const signature = signatureOf(at(receipts, 0), trust)
    const rounds = new Rounds('proofs')
    const noble = { name: 'noble', primitives: noblePrimitives, trust, receipts }
    const native = { name: 'node:crypto', primitives: nativePrimitives, trust, receipts }
    for (let round = 1; round <= plan.rounds; round++) {
      plan.progress(`proofs in process: round ${round} of ${plan.rounds}, ${size} entries`)
      const ceiling = await bare.measure('ES256', 1, plan.primitiveMs)
      const rate = rateOf(plan.primitiveMs, () => void reader.inclusion(drawn(), size))
      rounds.add('inclusion in process, 1 thread', 'proofs/s', rate, ceiling)
      verifyRound(rounds, plan, noble, nobleCeiling(plan, signature))
      verifyRound(
        rounds,
        plan,
        native,
        await bare.measureLibrary('EdDSA', 'node:crypto', 1, plan.primitiveMs),
      )
    }
    rounds.add('size of the tree', 'entries', size)
    return rounds.figures()
  } finally {
    await service.close()
  }
}
