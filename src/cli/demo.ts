/**
 * @module `trustwarden demo`: the product in one story, with a real service in a process of its own and everybody
 * else as its client over HTTP: an owner, two agents, a rogue, an auditor, and at last somebody offline who trusts
 * nobody.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import {
  type EvidenceReport,
  explainEvidence,
  formatEvidence,
  formatReceipt,
  noblePrimitives,
  parseEvidence,
  parseTrust,
  ProofError,
  verifyEvidence,
} from '@trustwarden/proofs'
import {
  AgentIdentity,
  enrollReader,
  type Permission,
  PersonKey,
  Reader,
  revoke,
  TrustWarden,
  TrustWardenError,
} from 'trustwarden'
import type { ExitCode, Io } from './command.ts'
import { DemoError, type DemoService, runCommand, startDemoService } from './demo-service.ts'
import { createTeller, type Teller } from './demo-teller.ts'
import { startProgress } from './progress.ts'

const ORIGIN = 'demo.example/logs/agents'
const TRUST_DOMAIN = 'demo.example'
const READ = {
  action: 'read:transactions',
  resource: { type: 'table', id: 'bank/transactions' },
  resourceProperties: { rows_max: 100 },
} as const

/** Where one run of the demo lies. */
interface Places {
  readonly data: string
  readonly people: string
  readonly evidence: string
  /** A path as it is shown: relative to where the demo was started. */
  readonly shown: (path: string) => string
}

/** Everybody who plays. */
interface Cast {
  readonly io: Io
  readonly tell: Teller
  readonly places: Places
  readonly service: DemoService
  /** The trust anchor, as `init` printed it. */
  readonly anchor: string
  readonly owner: PersonKey
  readonly operator: PersonKey
  /** A client of its own for each. */
  readonly connect: () => Promise<TrustWarden>
}

/** What the story leaves behind. */
interface Files {
  readonly bundle: Uint8Array
  readonly bundlePath: string
  readonly anchorPath: string
}

function findPlaces(directory: string): Places {
  for (let number = 1; ; number++) {
    const data = join(directory, 'data', `demo-${number}`)
    const evidence = join(directory, 'evidence', `demo-${number}`)
    if (existsSync(data) || existsSync(evidence)) continue
    const people = `${data}.people`
    for (const path of [join(directory, 'data'), people, evidence])
      mkdirSync(path, { recursive: true, mode: 0o700 })
    return { data, people, evidence, shown: (path) => relative(process.cwd(), path) || '.' }
  }
}

async function makeLog(tell: Teller, places: Places): Promise<string> {
  tell.step('People make their keys, an operator makes a log')
  tell.say('The owner answers for agents; the operator runs the service. Their keys are theirs:')
  tell.say('the service never sees the private halves.')
  const { data, people, shown } = places
  for (const name of ['owner', 'operator'])
    await runCommand(['keygen', '--out', join(people, `${name}.key`), '--plain-key'])
  await runCommand([
    'init',
    `--data=${data}`,
    `--origin=${ORIGIN}`,
    `--trust-domain=${TRUST_DOMAIN}`,
    `--owner=${join(people, 'owner.key.pub')}`,
    `--operator=${join(people, 'operator.key.pub')}`,
    '--plain-keys',
  ])
  const anchor = (await runCommand(['trust', 'show', '--data', data])).trim()
  tell.fact('log', `${ORIGIN} in ${shown(data)}`)
  tell.fact('people', shown(people))
  tell.say('This is the trust anchor. Whoever has it can check everything below, and needs to')
  tell.say('believe neither the service nor us:')
  tell.say(`  ${anchor}`)
  return anchor
}

async function startOrchestrator({ tell, connect, owner }: Cast): Promise<AgentIdentity> {
  tell.step('The owner starts an agent: the finance orchestrator')
  tell.say('The agent draws its own key. The owner signs what it may do and for how long. The')
  tell.say('service puts that into its log first, and hands out the certificate after.')
  const orchestrator = await AgentIdentity.create({
    client: await connect(),
    owner,
    name: 'finance/orchestrator',
    scope: ['read:transactions', 'write:reports'],
    ttl: '1h',
  })
  tell.fact('agent', orchestrator.id)
  tell.fact('scope', orchestrator.scope.join(', '))
  tell.fact('answers to', orchestrator.owner)
  tell.good('certificate, delegation and the receipt of the log verified by the agent itself')
  return orchestrator
}

async function startFetcher(cast: Cast, orchestrator: AgentIdentity): Promise<AgentIdentity> {
  const { tell } = cast
  tell.step('The orchestrator starts a child: the data fetcher')
  tell.say('A child may do strictly less than its parent, and lives no longer. The parent signs;')
  tell.say('no person is needed, and yet the owner stays provable.')
  const fetcher = await AgentIdentity.create({
    parent: orchestrator,
    client: await cast.connect(),
    name: 'data-fetcher',
    scope: ['read:transactions'],
    ttl: '15m',
  })
  tell.fact('agent', fetcher.id)
  tell.fact('scope', fetcher.scope.join(', '))
  tell.good('lineage verified: owner → orchestrator → data fetcher')
  return fetcher
}

async function actOnce({ tell }: Cast, fetcher: AgentIdentity): Promise<number> {
  tell.step('The data fetcher asks, is allowed, acts, and reports')
  const permission = await fetcher.authorize(READ)
  expectThat(permission.allowed, `the gate answered ${permission.effect}`)
  tell.good(`${READ.action} on ${READ.resource.id} is allowed (entry ${permission.index})`)
  tell.say('The allow came with a permit of 30 seconds for exactly this action. Now it acts:')
  const rows = 42
  const { verdict, index } = await fetcher.record({
    permission,
    outcome: 'success',
    details: { rows, note: 'personal data stays beside the log, salted, and can be erased' },
  })
  expectThat(verdict === 'matched', `the report was found ${verdict}`)
  tell.good(`read ${rows} rows; the report is entry ${index}, matched to its permission`)
  return index
}

async function meetRogue({ tell, places }: Cast, orchestrator: AgentIdentity): Promise<void> {
  tell.step('A rogue child asks for more than its parent has')
  tell.say('It wants delete:transactions. Its parent has no such right to give.')
  const refused = await orchestrator
    .startChild({ name: 'rogue', scope: ['delete:transactions'] })
    .then(
      () => undefined,
      (error: unknown) => error,
    )
  if (!(refused instanceof TrustWardenError) || refused.receipt === undefined)
    throw new DemoError('the rogue was not refused as it should be', { cause: refused })
  tell.stopped(`HTTP ${refused.status}: ${refused.code}`)
  const path = join(places.evidence, 'refusal-receipt.json')
  writeFileSync(path, formatReceipt(refused.receipt))
  tell.say(`Even the refusal is an entry, ${refused.receipt.index}, and comes with its receipt:`)
  tell.fact('receipt', places.shown(path))
}

function tellDenied(tell: Teller, permission: Permission, what: string): void {
  expectThat(!permission.allowed, `${what} was allowed`)
  tell.stopped(`${what}: ${permission.effect}, because ${permission.reasons.join(', ')}`)
  tell.say(`Denied and recorded, entry ${permission.index}; there is no permit to show to anybody.`)
}

async function denyOutOfScope({ tell }: Cast, fetcher: AgentIdentity): Promise<void> {
  tell.step('The data fetcher tries something outside of its scope')
  const permission = await fetcher.authorize({ action: 'write:reports', resource: 'reports/q4' })
  tellDenied(tell, permission, 'write:reports')
}

async function stopFetcher(cast: Cast, fetcher: AgentIdentity): Promise<void> {
  const { tell, owner, connect } = cast
  tell.step('The owner stops the data fetcher')
  const { index } = await revoke(await connect(), owner.as('owner'), `inst:${fetcher.id}`, {
    reason: 'compromised',
  })
  tell.good(`revoked by entry ${index}; final for this instance`)
  tell.say('Its very next request, the same that was allowed a moment ago:')
  tellDenied(tell, await fetcher.authorize(READ), READ.action)
}

async function collect(cast: Cast, action: number): Promise<Files> {
  const { tell, connect, operator, places, anchor } = cast
  tell.step('An auditor collects the evidence')
  tell.say(
    'The operator enrols an auditor, who may read everything and change nothing. For the one',
  )
  tell.say('action the auditor collects all that it rests on, proven under one head of the log.')
  const auditor = PersonKey.generate()
  const client = await connect()
  await enrollReader(client, operator, { key: auditor })
  const reader = new Reader(client, auditor.as('reader'))
  const progress = startProgress(cast.io, 'looking through the log')
  const bundle = await reader.evidence(action, {
    onProgress: (done, total) => progress.update(done, total),
  })
  progress.end()
  await reader.confirmHeads()
  tell.good('every head that the auditor saw is one history: consistency proofs verified')
  const bundlePath = join(places.evidence, 'evidence.json')
  const anchorPath = join(places.evidence, 'trust-anchor.txt')
  writeFileSync(bundlePath, bundle)
  writeFileSync(anchorPath, `${anchor}\n`)
  tell.fact('evidence', `${places.shown(bundlePath)} (${bundle.length} bytes)`)
  tell.fact('trust anchor', places.shown(anchorPath))
  return { bundle, bundlePath, anchorPath }
}

async function verifyOffline(cast: Cast, files: Files): Promise<void> {
  const { tell, service, places } = cast
  tell.step('The service is switched off, and the evidence is checked without it')
  await service.stop()
  tell.say(`Process ${service.pid} has ended. From here on: two files, and no network.`)
  const report = verifyFiles(files)
  tell.good(`${report.steps.length} checks hold. What they show:`)
  const last = report.chain.at(-1)
  tell.fact('which agent', report.instance)
  tell.fact(
    'authorized by',
    `${report.owner.principal}, through ${report.chain.length} delegations`,
  )
  tell.fact('decided by', `entry ${report.decision?.index}, policy ${report.policy?.revision}`)
  for (const one of report.revocations)
    tell.fact('stopped by', `${one.by}, entry ${one.index}, ${one.reason}`)
  expectThat(report.authorized, 'the evidence does not show an authorized action')
  expectThat(last?.instance === report.instance, 'the chain does not end at the agent')
  const path = join(places.evidence, 'explain.txt')
  writeFileSync(path, explainEvidence(report))
  tell.fact('in words', places.shown(path))
}

function verifyFiles({ bundlePath, anchorPath }: Files): EvidenceReport {
  const trust = parseTrust(noblePrimitives, readFileSync(anchorPath))
  return verifyEvidence(noblePrimitives, readFileSync(bundlePath), trust)
}

/** Flips one bit of the action's entry: of what the agent signed. */
function tamperWith(bundle: Uint8Array): Uint8Array {
  const parsed = parseEvidence(bundle)
  const entries = parsed.entries.map((one) => {
    if (one.index !== parsed.action) return one
    const entry = Uint8Array.from(one.entry)
    const middle = Math.floor(entry.length / 2)
    entry[middle] = (entry[middle] ?? 0) ^ 1
    return { ...one, entry }
  })
  return formatEvidence({ ...parsed, entries })
}

function catchTampering({ tell, places }: Cast, files: Files): void {
  tell.step('Somebody changes one bit of the evidence')
  const bundlePath = join(places.evidence, 'evidence-tampered.json')
  writeFileSync(bundlePath, tamperWith(files.bundle))
  try {
    verifyFiles({ ...files, bundlePath })
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    tell.stopped(`${error.code}: ${error.message}`)
    tell.say('The entry is no longer the leaf that the signed head of the log commits to.')
    return
  }
  throw new DemoError('the changed evidence was not noticed')
}

function tellNext({ tell, places, io }: Cast, files: Files): void {
  const { shown, data, evidence, people } = places
  tell.step('Where everything lies, and what to try next')
  tell.fact('the log', `${shown(data)} (head record ${shown(data)}.head, keys ${shown(data)}.keys)`)
  tell.fact("people's keys", `${shown(people)} (none of the keys is encrypted: it is a demo)`)
  tell.fact('the evidence', shown(evidence))
  io.out('\n')
  tell.say(`Read what the evidence says:   cat ${shown(join(evidence, 'explain.txt'))}`)
  const check = `verify ${shown(files.bundlePath)} --trust ${shown(files.anchorPath)}`
  tell.say(`Check it yourself:             npm run -s trustwarden -- ${check}`)
  tell.say(`Replay the whole log:          npm run -s trustwarden -- audit --data ${shown(data)}`)
  tell.say(`Start it again:                npm run -s trustwarden -- serve --data ${shown(data)}`)
  tell.say('Build an agent:                src/sdk/README.md')
  io.out('\n')
}

function expectThat(condition: boolean, otherwise: string): void {
  if (!condition) throw new DemoError(`the story went wrong: ${otherwise}`)
}

async function play(cast: Cast): Promise<void> {
  const orchestrator = await startOrchestrator(cast)
  const fetcher = await startFetcher(cast, orchestrator)
  const action = await actOnce(cast, fetcher)
  await meetRogue(cast, orchestrator)
  await denyOutOfScope(cast, fetcher)
  await stopFetcher(cast, fetcher)
  const files = await collect(cast, action)
  await verifyOffline(cast, files)
  catchTampering(cast, files)
  tellNext(cast, files)
}

/** How the demo is run. */
export interface DemoOptions {
  /** Where `data/demo-<n>` and `evidence/demo-<n>` are made; the current directory by default. */
  readonly directory?: string
  readonly io: Io
}

/**
 * Runs the demo: a fresh log each time, and nothing of an earlier run is touched.
 *
 * @returns 0 if every step went as told.
 * @throws DemoError if one did not; the service is stopped in any case.
 */
export async function runDemo({ directory = process.cwd(), io }: DemoOptions): Promise<ExitCode> {
  const tell = createTeller(io)
  const places = findPlaces(directory)
  io.out('TrustWarden: which agent did this, who authorized it, how is it stopped.\n')
  io.out('A service, an owner, two agents, a rogue and an auditor, on this machine alone.\n')
  const anchor = await makeLog(tell, places)
  tell.step('The service starts, in a process of its own')
  const service = await startDemoService(places.data)
  const { url } = service
  tell.fact('service', `${url}, process ${service.pid}`)
  try {
    const owner = PersonKey.fromFile(join(places.people, 'owner.key'))
    const operator = PersonKey.fromFile(join(places.people, 'operator.key'))
    const connect = () => TrustWarden.connect({ url, trust: anchor })
    await connect()
    tell.good('it shows the log of the trust anchor, and every client checks that first')
    await play({ io, tell, places, service, anchor, owner, operator, connect })
  } finally {
    await service.stop()
  }
  return 0
}
