/**
 * @module Serves the kit to a browser as it is built: an import map instead of a bundler, and a Content-Security-Policy
 * that allows neither evaluated code nor another origin.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const IMPORT_MAP = JSON.stringify({
  imports: {
    '@noble/hashes/': '/@noble/hashes/',
    '@noble/curves/': '/@noble/curves/',
    '@noble/ed25519': '/@noble/ed25519/index.js',
    '@trustwarden/proofs': '/proofs/index.js',
  },
})

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>vectors</title>
<script type="importmap">${IMPORT_MAP}</script>
<script type="module" src="/page.js"></script>
</html>
`

const POLICY = [
  "default-src 'none'",
  `script-src 'self' 'sha256-${createHash('sha256').update(IMPORT_MAP).digest('base64')}'`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Far more than the page takes, and less than vitest waits. */
const SILENCE_MS = 50_000

/** What the page posts (page.js). */
export interface PageReport {
  readonly userAgent: string
  /** Names that the kit exports in the page. */
  readonly names: readonly string[]
  /** Path of a vector → `ok`, a code, or another error. */
  readonly answers: Readonly<Record<string, string>>
  /** URLs that the page fetched, its modules included, up to the last vector. */
  readonly resources: readonly string[]
  /** Whether `resources` lacks some. */
  readonly lost: boolean
  /** What the policy refused until then: directive and URI. */
  readonly violations: readonly string[]
  /** Name of the error that each forbidden attempt, made afterwards, ended in; `none` if it had none. */
  readonly attempts: { readonly evaluate: string; readonly leave: string }
  /** What the policy refused of them. */
  readonly provoked: readonly string[]
}

/** A server of the page. */
export interface PageServer {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string
  /** Each path of a vector with what it expects, read from disk here and not by the page. */
  readonly expected: ReadonlyMap<string, string>
  /** Resolves with what the page posts; rejects with the error it met instead, or when it is silent for too long. */
  readonly report: Promise<PageReport>
  /** What was asked for so far, as absolute URLs by the Host header. */
  readonly requested: readonly string[]
  /** What was asked for and is not served. */
  readonly missing: readonly string[]
  readonly close: () => void
}

/** Serves the page on a free port of 127.0.0.1. The vectors are those of `folder` (with a final slash). */
export async function servePage(folder: string = `${ROOT}proofs/vectors/`): Promise<PageServer> {
  const vectors = filesOf(folder, /^(?!dist).*\/.*\.json$/)
  // All that can be asked for: no path of a request ever meets the file system.
  const files = new Map<string, string>([['/page.js', `${ROOT}test/browser/page.js`]])
  for (const path of vectors) files.set(`/vectors/${path}`, folder + path)
  const served: readonly (readonly [string, string])[] = [
    ['/proofs/', `${ROOT}proofs/dist/`],
    ['/@noble/', `${ROOT}node_modules/@noble/`],
  ]
  for (const [url, from] of served)
    for (const path of filesOf(from, /\.js$/)) files.set(url + path, from + path)

  const requested: string[] = []
  const missing: string[] = []
  let takeReport: (posted: PageReport | { readonly error: string }) => void = () => undefined
  const report = new Promise<PageReport>((resolve, reject) => {
    const silent = (): void =>
      reject(new Error(`no report; asked for ${requested.slice(-3).join(', ')}`))
    const timer = setTimeout(silent, SILENCE_MS)
    takeReport = (posted) => {
      clearTimeout(timer)
      if ('error' in posted) reject(new Error(`in the page: ${posted.error}`))
      else resolve(posted)
    }
  })
  // Rejects in its own time, also where nobody awaits it any more.
  report.catch(() => undefined)
  const server = createServer((request, response) => {
    const { url = '', headers } = request
    requested.push(`http://${headers.host}${url}`)
    const task = { vectors, foreign: `http://localhost:${portOf(server.address())}/foreign` }
    if (url === '/') answer(response, 'text/html', PAGE)
    else if (url === '/task') answer(response, 'application/json', JSON.stringify(task))
    else if (url === '/report') void readReport(request, response).then(takeReport)
    else {
      const file = files.get(url)
      if (file === undefined) missing.push(url)
      if (file === undefined) response.writeHead(404).end()
      else answer(response, mediaOf(file), readFileSync(file))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  const expected = new Map(vectors.map((path) => [path, expectOf(folder + path)]))
  const origin = `http://127.0.0.1:${portOf(server.address())}`
  return { origin, expected, report, requested, missing, close }
}

function filesOf(folder: string, wanted: RegExp): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    wanted.test(path),
  )
}

function expectOf(file: string): string {
  const vector: { readonly expect: string } = JSON.parse(readFileSync(file, 'utf8'))
  return vector.expect
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}

function mediaOf(file: string): string {
  return file.endsWith('.js') ? 'text/javascript' : 'application/json'
}

function answer(response: ServerResponse, media: string, body: string | Buffer): void {
  response.writeHead(200, {
    'content-type': `${media}; charset=utf-8`,
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  })
  response.end(body)
}

async function readReport(
  request: IncomingMessage,
  response: ServerResponse,
): Promise<PageReport | { readonly error: string }> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  answer(response, 'application/json', '{}')
  return JSON.parse(Buffer.concat(chunks).toString())
}
