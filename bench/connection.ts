/**
 * @module One kept HTTP/1.1 connection that sends prepared bytes and reads whole answers. The load shares the machine
 * with the service, so it does no more than it must: no pipelining, no chunked bodies, no redirects, no streams, and one
 * buffer that all connections are read into.
 */
import { connect, type Socket } from 'node:net'

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** Told of an answer, or of why there will be none. */
export type OnAnswer = (answer: Answer | Error) => void

const HEAD_END = Buffer.from('\r\n\r\n')
const LENGTH = Buffer.from('content-length: ')
const STATUS_AT = 'HTTP/1.1 '.length
const NOTHING = Buffer.alloc(0)
/** What one read takes: the kernel's buffer of a loopback connection holds no more than some of these. */
const READ_BYTES = 262_144
/** Shared: a read and the call that follows it end before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)

/** A request as it goes over the wire; a body makes it a POST of JSON. */
export function requestBytes(url: URL, path: string, body?: string): Buffer {
  const start = `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\nhost: ${url.host}\r\n`
  if (body === undefined) return Buffer.from(`${start}\r\n`)
  const head = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
  return Buffer.from(`${start}${head}\r\n${body}`)
}

/** See the module. One request at a time. */
export class Connection {
  readonly #socket: Socket
  #parts: Buffer[] = []
  /** Bytes of the body that are still to come. */
  #missing = 0
  #status = 0
  /** What came of a head that is not whole. */
  #head: Buffer = NOTHING
  #onAnswer: OnAnswer | undefined
  #opened: OnAnswer | undefined
  #ended: Error | undefined

  private constructor(url: URL, opened: OnAnswer) {
    this.#opened = opened
    this.#socket = connect({
      host: url.hostname,
      port: Number(url.port),
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length, buffer) => {
          this.#receive((buffer as Buffer).subarray(0, length))
          return true
        },
      },
    })
    this.#socket.on('connect', () => this.#opened?.({ status: 0, body: NOTHING }))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the service closed a connection')))
  }

  /** Connects. */
  static open(url: URL): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection: Connection = new Connection(url, (opened) => {
        connection.#opened = undefined
        if (opened instanceof Error) reject(opened)
        else resolve(connection)
      })
    })
  }

  /** Sends a request; `onAnswer` is called once, with an answer of whatever status or with why there is none. */
  send(bytes: Buffer, onAnswer: OnAnswer): void {
    if (this.#ended !== undefined) {
      onAnswer(this.#ended)
      return
    }
    this.#onAnswer = onAnswer
    this.#socket.write(bytes)
  }

  /** As `send`. @throws if the connection ends */
  request(bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.send(bytes, (answer) => {
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
      })
    })
  }

  /** Ends the connection; what was not answered never is. */
  close(): void {
    this.#onAnswer = undefined
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    let rest = chunk
    if (this.#missing === 0) {
      if (this.#head.length > 0) rest = Buffer.concat([this.#head, chunk])
      const end = rest.indexOf(HEAD_END)
      // The buffer is shared: what is kept is copied.
      if (end < 0) {
        this.#head = Buffer.from(rest)
        return
      }
      this.#head = NOTHING
      if (!this.#readHead(rest, end)) return
      rest = rest.subarray(end + HEAD_END.length)
    }
    this.#missing -= rest.length
    this.#parts.push(Buffer.from(rest))
    if (this.#missing > 0) return
    const [first = NOTHING] = this.#parts
    const body = this.#parts.length === 1 ? first : Buffer.concat(this.#parts)
    const onAnswer = this.#onAnswer
    this.#parts = []
    this.#missing = 0
    this.#onAnswer = undefined
    onAnswer?.({ status: this.#status, body })
  }

  #readHead(bytes: Buffer, end: number): boolean {
    const at = bytes.indexOf(LENGTH)
    if (at < 0 || at > end) {
      this.#fail(new Error('an answer without content-length'))
      this.close()
      return false
    }
    const stop = bytes.indexOf('\r', at)
    this.#status = Number(bytes.toString('latin1', STATUS_AT, STATUS_AT + 3))
    this.#missing = Number(bytes.toString('latin1', at + LENGTH.length, stop))
    return true
  }

  #fail(error: Error): void {
    this.#ended ??= error
    this.#opened?.(error)
    const onAnswer = this.#onAnswer
    this.#onAnswer = undefined
    onAnswer?.(error)
  }
}

/** Opens several. */
export function openConnections(url: URL, count: number): Promise<readonly Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(url)))
}
