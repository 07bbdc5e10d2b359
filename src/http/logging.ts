/**
 * @module The log of the service: JSON lines with a request id. No payload, no header and no query ever reaches it: a
 * header may be a credential, and a payload may be personal.
 */
import {
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import type { HttpParts } from './parts.ts'

/** How many causes of an error are followed. */
const CAUSES_MAX = 4

/** An error as a log line shows it. */
export interface ErrorLine {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly [member: string]: unknown
}

/** What of an error is logged: class, code, message and stack, and those of its causes; none of its other members. */
export function describeError(thrown: unknown, depth: number = CAUSES_MAX): ErrorLine {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: '', stack: '' }
  const { name: type, message, stack = '', cause } = thrown
  const isLast = cause === undefined || depth === 0
  return {
    type,
    message,
    stack,
    ...('code' in thrown ? { code: String(thrown.code) } : {}),
    ...(isLast ? {} : { cause: describeError(cause, depth - 1) }),
  }
}

/**
 * fastify's settings of logging: its own lines per request are off, no serializer shows a request, and no request has a
 * logger of its own, which would be made for each and rarely used: our lines name the request themselves.
 */
export function loggingOptions(
  parts: Pick<HttpParts, 'logLevel' | 'logStream'>,
): Pick<FastifyServerOptions, 'childLoggerFactory' | 'logger' | 'logController'> {
  const { logLevel: level, logStream: stream } = parts
  const nothing = (): Record<string, never> => ({})
  const err = (thrown: unknown): ErrorLine => describeError(thrown)
  return {
    logger:
      level === 'silent'
        ? false
        : { level, stream, serializers: { req: nothing, res: nothing, err } },
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger,
  }
}

/** A caller's own request id, if it is one that a header can carry back (AuthZEN 1.0 §10.1.3). */
export function requestIdOf(given: string | readonly string[] | undefined): string {
  const isUsable = typeof given === 'string' && /^[\x21-\x7e]{1,128}$/.test(given)
  return isUsable ? given : crypto.randomUUID()
}

function bytesOf(header: unknown): number {
  return /^\d{1,15}$/.test(String(header)) ? Number(header) : 0
}

/** With which code a request was refused, for its line in the log. */
const refusedWith = new WeakMap<FastifyRequest, string>()

/** Counts the refusal of a whole request, and keeps its code for the request's line. */
export function noteRefusal(
  { metrics }: Pick<HttpParts, 'metrics'>,
  request: FastifyRequest,
  code: string,
): void {
  refusedWith.set(request, code)
  metrics.refusals.inc({ code })
}

/** Writes what went wrong with a request. */
export function logError(request: FastifyRequest, error: unknown, message: string): void {
  request.log.error({ request_id: request.id, err: error }, message)
}

/** What was asked, as the log says it. */
export interface Asked {
  /** The pattern of the route and never the URL, which names agents and events. */
  readonly route: string
  /** Whether it only asks how the service is: those come every few seconds. */
  readonly isProbe: boolean
}

/** Writes the one line of a request. */
export function logAnswer(
  { logLevel }: Pick<HttpParts, 'logLevel'>,
  request: FastifyRequest,
  reply: FastifyReply,
  { route, isProbe }: Asked,
): void {
  // A line that is not written is not put together either.
  if (logLevel !== 'debug' && (logLevel !== 'info' || isProbe)) return
  const line = {
    request_id: request.id,
    method: request.method,
    route,
    status: reply.statusCode,
    code: refusedWith.get(request),
    ms: Math.round(reply.elapsedTime * 1000) / 1000,
    bytes_in: bytesOf(request.headers['content-length']),
    bytes_out: bytesOf(reply.getHeader('content-length')),
  }
  if (isProbe) request.log.debug(line, 'answered')
  else request.log.info(line, 'answered')
}
