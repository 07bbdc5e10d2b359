/**
 * @module HTTP: one request with time limits, a cap on the answer, and retries that repeat the same bytes. Every write
 * of the service is idempotent by the statement's content, so repeating is safe whatever became of the first attempt.
 */
import { TrustWardenError } from './errors.ts'

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

/** Statuses that say "not now". */
const RETRIED: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

/** Whether an answer of this status is worth repeating the request for. */
export function isRetried(status: number): boolean {
  return RETRIED.has(status)
}

async function readCapped(response: Response, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  if (response.body === null) return new Uint8Array(0)
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > bytesMax)
      throw new TrustWardenError('answer_malformed', `answer is over ${bytesMax} bytes`, {
        status: response.status,
      })
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Makes requests. It holds no state but its settings. */
export class Transport {
  readonly #timeoutMs: number
  readonly #attempts: number
  readonly #backoffMs: number
  readonly #backoffMaxMs: number

  constructor(options: TransportOptions = {}) {
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
   * @throws TrustWardenError `service_unreachable`, `answer_malformed` (over the cap), `aborted`.
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
        if (cause instanceof TrustWardenError) throw cause
        if (request.signal?.aborted) throw new TrustWardenError('aborted', 'aborted', { cause })
        if (isLast) {
          const why = `${request.method} ${request.url.pathname}: no answer in ${attempt} attempts`
          throw new TrustWardenError('service_unreachable', why, { cause })
        }
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

  async #once(
    request: HttpRequest,
  ): Promise<{ readonly answer: HttpAnswer; readonly after: string | null }> {
    const { method, url, body, authorization, bytesMax, signal } = request
    const timeout = AbortSignal.timeout(this.#timeoutMs)
    const response = await fetch(url, {
      method,
      redirect: 'error',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(authorization === undefined ? {} : { authorization: authorization() }),
      },
      ...(body === undefined ? {} : { body }),
    })
    const bytes = await readCapped(response, bytesMax)
    return {
      answer: { status: response.status, bytes },
      after: response.headers.get('retry-after'),
    }
  }
}
