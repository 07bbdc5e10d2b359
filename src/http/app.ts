/**
 * @module The HTTP application: routes from the table, strict bodies, problem documents. No storage, no listening.
 */
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import type { JsonValue } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { Principal } from '../ledger/contract.ts'
import {
  BODY_MEDIA,
  type BodyValue,
  formatCbor,
  parseBody,
  REQUEST_BYTES_MAX,
  STATEMENT_MEDIA,
} from './body.ts'
import { openCredential } from './credential.ts'
import { bodyOf, type Handle, type Intake, readBody } from './intake.ts'
import { loggingOptions, logAnswer, logError, noteRefusal, requestIdOf } from './logging.ts'
import { openapi, pathOf } from './openapi.ts'
import { createIntake } from './overload.ts'
import { type Allowed, type Handler, type HttpParts, JsonText } from './parts.ts'
import { type Problem, problem, problemOf, retryAfterS } from './problem.ts'
import * as read from './read.ts'
import { accessOf, roleAdvice, ROUTES, type RouteName } from './roles.ts'
import * as write from './write.ts'

const HANDLERS: Readonly<Record<RouteName, Handler>> = {
  wellKnown: read.wellKnown,
  spiffeBundle: (parts) => parts.spiffeBundle,
  authzenConfiguration: read.authzenConfiguration,
  livez: () => ({ status: 'alive' }),
  readyz: read.readyz,
  openapi: (parts) => openapi(parts.logName, parts.version),
  metrics: read.metrics,
  checkpoint: read.checkpoint,
  rotations: read.rotations,
  hashTile: read.hashTile,
  entryBundle: read.entryBundle,
  entry: read.entry,
  inclusion: read.inclusion,
  consistency: read.consistency,
  supplement: read.supplement,
  pinned: read.pinned,
  erasures: read.erasures,
  range: read.range,
  agent: read.agent,
  chain: read.chain,
  agents: write.agents,
  statements: write.statements,
  evaluation: write.evaluation,
}

/** Routes that say how the process is, and so answer to its end. */
const HEALTH: ReadonlySet<RouteName> = new Set(['livez', 'readyz'])
/** Routes that are asked every few seconds by machines. */
const PROBES: ReadonlySet<RouteName> = new Set([...HEALTH, 'metrics'])

const PROBLEM_TYPE = 'application/problem+json'

function sendProblem(
  parts: HttpParts,
  request: FastifyRequest,
  reply: FastifyReply,
  document: Problem,
): FastifyReply {
  noteRefusal(parts, request, document.code)
  const after = retryAfterS(document.code)
  if (after !== undefined) reply.header('retry-after', String(after))
  if (document.status === 401) reply.header('www-authenticate', 'TrustWarden')
  return reply
    .code(document.status)
    .type(PROBLEM_TYPE)
    .send({ ...document, request_id: request.id })
}

/**
 * Refuses what an agent or an owner may not do any more: a key that was revoked reads as little as it writes, whatever
 * the route would show others (FORMAT §3.5).
 *
 * @throws {ServiceError} `revoked`, `certificate_expired`
 */
function assertInForce(parts: HttpParts, principal: Principal): void {
  const view = parts.log.view()
  if (principal.role === 'owner' && parts.revocations.isRevoked(view, principal.principal))
    throw new ServiceError('revoked', 'this owner is revoked')
  if (principal.role !== 'agent') return
  const agent = parts.agents.find(view, principal.principal)
  if (agent === undefined || parts.revocations.governs(view, agent))
    throw new ServiceError('revoked', 'this agent, its name, its owner or an ancestor is revoked')
  if (parts.clock.nowMs() > agent.notAfterMs)
    throw new ServiceError('certificate_expired', "this agent's certificate is no longer valid")
}

/**
 * Finds who asks and what the table lets that one see.
 *
 * @throws {ServiceError} `credential_…`, `role_forbidden`, `revoked`, `certificate_expired`
 */
function authorize(
  parts: HttpParts,
  route: RouteName,
  request: FastifyRequest,
  reply: FastifyReply,
): Allowed {
  // The authority to write is the statement's own signature.
  if (ROUTES[route].by === 'statement') return { request, reply, access: 'all' }
  const isOpen = parts.openReads || (parts.openMetrics && route === 'metrics')
  const credential = request.headers.authorization
  if (credential === undefined) {
    const access = accessOf(route, 'none', isOpen)
    if (access === '-')
      throw new ServiceError(
        'credential_missing',
        'this route needs a signed request (FORMAT §3.5)',
      )
    return { request, reply, access }
  }
  const view = parts.log.view()
  const principal = openCredential(
    nativePrimitives,
    credential,
    {
      origin: parts.log.origin,
      method: request.method,
      path: request.url,
      nowMs: parts.clock.nowMs(),
    },
    (issuer) => parts.principals.find(view, issuer),
  )
  const role = principal.role === 'service' ? 'none' : principal.role
  const access = accessOf(route, role, isOpen)
  if (access === '-') throw new ServiceError('role_forbidden', roleAdvice(route, role))
  assertInForce(parts, principal)
  return { request, reply, access, principal }
}

/** Whether the caller lists CBOR among what it takes. */
function wantsCbor({ headers: { accept } }: FastifyRequest): boolean {
  return accept !== undefined && /(?:^|,)\s*application\/cbor\s*(?:,|$)/i.test(accept)
}

/** Whether an answer would go out as JSON: neither a file nor a problem document. */
function isJson(reply: FastifyReply, answer: unknown): answer is JsonValue {
  return typeof answer === 'object' && !reply.hasHeader('content-type')
}

function sendCbor(reply: FastifyReply, answer: JsonValue): Buffer {
  reply.type('application/cbor')
  return Buffer.from(formatCbor(answer))
}

/** The answer as it is sent: in CBOR to whoever takes that. */
function encoded(request: FastifyRequest, reply: FastifyReply, answer: unknown): unknown {
  const isText = answer instanceof JsonText
  if (wantsCbor(request)) {
    const value = isText ? answer.value() : answer
    return isJson(reply, value) ? sendCbor(reply, value) : value
  }
  if (!isText) return answer
  reply.type('application/json; charset=utf-8')
  return answer.text
}

/** What is done for every request is done without a promise, whose turns of the queue are most of what a read costs. */
function mount(app: FastifyInstance, parts: HttpParts, name: RouteName, path: string): void {
  const isHealth = HEALTH.has(name)
  const asked = { route: path, isProbe: PROBES.has(name) }
  app.route({
    method: ROUTES[name].method,
    url: path,
    onRequest: (_request, _reply, done) => {
      const stopped = isHealth ? undefined : parts.stopped()
      done(stopped === undefined ? undefined : new ServiceError('shutting_down', stopped))
    },
    handler: (request, reply) => {
      const answer = HANDLERS[name](parts, authorize(parts, name, request, reply))
      return answer instanceof Promise
        ? answer.then((known) => encoded(request, reply, known))
        : encoded(request, reply, answer)
    },
    onResponse: (request, reply, done) => {
      const { statusCode: status, elapsedTime: ms } = reply
      parts.metrics.requests.observe({ route: name, status: String(status) }, ms / 1000)
      logAnswer(parts, request, reply, asked)
      done()
    },
  })
}

/** fastify's own errors (a body over the limit, an unknown media type) in the words of our table. */
function asServiceError(error: unknown): unknown {
  const code = (error as { readonly code?: unknown } | undefined)?.code
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new ServiceError(
      'media_type_unsupported',
      `content type is none of ${[...BODY_MEDIA, ...STATEMENT_MEDIA].join(', ')}`,
    )
  if (code === 'FST_ERR_BAD_URL')
    return new ServiceError('request_malformed', 'the path is not well-formed')
  if (code === 'FST_ERR_MAX_PARAM_LENGTH')
    return new ServiceError('not_found', 'a part of the path is longer than any name')
  if (typeof code === 'string' && code.startsWith('FST_ERR_CTP'))
    return new ServiceError('request_malformed', 'the body does not arrive as its headers say')
  return error
}

/**
 * Answers an error. One that is fatal ends the process: what is on disk is unknown until the next start, so the answer
 * says that, and not that nothing was recorded.
 */
function answerError(
  parts: HttpParts,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const known = asServiceError(error)
  if (isFatal(known)) {
    logError(request, known, 'fatal error')
    parts.onFatal(known)
    reply.header('connection', 'close')
    const detail =
      'the service stops; whether this was recorded, the same statement finds out later'
    return sendProblem(parts, request, reply, problem('shutting_down', detail))
  }
  const document = problemOf(known)
  if (document.code === 'internal') logError(request, known, 'unexpected error')
  return sendProblem(parts, request, reply, document)
}

function isFatal(error: unknown): error is Error {
  return error instanceof Error && 'fatal' in error && error.fatal === true
}

/** Answers what is no HTTP request, as far as the socket still takes an answer. */
function refuseBytes(parts: HttpParts, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  // Whoever fails at the handshake of TLS reads no HTTP.
  if (!socket.writable || !/^(HPE_|ERR_HTTP)/.test(error.code ?? '')) {
    socket.destroy()
    return
  }
  parts.metrics.refusals.inc({ code: 'request_malformed' })
  const document = problem('request_malformed', 'not an HTTP/1.1 request within the limits')
  const body = JSON.stringify(document)
  socket.end(
    `HTTP/1.1 ${document.status} Bad Request\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  for (const media of [...BODY_MEDIA, ...STATEMENT_MEDIA])
    app.addContentTypeParser(media, (request, payload, done) => {
      const body = bodyOf(request.raw)
      // What the intake read is parsed without a promise.
      if (body !== undefined) done(null, parseWhole(body.bytes, media))
      else
        readBody(payload)
          .then((bytes) => parseWhole(bytes, media))
          .then((value) => done(null, value), done)
    })
}

function parseWhole(bytes: Uint8Array | undefined, media: string): BodyValue {
  if (bytes === undefined)
    throw new ServiceError('request_too_large', `body is over ${REQUEST_BYTES_MAX} bytes`)
  return parseBody(bytes, media)
}

/** How long a handshake may take, ms: who opens connections and says nothing holds them no longer. */
const HANDSHAKE_MS_MAX = 10_000

/** Node's server, which hands its requests to the intake. */
function serve({ tls }: HttpParts, intake: Intake): Server {
  const take: Handle = (request, response) => intake.take(request, response)
  const server =
    tls === undefined
      ? createServer(take)
      : createTlsServer({ ...tls, handshakeTimeout: HANDSHAKE_MS_MAX }, take)
  server.on('connection', () => intake.connected())
  server.requestTimeout = 30_000
  server.keepAliveTimeout = 72_000
  return server
}

/**
 * Makes the application. It does not listen.
 */
export function buildApp(parts: HttpParts): FastifyInstance {
  let intake: Intake | undefined
  const app: FastifyInstance = fastify({
    ...loggingOptions(parts),
    serverFactory: (handle) => {
      intake = createIntake(parts, handle, (line, message) => app.log.warn(line, message))
      return serve(parts, intake)
    },
    routerOptions: { maxParamLength: 2100, ignoreTrailingSlash: false },
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    forceCloseConnections: 'idle',
    // `stopped` answers in our words.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => refuseBytes(parts, error, socket),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      reply.header('x-request-id', request.id).header('cache-control', 'no-store')
      answerError(parts, error, request, reply)
    },
  })
  readBodies(app)
  app.setErrorHandler((error, request, reply) => answerError(parts, error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(parts, request, reply, problem('route_unknown', 'no such route or method')),
  )
  app.addHook('onSend', (request, reply, _payload, done) => {
    reply.header('x-request-id', request.id)
    intake?.answered(request.raw)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    // A connection that is kept alive would keep a service that ends from ending.
    if (parts.stopped() !== undefined) reply.header('connection', 'close')
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    if (request.is404) logAnswer(parts, request, reply, { route: 'unknown', isProbe: false })
    done()
  })
  for (const name of Object.keys(ROUTES) as RouteName[]) {
    if (name === 'hashTile' || name === 'entryBundle') continue
    mount(app, parts, name, pathOf(name, parts.logName).replace(/\{([a-z]+)\}/g, ':$1'))
  }
  // A tile's number is a path of its own (x001/x234/067.p/5), so the rest of the path is one wildcard.
  mount(app, parts, 'hashTile', `/logs/${parts.logName}/tile/:level/*`)
  mount(app, parts, 'entryBundle', `/logs/${parts.logName}/tile/entries/*`)
  return app
}
