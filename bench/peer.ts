/**
 * @module Tessera's POSIX storage beside the service, in the same rounds, on the same disk: its conformance server under
 * its own load tool. README.md says what each of the two does for an entry, which is not the same.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Load } from './load.ts'
import { type Figure, medianOf, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { processorUs } from './processor.ts'
import { freePort } from './service.ts'
import { countFor } from './submit.ts'

const VERSION = 'v1.0.4'
const MODULES = ['cmd/conformance/posix', 'internal/hammer']
const LOG_NAME = 'bench.example/tessera'
/** Its own figures are measured with these. */
const WRITERS = 512
const WRITES_MAX = 100_000
/** Lengths of leaves: what its own figures are measured with, and what an action's statement has. */
const LEAF_LENGTHS = [512, 1458] as const
const CONNECTIONS = [64, 256] as const
const PROVABLE_SAMPLES = 10
const POLL_MS = 5
const WAIT_MS = 15_000
const ED25519 = 1
const ED25519_KEY_BYTES = 32

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function binFolder(): string {
  return join(
    process.env['TRUSTWARDEN_PEERS'] ?? join(homedir(), '.cache', 'trustwarden-peers'),
    'bin',
  )
}

/** What is missing to measure it, or undefined. */
export function missingPeer(): string | undefined {
  const bin = binFolder()
  if (['posix', 'hammer'].every((name) => existsSync(join(bin, name)))) return undefined
  const install = MODULES.map(
    (module) => `GOBIN=${bin} go install github.com/transparency-dev/tessera/${module}@${VERSION}`,
  )
  return `peer: skipped, Tessera is not in ${bin}: ${install.join(' && ')}`
}

/** A key pair as notes name it (C2SP signed-note): `PRIVATE+KEY+<name>+<hash>+<key>` and `<name>+<hash>+<key>`. */
function drawNoteKey(): { readonly signer: string; readonly verifier: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  })
  const typed = (key: Buffer): Buffer =>
    Buffer.concat([Buffer.of(ED25519), key.subarray(-ED25519_KEY_BYTES)])
  const hash = createHash('sha256').update(`${LOG_NAME}\n`).update(typed(publicKey)).digest('hex')
  const id = `${LOG_NAME}+${hash.slice(0, 8)}`
  return {
    signer: `PRIVATE+KEY+${id}+${typed(privateKey).toString('base64')}`,
    verifier: `${id}+${typed(publicKey).toString('base64')}`,
  }
}

/** A Tessera log that is served. */
class Tessera {
  readonly url: string
  readonly #root: string
  readonly #child: ChildProcess
  readonly #verifier: string
  readonly #storage: string

  private constructor(root: string, storage: string, verifier: string, port: number) {
    this.#root = root
    this.#storage = storage
    this.#verifier = verifier
    this.url = `http://127.0.0.1:${port}`
    const listen = ['-listen', `127.0.0.1:${port}`]
    const key = ['-private_key', join(root, 'key')]
    this.#child = spawn(
      join(binFolder(), 'posix'),
      ['-storage_dir', storage, ...listen, ...key, '-stderrthreshold', 'FATAL'],
      { stdio: 'ignore' },
    )
    process.once('exit', this.#kill)
  }

  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  static async start(): Promise<Tessera> {
    const root = mkdtempSync(join(tmpdir(), 'trustwarden-tessera-'))
    const storage = join(root, 'log')
    mkdirSync(storage)
    const { signer, verifier } = drawNoteKey()
    writeFileSync(join(root, 'key'), signer, { mode: 0o600 })
    const tessera = new Tessera(root, storage, verifier, await freePort())
    // The first checkpoint is that of the empty tree.
    await tessera.awaitSize((size) => size >= 0)
    return tessera
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Size of the published checkpoint: its second line. */
  size(): number {
    try {
      return Number(readFileSync(join(this.#storage, 'checkpoint'), 'latin1').split('\n')[1])
    } catch {
      return -1
    }
  }

  /** Waits for a checkpoint, and says when it was seen. */
  async awaitSize(isWanted: (size: number) => boolean): Promise<{ size: number; atMs: number }> {
    const until = performance.now() + WAIT_MS
    for (;;) {
      const size = this.size()
      const atMs = performance.now()
      if (isWanted(size)) return { size, atMs }
      if (atMs > until) throw new Error('Tessera published no checkpoint')
      await sleep(POLL_MS)
    }
  }

  /** Starts its load tool; it writes until it is ended. */
  hammer(leafLength: number): ChildProcess {
    const flags = {
      log_url: `${this.url}/`,
      log_public_key: this.#verifier,
      num_writers: WRITERS,
      max_write_ops: WRITES_MAX,
      leaf_min_size: leafLength,
      dup_chance: 0,
      num_readers_full: 0,
      num_readers_random: 0,
      show_ui: false,
      stderrthreshold: 'FATAL',
    }
    const args = Object.entries(flags).map(([name, value]) => `-${name}=${value}`)
    return spawn(join(binFolder(), 'hammer'), args, { stdio: 'ignore' })
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await ended
    process.removeListener('exit', this.#kill)
    rmSync(this.#root, { recursive: true, force: true })
  }
}

interface Rate {
  readonly rate: number
  readonly serviceUs: number
  readonly loadUs: number
}

/** Entries a second from one checkpoint to another, both seen as they came, while its tool writes. */
async function measureRate(tessera: Tessera, leafLength: number, ms: number): Promise<Rate> {
  const before = tessera.size()
  const hammer = tessera.hammer(leafLength)
  const kill = (): void => void hammer.kill('SIGKILL')
  process.once('exit', kill)
  try {
    // The tool writes nothing in its first second: measured is from the second checkpoint that grew.
    const first = await tessera.awaitSize((size) => size > before)
    const from = await tessera.awaitSize((size) => size > first.size)
    const used = (pid: number): number => processorUs(pid) ?? 0
    const [service, load] = [used(tessera.pid), used(hammer.pid ?? 0)]
    await sleep(ms)
    const last = tessera.size()
    const to = await tessera.awaitSize((size) => size > last)
    const count = to.size - from.size
    return {
      rate: (count * 1000) / (to.atMs - from.atMs),
      serviceUs: (used(tessera.pid) - service) / count,
      loadUs: (used(hammer.pid ?? 0) - load) / count,
    }
  } finally {
    const ended = new Promise((resolve) => hammer.once('exit', resolve))
    hammer.kill('SIGTERM')
    await ended
    process.removeListener('exit', kill)
  }
}

/** From sending a leaf to a checkpoint that covers the index it was given, in ms, idle otherwise. */
async function measureProvable(tessera: Tessera): Promise<number> {
  const times: number[] = []
  for (let at = 0; at < PROVABLE_SAMPLES; at++) {
    const from = performance.now()
    const body = `provable ${from} ${at} ${'.'.repeat(LEAF_LENGTHS[0])}`
    const answer = await fetch(`${tessera.url}/add`, { method: 'POST', body })
    const index = Number(await answer.text())
    const { atMs } = await tessera.awaitSize((size) => size > index)
    times.push(atMs - from)
  }
  return medianOf(times)
}

/** Measures both, turn by turn. Ratios of the service are to Tessera's figure of the same round. */
export async function benchPeer(plan: Plan, load: Load): Promise<readonly Figure[]> {
  const rounds = new Rounds('peer')
  const tessera = await Tessera.start()
  try {
    const rates = new Map<number, number>()
    for (const connections of CONNECTIONS) {
      const order = { what: 'action', perRequest: 1, connections, count: plan.warmUp } as const
      rates.set(connections, (await load.run(order)).rate)
    }
    for (let round = 1; round <= plan.rounds; round++) {
      const theirs = new Map<number, number>()
      for (const length of LEAF_LENGTHS) {
        plan.progress(`peer: round ${round} of ${plan.rounds}, Tessera, ${length} bytes a leaf`)
        const { rate, serviceUs, loadUs } = await measureRate(tessera, length, plan.peerMs)
        theirs.set(length, rate)
        const name = `Tessera, ${length} bytes a leaf, ${WRITERS} writers`
        rounds.add(name, 'entries/s', rate)
        rounds.add(`${name}: processor time of its server`, 'µs/entry', serviceUs)
        rounds.add(`${name}: processor time of its load tool`, 'µs/entry', loadUs)
      }
      const provable = await measureProvable(tessera)
      rounds.add('Tessera: submit to provable, one client, p50', 'ms', provable)
      for (const connections of CONNECTIONS) {
        const name = `the service, 1 a request, ${connections} connections`
        plan.progress(`peer: round ${round} of ${plan.rounds}, ${name}`)
        const count = countFor(rates.get(connections) ?? 0, plan.loadMs, 1)
        const { rate } = await load.run({ what: 'action', perRequest: 1, connections, count })
        rates.set(connections, rate)
        const bar = theirs.get(LEAF_LENGTHS[0]) ?? 0
        const ceiling = { of: `Tessera, ${LEAF_LENGTHS[0]} bytes a leaf`, rate: bar }
        rounds.add(name, 'entries/s', rate, ceiling)
      }
      const single = await load.run({ what: 'action', perRequest: 1, connections: 1, count: 50 })
      const ceiling = { of: "Tessera's submit to provable", rate: provable }
      rounds.add(
        'the service: submit to proof in hand, one client, p50',
        'ms',
        single.p50Ms,
        ceiling,
      )
    }
    return rounds.figures()
  } finally {
    await tessera.stop()
  }
}
