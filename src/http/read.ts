/**
 * @module Reading: the log as C2SP serves it, entries, proofs, agents, and what the service says of itself.
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  formatVkey,
  type JsonValue,
  ProofError,
  parseTilePath,
  receiptObject,
} from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import type { Agent } from '../ledger/contract.ts'
import { lineageOf } from './lineage.ts'
import { pathOf } from './openapi.ts'
import { outcomeWord } from './outcome.ts'
import { type Allowed, type HttpParts, JsonText } from './parts.ts'

const gzipAsync = promisify(gzip)

/** One year: a full tile or bundle, and a partial one of a given width, never changes. */
const IMMUTABLE = 'public, max-age=31536000, immutable'
/** What only some may read is kept by nobody between. */
const IMMUTABLE_PRIVATE = 'private, max-age=31536000, immutable'

function integerOf(value: unknown, field: string): number {
  const text = typeof value === 'string' ? value : ''
  const number = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number))
    throw new ServiceError('request_malformed', `${field} is not an integer from 0 to 2^53-1`)
  return number
}

function inRange(condition: boolean, message: () => string): void {
  if (!condition) throw new ServiceError('range_invalid', message())
}

/** `GET /.well-known/trustwarden`. */
export function wellKnown(parts: HttpParts): JsonValue {
  const base = parts.url()
  return {
    ...parts.wellKnown,
    keys: { ...parts.publicKeys, log: formatVkey(parts.log.keyInForce) },
    endpoints: {
      statements: base + pathOf('statements', parts.logName),
      agents: base + pathOf('agents', parts.logName),
      evaluation: base + pathOf('evaluation', parts.logName),
      log: `${base}/logs/${parts.logName}`,
      openapi: `${base}/openapi.json`,
    },
  }
}

/** `GET /.well-known/authzen-configuration` (AuthZEN 1.0 §9). */
export function authzenConfiguration(parts: HttpParts): JsonValue {
  const base = parts.url()
  return {
    policy_decision_point: base,
    access_evaluation_endpoint: base + pathOf('evaluation', parts.logName),
  }
}

/** `GET /readyz`: 200 while statements are taken, else 503 with the reason. */
export function readyz(parts: HttpParts, { reply }: Allowed): JsonValue {
  const reason = parts.unready()
  if (reason === undefined) return { status: 'ready' }
  reply.code(503)
  return { status: 'not ready', reason }
}

/** `GET /metrics`. */
export async function metrics(parts: HttpParts, { reply }: Allowed): Promise<string> {
  reply.type(parts.metrics.registry.contentType)
  return parts.metrics.registry.metrics()
}

/** Whether an `Accept-Encoding` takes gzip: named, or as any, and not with a weight of zero (RFC 9110 §12.5.3). */
export function acceptsGzip(header: string | undefined): boolean {
  const weights = new Map<string, number>()
  for (const item of (header ?? '').toLowerCase().split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim())
    const weight = parameters.find((one) => one.startsWith('q='))?.slice(2)
    weights.set(coding, weight === undefined ? 1 : Number(weight))
  }
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}

/** Sends bytes of the log, compressed for whoever takes that. */
async function compressed({ request, reply }: Allowed, bytes: Uint8Array): Promise<Buffer> {
  reply.header('vary', 'accept-encoding')
  const accepted = request.headers['accept-encoding']
  if (!acceptsGzip(typeof accepted === 'string' ? accepted : undefined)) return Buffer.from(bytes)
  reply.header('content-encoding', 'gzip')
  return gzipAsync(bytes)
}

/** `GET {log}/checkpoint`. */
export async function checkpoint(parts: HttpParts, allowed: Allowed): Promise<Buffer> {
  allowed.reply.type('text/plain; charset=utf-8').header('cache-control', 'public, max-age=1')
  return compressed(allowed, Buffer.from(parts.log.head().note))
}

/** `GET {log}/v1/rotations`: for whoever has the trust anchor alone, and so without a credential. */
export function rotations(parts: HttpParts, { reply }: Allowed): Buffer {
  reply.type('application/json; charset=utf-8').header('cache-control', 'public, max-age=1')
  return Buffer.from(parts.rotations.file())
}

function tileOf(path: string): ReturnType<typeof parseTilePath> {
  try {
    return parseTilePath(path)
  } catch (error) {
    if (error instanceof ProofError)
      throw new ServiceError('not_found', `no such tile: ${error.message}`, { cause: error })
    throw error
  }
}

/** `GET {log}/tile/{level}/{tile}`: C2SP tlog-tiles, partial tiles of any size that the tree has reached. */
export function hashTile(parts: HttpParts, { request, reply }: Allowed): Buffer {
  const params = request.params as Readonly<Record<string, string>>
  const tile = tileOf(`tile/${params['level'] ?? ''}/${params['*'] ?? ''}`)
  const bytes =
    tile.level === 'entries' ? undefined : parts.log.reader.tile(tile.level, tile.index, tile.width)
  if (bytes === undefined) throw new ServiceError('not_found', 'the tree does not reach this tile')
  reply.type('application/octet-stream').header('cache-control', IMMUTABLE)
  return Buffer.from(bytes)
}

/** `GET {log}/tile/entries/{tile}`. */
export async function entryBundle(parts: HttpParts, allowed: Allowed): Promise<Buffer> {
  const params = allowed.request.params as Readonly<Record<string, string>>
  const tile = tileOf(`tile/entries/${params['*'] ?? ''}`)
  const bytes = parts.log.reader.bundle(tile.index, tile.width)
  if (bytes === undefined) throw new ServiceError('not_found', 'the log does not reach this bundle')
  allowed.reply
    .type('application/octet-stream')
    .header('cache-control', parts.openReads ? IMMUTABLE : IMMUTABLE_PRIVATE)
  return compressed(allowed, bytes)
}

const OWN =
  'an agent sees its own entries, an owner those of its agents, a reader or an operator all of them'

/** An owner sees entries of its own chain, an agent those of its own; the subjects are the entry's chain links. */
function assertVisible({ access, principal }: Allowed, subjects: readonly string[]): void {
  if (access === 'all') return
  const own =
    principal?.role === 'agent' ? `inst:${principal.principal}` : (principal?.principal ?? '')
  if (access !== 'own' || !subjects.includes(own))
    throw new ServiceError('role_forbidden', `nothing of yours is there: ${OWN}`)
}

/** `GET {log}/v1/entries/{index}`. */
export function entry(parts: HttpParts, allowed: Allowed): JsonValue {
  const params = allowed.request.params as Readonly<Record<string, string>>
  const index = integerOf(params['index'], 'index')
  const found = parts.log.reader.registered(index)
  if (found === undefined)
    throw new ServiceError(
      'range_invalid',
      `index is ${index}, the log holds ${parts.log.head().size}`,
    )
  const { kind, timeMs, outcome, links } = found.entry
  assertVisible(
    allowed,
    links.map((link) => link.subject),
  )
  return {
    index,
    kind,
    time_ms: timeMs,
    outcome: outcomeWord(outcome),
    receipt: receiptObject(parts.log.reader.receipt(index)),
    disclosures: parts.log.reader.disclosures(found),
  }
}

/** A hash and a byte of zero are 44 digits, the last of which says nothing: the others are the hash's own. */
const PADDED_HASH = 33
const PADDED_DIGITS = 44
/** Read before anything else is written there; the bytes between the hashes stay zero. A range proof is the longest. */
const padded = Buffer.alloc(PADDED_HASH * 104)

/** Hashes in base64url, by one call of the platform, which costs as much for one as for all. */
function hashes(path: readonly Uint8Array[]): readonly string[] {
  let end = 0
  for (const hash of path) {
    padded.set(hash, end)
    end += PADDED_HASH
  }
  const digits = padded.toString('base64url', 0, end)
  return path.map((_, at) => digits.slice(at * PADDED_DIGITS, (at + 1) * PADDED_DIGITS - 1))
}

/** A proof: what it is of, by numbers, and its hashes. */
function proof(of: Readonly<Record<string, number>>, path: readonly Uint8Array[]): JsonText {
  const texts = hashes(path)
  const list = texts.length === 0 ? '' : `"${texts.join('","')}"`
  return new JsonText(`${JSON.stringify(of).slice(0, -1)},"path":[${list}]}`, () => ({
    ...of,
    path: texts,
  }))
}

/** `GET {log}/v1/proofs/inclusion?index=&size=`. */
export function inclusion(parts: HttpParts, { request }: Allowed): JsonText {
  const query = request.query as Readonly<Record<string, unknown>>
  const index = integerOf(query['index'], 'index')
  const size = integerOf(query['size'], 'size')
  inRange(
    size <= parts.log.head().size,
    () => `size is ${size}, the log holds ${parts.log.head().size}`,
  )
  inRange(index < size, () => `index is ${index}, the tree has ${size}`)
  return proof({ index, size }, parts.log.reader.inclusion(index, size))
}

/** `GET {log}/v1/proofs/consistency?from=&to=`. */
export function consistency(parts: HttpParts, { request }: Allowed): JsonText {
  const query = request.query as Readonly<Record<string, unknown>>
  const from = integerOf(query['from'], 'from')
  const to = integerOf(query['to'], 'to')
  inRange(to <= parts.log.head().size, () => `to is ${to}, the log holds ${parts.log.head().size}`)
  inRange(from >= 1 && from <= to, () => `from is ${from}, 1 to ${to} is needed`)
  return proof({ from, to }, parts.log.reader.consistency(from, to))
}

/** `GET {log}/v1/supplements/{bundle}?size=`: the bytes of a backup's file. */
export async function supplement(parts: HttpParts, { request, reply }: Allowed): Promise<Buffer> {
  const params = request.params as Readonly<Record<string, string>>
  const query = request.query as Readonly<Record<string, unknown>>
  const bundle = integerOf(params['bundle'], 'bundle')
  const size = integerOf(query['size'], 'size')
  const bytes = await parts.log.reader.supplement(bundle, size)
  if (bytes === undefined)
    throw new ServiceError('range_invalid', `bundle ${bundle} does not begin below size ${size}`)
  reply.type('application/cbor')
  return Buffer.from(bytes)
}

/** `GET {log}/v1/pinned/{digest}`. */
export function pinned(parts: HttpParts, { request, reply }: Allowed): Buffer {
  const params = request.params as Readonly<Record<string, string>>
  const digest = params['digest'] ?? ''
  if (!/^[A-Za-z0-9_-]{43}$/.test(digest))
    throw new ServiceError('request_malformed', 'digest is not a SHA-256 in base64url')
  const bytes = parts.log.reader.pinned(new Uint8Array(Buffer.from(digest, 'base64url')))
  if (bytes === undefined) throw new ServiceError('not_found', 'nothing is pinned under it')
  reply.type('application/octet-stream')
  return Buffer.from(bytes)
}

/** `GET {log}/v1/erasures?from=`. */
export async function erasures(parts: HttpParts, { request }: Allowed): Promise<JsonValue> {
  const query = request.query as Readonly<Record<string, unknown>>
  const from = integerOf(query['from'], 'from')
  return { from, entries: await parts.log.reader.erasedSince(from) }
}

/**
 * `GET {log}/v1/proofs/range?start=&end=&size=`. The entries themselves come from bundles, which anything between may
 * keep; so the answer has at most 104 hashes, however long the range, and needs no other limit.
 */
export function range(parts: HttpParts, { request }: Allowed): JsonText {
  const query = request.query as Readonly<Record<string, unknown>>
  const start = integerOf(query['start'], 'start')
  const end = integerOf(query['end'], 'end')
  const size = integerOf(query['size'], 'size')
  inRange(
    size <= parts.log.head().size,
    () => `size is ${size}, the log holds ${parts.log.head().size}`,
  )
  inRange(end <= size, () => `end is ${end}, the tree has ${size}`)
  inRange(start < end, () => `start is ${start}, below the end ${end} is needed`)
  return proof({ start, end, size }, parts.log.reader.range(start, end, size))
}

function describe(agent: Agent): JsonValue {
  return {
    instance: agent.instance,
    name: agent.name,
    owner: agent.owner,
    depth: agent.depth,
    max_depth: agent.maxDepth,
    scope: agent.scope,
    may_create: agent.mayCreate,
    not_before_ms: agent.notBeforeMs,
    not_after_ms: agent.notAfterMs,
    ceiling: agent.ceiling,
    issued_at: agent.issuedAt,
    ancestors: agent.ancestors.map((ancestor) => ancestor.instance),
  }
}

/** `GET {log}/v1/agents/{id}`: `id` is the instance id, percent-encoded. */
export function agent(parts: HttpParts, allowed: Allowed): JsonValue {
  const params = allowed.request.params as Readonly<Record<string, string>>
  const view = parts.log.view()
  const found = parts.agents.find(view, params['id'] ?? '')
  if (found === undefined) {
    // Whoever sees only its own does not learn which others there are.
    assertVisible(allowed, [])
    throw new ServiceError('not_found', 'no agent instance has this id')
  }
  assertVisible(allowed, [`inst:${found.instance}`, found.owner])
  return {
    ...(describe(found) as Readonly<Record<string, JsonValue>>),
    revoked: parts.revocations.governs(view, found),
    lineage: lineageOf(parts, found),
  }
}

/**
 * `GET {log}/v1/chains/{subject}`: from its newest entry back, each entry's link names the one before. An agent sees its
 * own chain; an owner its own and those of its agents, whose entries are all linked to it.
 */
export function chain(parts: HttpParts, allowed: Allowed): JsonValue {
  const params = allowed.request.params as Readonly<Record<string, string>>
  const subject = params['subject'] ?? ''
  const end = parts.log.reader.chainEnd(subject)
  const links = end === undefined ? [] : (parts.log.reader.registered(end.index)?.entry.links ?? [])
  // What all have a part in is nobody's own.
  const isEverybodys = subject === 'log' || subject === 'policy'
  const about = isEverybodys ? [] : links.map((link) => link.subject)
  assertVisible(allowed, allowed.principal?.role === 'agent' ? [subject] : about)
  if (end === undefined) throw new ServiceError('not_found', 'no entry is about this subject')
  return { subject, length: end.seq + 1, newest: end.index }
}
