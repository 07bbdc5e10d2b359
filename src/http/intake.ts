/**
 * @module Before the routes: bodies are read whole, and what there is no room for is refused unparsed, so that under any
 * load a refusal costs little and comes at once. What may be a revocation is never refused here for what others send
 * (DESIGN §8): its bytes are searched for the names of the urgent statement types.
 *
 * One turn of the event loop hands few requests on, urgent ones first: what has arrived meanwhile never waits for more
 * than those.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { REQUEST_BYTES_MAX } from './body.ts'

/** What Node's server calls for a request. */
export type Handle = (request: IncomingMessage, response: ServerResponse) => void

/** A request that is refused: nothing of it was parsed. */
export interface Refused {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Whether it would have had a place among the urgent ones. */
  readonly isUrgent: boolean
  /** When its head had come, by the process's clock. */
  readonly sinceMs: number
}

/** A body that was read. */
export interface Body {
  /** Undefined if it was over the limit. */
  readonly bytes: Buffer | undefined
  /** Whether it came in where there was no room, for the urgent statements in it alone. */
  readonly urgentOnly: boolean
}

/** What the intake asks and tells. */
export interface IntakeOptions {
  readonly handle: Handle
  /** Names of the statement types that are never refused for want of room. */
  readonly urgentTypes: readonly string[]
  /** Whether what comes behind so many bytes, besides all that is under way, is answered in good time. */
  readonly hasTimeFor: (bytes: number) => boolean
  /** Whether nothing is taken any more: then everything is handed on unread. */
  readonly isStopped: () => boolean
  /** Answers that there is no room. */
  readonly refuse: (refused: Refused) => void
}

/** Bytes of a body after which it is refused if nothing urgent is in them. */
export const LOOK_BYTES = 65_536
/** Bytes of bodies that are not whole yet, at most: then the one that has been coming for longest is given up. */
export const READING_BYTES_MAX: number = 64 * 1024 * 1024
/** What waits to be handed on, at most. */
const WAITING_BYTES_MAX: number = 32 * 1024 * 1024
/** Urgent requests that wait, at most. */
const URGENT_MAX = 1024
/** Requests under way that are never too many: each may hold as many statements as a request can. */
export const REQUESTS_MIN = 16
/** How much one turn of the event loop hands on: some milliseconds of work. At least one request, however large. */
const TURN_BYTES = 32_768
/**
 * Refusals of one turn, at most: the rest of them waits. They cost less than what is handed on, so that most of the
 * time goes to what was let in, however many are refused; turns are short when there is little else to do.
 */
const TURN_REFUSALS = 32
/** Node accepts one connection a turn: while some come, a turn does so many times less. */
const ACCEPTING_TIMES = 4
/** Refusals that wait, at most: whoever sends more, as by pipelining, is cut off. */
const REFUSED_MAX = 16_384
/** What a request costs besides its body, and a part of a body besides its bytes, in bytes. */
const REQUEST_BYTES = 512
const PART_BYTES = 128

/** How JSON escapes an ASCII character: whoever writes the name of a type so means to hide nothing, and is found all the same. */
const ESCAPE = '\\u00'

interface Waiting {
  readonly request: Arrived
  readonly response: ServerResponse
  readonly bytes: Buffer
  readonly cost: number
}

const BODY: unique symbol = Symbol('body')

/** A request, with its body once that was read: on itself, for a weak map of thousands a second keeps the collector busy. */
interface Arrived extends IncomingMessage {
  [BODY]?: Body
}

/** The body of a request that came through the intake. */
export function bodyOf(request: Arrived): Body | undefined {
  return request[BODY]
}

/** Reads a body that did not come through the intake. @returns undefined if it is over the limit */
export async function readBody(stream: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    parts.push(part)
    size += part.length
    if (size > REQUEST_BYTES_MAX) return undefined
  }
  return Buffer.concat(parts)
}

/**
 * Bytes of which one is in every body that has `type` in a statement: as it is (COSE), and in base64url (JWS) at each of
 * the three places that a byte can have in a group; the characters at the ends depend on what stands beside it.
 */
export function traces(type: string): readonly Buffer[] {
  const aligned = [0, 1, 2].map((shift) => {
    const text = Buffer.from('\0'.repeat(shift) + type).toString('base64url')
    const [from, to] = [Math.ceil((shift * 8) / 6), Math.floor(((shift + type.length) * 8) / 6)]
    return text.slice(from, to)
  })
  return [type, ...aligned].map((text) => Buffer.from(text))
}

/** See the module. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #traces: readonly Buffer[]
  readonly #urgent: Waiting[] = []
  readonly #normal: Waiting[] = []
  readonly #refused: Refused[] = []
  /** What was let in and is not answered. */
  readonly #underWay = new Set<IncomingMessage>()
  #waitingBytes = 0
  /** Bodies that are not whole, in the order in which they began, and how each is given up. */
  readonly #reading = new Map<Reading, () => void>()
  #readingBytes = 0
  #scheduled = false
  #isAccepting = false
  /** Handed on in this turn: where they belong they are not counted before it ends. */
  #handedBytes = 0

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#traces = [...options.urgentTypes, ESCAPE].flatMap(traces)
  }

  /** Takes a request from the server. */
  take(request: IncomingMessage, response: ServerResponse): void {
    const { handle, isStopped } = this.#options
    // Only what has a body waits for it.
    if (request.method !== 'POST' || isStopped()) handle(request, response)
    else if (Number(request.headers['content-length']) > REQUEST_BYTES_MAX)
      this.#handOnUnread(request, response)
    else this.#read({ request, response, sinceMs: performance.now(), parts: [], size: 0 })
  }

  /** Says that a connection was accepted. */
  connected(): void {
    this.#isAccepting = true
  }

  /** Says that a request is answered. */
  answered(request: IncomingMessage): void {
    this.#underWay.delete(request)
  }

  #handOnUnread(request: Arrived, response: ServerResponse): void {
    request[BODY] = { bytes: undefined, urgentOnly: false }
    this.#options.handle(request, response)
  }

  #read(reading: Reading): void {
    const { request, response } = reading
    let held = 0
    const end = (): void => {
      if (!this.#reading.delete(reading)) return
      this.#readingBytes -= held
      request.off('data', onData).off('end', onEnd)
    }
    const onData = (part: Buffer): void => {
      const before = reading.size
      reading.parts.push(part)
      reading.size += part.length
      held += part.length + PART_BYTES
      this.#readingBytes += part.length + PART_BYTES
      if (reading.size > REQUEST_BYTES_MAX) {
        end()
        this.#handOnUnread(request, response)
      } else if (before < LOOK_BYTES && reading.size >= LOOK_BYTES && this.#isHopeless(reading)) {
        end()
        this.#refuse({ ...reading, isUrgent: false })
        passOver(request, reading.size)
      } else this.#giveUpOldest()
    }
    const onEnd = (): void => {
      end()
      this.#place(reading)
    }
    this.#reading.set(reading, () => {
      end()
      request.socket.destroy()
    })
    request.on('data', onData).on('end', onEnd).on('close', end)
  }

  /** Whether what has come of a body is enough to refuse it. */
  #isHopeless({ parts }: Reading): boolean {
    return this.#isFull() && !this.#isUrgent(Buffer.concat(parts))
  }

  #giveUpOldest(): void {
    for (const giveUp of this.#reading.values()) {
      if (this.#readingBytes <= READING_BYTES_MAX) return
      giveUp()
    }
  }

  #isFull(): boolean {
    if (this.#waitingBytes >= WAITING_BYTES_MAX) return true
    const isMany = this.#underWay.size + this.#normal.length >= REQUESTS_MIN
    return isMany && !this.#options.hasTimeFor(this.#waitingBytes + this.#handedBytes)
  }

  #isUrgent(bytes: Buffer): boolean {
    return this.#traces.some((trace) => bytes.includes(trace))
  }

  /** Gives a request whose body is whole its place. */
  #place(reading: Reading): void {
    const { request, response, parts, size } = reading
    const [first] = parts
    const bytes = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts)
    const isUrgent = this.#isUrgent(bytes)
    if (isUrgent ? this.#urgent.length >= URGENT_MAX : this.#isFull()) {
      this.#refuse({ ...reading, isUrgent })
      return
    }
    const cost = size + REQUEST_BYTES
    this.#waitingBytes += cost
    const queue = isUrgent ? this.#urgent : this.#normal
    queue.push({ request, response, bytes, cost })
    this.#schedule()
  }

  #refuse({ request, response, sinceMs, isUrgent }: Refused): void {
    if (this.#refused.length >= REFUSED_MAX) {
      request.socket.destroy()
      return
    }
    // None of its body is kept.
    this.#refused.push({ request, response, sinceMs, isUrgent })
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#turn()
      if (this.#urgent.length + this.#normal.length + this.#refused.length > 0) this.#schedule()
    })
  }

  #turn(): void {
    this.#handedBytes = 0
    const times = this.#isAccepting ? ACCEPTING_TIMES : 1
    this.#isAccepting = false
    const urgentOnly = this.#isFull()
    for (let left = TURN_BYTES; left > 0 && this.#urgent.length > 0; )
      left -= this.#handOn(this.#urgent, urgentOnly)
    for (let left = TURN_BYTES / times; left > 0 && this.#normal.length > 0; )
      left -= this.#handOn(this.#normal, false)
    for (const one of this.#refused.splice(0, TURN_REFUSALS / times)) this.#options.refuse(one)
  }

  /** Hands on what has waited for longest. @returns What it cost */
  #handOn(queue: Waiting[], urgentOnly: boolean): number {
    const next = queue.shift()
    if (next === undefined) return 0
    const { request, response, bytes, cost } = next
    this.#waitingBytes -= cost
    // Whoever is gone has not been answered, and nothing was recorded.
    if (request.socket.destroyed) return 0
    request[BODY] = { bytes, urgentOnly }
    this.#underWay.add(request)
    this.#handedBytes += cost
    response.once('close', () => this.answered(request))
    this.#options.handle(request, response)
    return cost
  }
}

/** A body that is not whole. */
interface Reading {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly sinceMs: number
  readonly parts: Buffer[]
  size: number
}

/** Reads the rest of a body that is refused, so that the connection is there for the next request; no more than a body can be. */
function passOver(request: IncomingMessage, read: number): void {
  let size = read
  request.on('data', (part: Buffer) => {
    size += part.length
    if (size > REQUEST_BYTES_MAX) request.socket.destroy()
  })
}
