/**
 * @module One kept HTTP/1.1 connection that sends prepared bytes and reads whole answers. The load shares the machine
 * with the service, so it does no more than it must: no pipelining, no chunked bodies, no redirects.
 */
import { connect, type Socket } from 'node:net'

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly body: Buffer
}

const HEAD_END = Buffer.from('\r\n\r\n')

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
  #received: Buffer = Buffer.alloc(0)
  #length: number | undefined
  #status = 0
  #resolve: ((answer: Answer) => void) | undefined
  #reject: ((error: Error) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the service closed a connection')))
  }

  /** Connects. */
  static async open(url: URL): Promise<Connection> {
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new Connection(socket)
  }

  /** Sends a request and resolves with its answer, of whatever status. @throws if the connection ends */
  request(bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#socket.write(bytes)
    })
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    if (this.#length === undefined) this.#readHead()
    if (this.#length === undefined || this.#received.length < this.#length) return
    const body = this.#received.subarray(0, this.#length)
    const resolve = this.#resolve
    this.#received = this.#received.subarray(this.#length)
    this.#length = undefined
    this.#resolve = undefined
    this.#reject = undefined
    resolve?.({ status: this.#status, body })
  }

  #readHead(): void {
    const end = this.#received.indexOf(HEAD_END)
    if (end < 0) return
    const head = this.#received.toString('latin1', 0, end)
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
    if (length === undefined) {
      this.#fail(new Error('an answer without content-length'))
      this.close()
      return
    }
    this.#status = Number(head.slice(9, 12))
    this.#length = Number(length)
    this.#received = this.#received.subarray(end + HEAD_END.length)
  }

  #fail(error: Error): void {
    this.#reject?.(error)
    this.#reject = undefined
    this.#resolve = undefined
  }
}
