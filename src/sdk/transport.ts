/**
 * @module HTTP: one request with time limits, a cap on the answer, and retries that repeat the same bytes. Every write
 * of the service is idempotent by the statement's content, so repeating is safe whatever became of the first attempt.
 */
import { X509Certificate } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { printable } from '@trustwarden/proofs'
import { inSdkWords, TrustWardenError } from './errors.ts'

/** How requests are made. */
export interface TransportOptions {
  /** Milliseconds for one attempt, answer included; 10,000 by default. */
  readonly timeoutMs?: number
  /** Attempts in all; 5 by default. */
  readonly attempts?: number
  /** The first pause between attempts, in ms; doubled each time, with jitter; 200 by default. */
  readonly backoffMs?: number
  /** The longest pause, also where the service asks for more, in ms; 10,000 by default. */
  readonly backoffMaxMs?: number
  /** PEM of the authorities that the service's TLS certificate is trusted under, in place of the system's own. */
  readonly ca?: string
}

/** One request. The body is a text that every attempt repeats. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  /** JSON. */
  readonly body?: string
  /** Made anew for each attempt: a credential holds for 60 s. */
  readonly authorization?: () => string
  readonly bytesMax: number
  readonly signal?: AbortSignal | undefined
}

/** An answer of any status. */
export interface HttpAnswer {
  readonly status: number
  readonly bytes: Uint8Array
}

/** An answer, and when the service asks to be asked again: its `Retry-After`. */
interface Attempt {
  readonly answer: HttpAnswer
  readonly after: string | null
}

/** Statuses that say "not now". */
const RETRIED: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

/** Whether an answer of this status is worth repeating the request for. */
export function isRetried(status: number): boolean {
  return RETRIED.has(status)
}

/** Whether an answer of this status is what was asked for. */
function isSuccess(status: number): boolean {
  return status === 200 || status === 201
}

/** Bytes of any other answer: a problem document, and in it the receipt of a refusal, of an entry of 64 KiB at most. */
const PROBLEM_BYTES_MAX = 262_144

/** Characters of a header of the answer that a message shows. */
const HEADER_LENGTH_SHOWN = 200

/** @throws TrustWardenError over the cap: `answer_malformed`, or `answer_unexpected` for what is no success */
async function readCapped(answer: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const { statusCode: status = 0 } = answer
  const isAsked = isSuccess(status)
  const most = isAsked ? bytesMax : PROBLEM_BYTES_MAX
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of answer as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > most) {
      const code = isAsked ? 'answer_malformed' : 'answer_unexpected'
      throw new TrustWardenError(code, `status ${status} and over ${most} bytes`, { status })
    }
    parts.push(part)
  }
  // A connection that ends too early is not an end of the answer.
  if (!answer.complete) throw new Error('the answer was cut off')
  return new Uint8Array(Buffer.concat(parts))
}

/** Connections that are kept for the next request. They end with the process, and do not hold it. */
interface Agents {
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** One that cannot be read shows here: Node passes over it, and then no service is trusted. */
function checkAuthorities(ca: string): void {
  inSdkWords('argument_invalid', 'ca', () => {
    const blocks = ca.match(CERTIFICATE) ?? []
    if (blocks.length === 0) throw new Error('holds no certificate in PEM')
    for (const block of blocks) new X509Certificate(block)
  })
}

/** @throws TrustWardenError `argument_invalid` */
function createAgents(ca: string | undefined): Agents {
  if (ca !== undefined) checkAuthorities(ca)
  const kept = { keepAlive: true }
  const https = { ...kept, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) } as const
  return { http: new HttpAgent(kept), https: new HttpsAgent(https) }
}

/** What OpenSSL and Node call a certificate that does not verify: another attempt changes nothing about it. */
const CERTIFICATE_CODES =
  /^(?:ERR_TLS_CERT_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|HOSTNAME_MISMATCH)/

function codeOf(cause: unknown): string | undefined {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : undefined
}

function certificateRefusal(cause: unknown): string | undefined {
  const code = codeOf(cause) ?? ''
  return CERTIFICATE_CODES.test(code) ? code : undefined
}

/** Why an attempt failed: the system's or Node's code, or words of this module. */
function reasonOf(cause: unknown): string {
  return codeOf(cause) ?? (cause instanceof Error ? cause.message : 'unknown')
}

/** Sends a request; resolves when the head of the answer is there. */
function send(
  agents: Agents,
  { url, method, body }: HttpRequest,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const isHidden = url.protocol === 'https:'
    const options = { method, headers, signal, agent: isHidden ? agents.https : agents.http }
    const request = isHidden ? httpsRequest(url, options) : httpRequest(url, options)
    request.once('response', resolve)
    request.on('error', reject)
    request.end(body)
  })
}

/** What another attempt would change nothing about; undefined for what is worth one. */
function finalError({ url, signal }: HttpRequest, cause: unknown): TrustWardenError | undefined {
  if (cause instanceof TrustWardenError) return isRetried(cause.status ?? 0) ? undefined : cause
  const refused = certificateRefusal(cause)
  if (refused !== undefined) {
    const why = `${url.host} shows a certificate that is not trusted (${refused})`
    return new TrustWardenError('certificate_untrusted', why, { cause })
  }
  return signal?.aborted ? new TrustWardenError('aborted', 'aborted', { cause }) : undefined
}

/** What the last attempt failed with. */
function lastError(
  { method, url: { host, pathname } }: HttpRequest,
  cause: unknown,
  attempts: number,
): TrustWardenError {
  if (cause instanceof TrustWardenError) return cause
  const why = `${method} ${host}${pathname}: no answer in ${attempts} attempts (${reasonOf(cause)})`
  return new TrustWardenError('service_unreachable', why, { cause })
}

/** Makes requests. It holds no state but its settings. */
export class Transport {
  readonly #timeoutMs: number
  readonly #attempts: number
  readonly #backoffMs: number
  readonly #backoffMaxMs: number
  readonly #agents: Agents

  /** @throws TrustWardenError `argument_invalid` */
  constructor(options: TransportOptions = {}) {
    this.#agents = createAgents(options.ca)
    this.#timeoutMs = options.timeoutMs ?? 10_000
    this.#attempts = options.attempts ?? 5
    this.#backoffMs = options.backoffMs ?? 200
    this.#backoffMaxMs = options.backoffMaxMs ?? 10_000
  }

  /** Attempts in all, for those who retry on what an answer says inside. */
  get attempts(): number {
    return this.#attempts
  }

  /**
   * Makes a request, and makes it again with the same bytes if no answer comes or one that says "not now".
   *
   * @returns The last answer, whatever its status.
   * @throws TrustWardenError `service_unreachable`, with the host and why the last attempt failed; `certificate_untrusted`,
   *   `answer_redirected`, `answer_encoded`, `aborted`; over the cap `answer_malformed`, or `answer_unexpected` for a status
   *   that is no success.
   */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= this.#attempts
      let retryAfter: string | null = null
      try {
        const { answer, after } = await this.#once(request)
        if (isLast || !isRetried(answer.status)) return answer
        retryAfter = after
      } catch (cause) {
        const error = finalError(request, cause)
        if (error !== undefined) throw error
        if (isLast) throw lastError(request, cause, attempt)
      }
      await this.pause(attempt, retryAfter, request.signal)
    }
  }

  /** Waits before attempt `attempt + 1`: as long as `Retry-After` says, or twice as long each time, with jitter. */
  async pause(
    attempt: number,
    retryAfter: string | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const asked = /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : 0
    const own = this.#backoffMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2)
    const ms = Math.min(Math.max(asked, own), this.#backoffMaxMs)
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer)
        reject(new TrustWardenError('aborted', 'aborted', { cause: signal?.reason }))
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, ms)
      if (signal?.aborted) stop()
      else signal?.addEventListener('abort', stop, { once: true })
    })
  }

  /** One attempt, which says so itself when its time ends: a body that is cut by that looks like a broken connection. */
  async #once(request: HttpRequest): Promise<Attempt> {
    const timeout = AbortSignal.timeout(this.#timeoutMs)
    try {
      return await this.#attempt(request, timeout)
    } catch (cause) {
      if (!timeout.aborted || cause instanceof TrustWardenError) throw cause
      throw new Error(`none within ${this.#timeoutMs} ms`, { cause })
    }
  }

  async #attempt(request: HttpRequest, timeout: AbortSignal): Promise<Attempt> {
    const { body, authorization, bytesMax, signal } = request
    const headers = {
      accept: 'application/json',
      'accept-encoding': 'identity',
      ...(body === undefined
        ? {}
        : {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(body)),
          }),
      ...(authorization === undefined ? {} : { authorization: authorization() }),
    }
    const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
    const answer = await send(this.#agents, request, headers, both)
    const { statusCode: status = 0 } = answer
    const { location, 'retry-after': after = null, 'content-encoding': encoding } = answer.headers
    const refuse = (code: 'answer_redirected' | 'answer_encoded', what: string): never => {
      answer.destroy()
      const why = `${request.method} ${request.url.pathname}: status ${status}, ${what}`
      throw new TrustWardenError(code, why, { status })
    }
    // What was signed for one address is not sent to another.
    if (location !== undefined && status >= 300 && status < 400)
      refuse('answer_redirected', `to ${printable(location, HEADER_LENGTH_SHOWN)}`)
    // Bytes that were compressed on the way are not those of the log, and not malformed for it.
    if (isSuccess(status) && (encoding ?? 'identity').toLowerCase() !== 'identity')
      refuse(
        'answer_encoded',
        `content-encoding "${printable(encoding ?? '', HEADER_LENGTH_SHOWN)}"`,
      )
    return { answer: { status, bytes: await readCapped(answer, bytesMax) }, after }
  }
}
