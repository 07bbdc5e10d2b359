/**
 * @module Servers that do nothing, seen from the bench: the ceilings of what is answered over HTTP.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Node's own server, or fastify with nothing added. */
export type BareServerKind = 'node:http' | 'fastify'

/** Where a server is, and which process. */
export interface ServerPlace {
  readonly url: string
  readonly pid: number
}

/** A server that answers every request with the same proof. */
export class BareServer {
  readonly place: ServerPlace
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.place = { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0 }
  }

  /** Starts one. */
  static async start(kind: BareServerKind): Promise<BareServer> {
    const child = fork(fileURLToPath(new URL('./bare-http-process.js', import.meta.url)))
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', () => reject(new Error('a bare server ended')))
      child.once('message', (value) => resolve(Number(value)))
      child.send(kind)
    })
    return new BareServer(child, port)
  }

  /** Ends it. */
  stop(): void {
    this.#child.disconnect()
  }
}
