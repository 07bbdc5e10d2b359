/**
 * @module A server on loopback between the SDK and the real service: it keeps every request, and a script decides what
 * becomes of each: forwarded, dropped, answered otherwise. With the service's own log key it lies as its operator
 * could.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  fromBase64url,
  formatHeadBody,
  formatNote,
  type JsonObject,
  leafHash,
  NOTE_ED25519,
  noblePrimitives,
  noteKey,
  noteSigningInput,
  parseHeadBody,
  parseNote,
  parseReceipt,
  ProofError,
  type Receipt,
  receiptObject,
  rootFromInclusion,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import { readKeyFile } from '../../src/keys.ts'
import { signerFromPrivateKey } from '../../src/crypto.ts'

/** Tiles and bundles are bytes: their bodies are strings of one character a byte. */
export function encodingOf(path: string): 'latin1' | 'utf8' {
  return /\/tile\/|\/pinned\//.test(path) ? 'latin1' : 'utf8'
}

/** A request as it came in. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly body: string
  readonly headers: IncomingHttpHeaders
}

/** An answer as it goes out. */
export interface Reply {
  readonly status: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** `drop` ends the connection, `hang` never answers. */
export type Act = Reply | 'drop' | 'hang'

/** Decides about one request; `forward` asks the real service. */
export type Script = (
  seen: Seen,
  forward: () => Promise<Reply>,
  count: number,
) => Promise<Act> | Act

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

/** See the module. */
export class TamperingProxy {
  readonly seen: Seen[] = []
  script: Script = (_seen, forward) => forward()
  readonly #server: Server
  readonly #target: string

  constructor(target: string) {
    this.#target = target
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Bodies of the requests whose path ends so. */
  bodies(ending: string): readonly string[] {
    return this.seen.filter(({ path }) => path.endsWith(ending)).map(({ body }) => body)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = request
    const seen = { method, path, body: await bodyOf(request), headers }
    this.seen.push(seen)
    const count = this.seen.filter((one) => one.path === path && one.method === method).length
    const act = await this.script(seen, () => this.#forward(seen, request), count)
    if (act === 'hang') return
    if (act === 'drop') {
      request.socket.destroy()
      return
    }
    response.writeHead(act.status, { 'content-type': 'application/json', ...act.headers })
    response.end(act.body, encodingOf(path))
  }

  async #forward({ method, path, body }: Seen, request: IncomingMessage): Promise<Reply> {
    const { authorization } = request.headers
    const answer = await fetch(this.#target + path, {
      method,
      headers: {
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(method === 'POST' ? { body } : {}),
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    return { status: answer.status, body: bytes.toString(encodingOf(path)) }
  }
}

/** An answer with its JSON changed. */
export function changed(reply: Reply, change: (body: JsonObject) => JsonObject): Reply {
  return { ...reply, body: JSON.stringify(change(JSON.parse(reply.body) as JsonObject)) }
}

/**
 * The receipt of another tree of the same size, under a head that the log's own key signed: what only the operator
 * of the log can make.
 */
export function forkedReceipt(receipt: JsonObject, keysDirectory: string): JsonObject {
  const { head, path, index, entry }: Receipt = parseReceipt(receipt)
  const { origin, size } = parseHeadBody(parseNote(utf8Encode(head)).text)
  // Any path of the right length leads to some root, and that root is what is signed.
  const other = path.map((_, at) => new Uint8Array(32).fill(at))
  const leaf = leafHash(noblePrimitives, entry)
  const root = rootFromInclusion(noblePrimitives, index, size, leaf, other)
  return {
    ...receipt,
    path: other.map(toBase64url),
    head: signHead(keysDirectory, origin, size, root),
  }
}

/** A receipt of an entry that never was in the log, under a head of `size` that the log's own key signed. */
export function forgedReceipt(
  { index, entry, head }: Receipt,
  size: number,
  keysDirectory: string,
): JsonObject {
  const { origin } = parseHeadBody(parseNote(utf8Encode(head)).text)
  const leaf = leafHash(noblePrimitives, entry)
  const path: Uint8Array[] = []
  for (;;) {
    try {
      const root = rootFromInclusion(noblePrimitives, index, size, leaf, path)
      return receiptObject({
        index,
        entry,
        path,
        head: signHead(keysDirectory, origin, size, root),
      })
    } catch (error) {
      // The path was too short for this size.
      if (!(error instanceof ProofError) || path.length > 60) throw error
      path.push(new Uint8Array(32))
    }
  }
}

/** A head under the log's own key. */
export function signHead(
  keysDirectory: string,
  origin: string,
  size: number,
  root: Uint8Array,
): string {
  const signer = signerFromPrivateKey(readKeyFile(`${keysDirectory}/log.key`))
  const key = noteKey(noblePrimitives, origin, NOTE_ED25519, signer.publicKey)
  const text = formatHeadBody({ origin, size, root, extensions: [] })
  const signature = signer.sign(noteSigningInput(text))
  return utf8Decode(formatNote(text, [{ name: origin, keyId: key.keyId, signature }]))
}

/** Base64url with one bit of its bytes flipped. */
export function flipped(text: string, at: number): string {
  const bytes = fromBase64url(text)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return toBase64url(bytes)
}
