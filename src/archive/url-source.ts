/**
 * @module A log behind a URL as a source: the running service, for whoever may read all of it, or a mirror that any web
 * server or object store serves without credentials.
 */
import {
  formatTilePath,
  jsonArray,
  jsonInteger,
  jsonObject,
  parseJson,
  printable,
  ProofError,
  toBase64url,
} from '@trustwarden/proofs'
import { pinnedPath } from './directory.ts'
import { ArchiveError } from './errors.ts'
import { BYTES_MAX, type LogSource } from './source.ts'

/** Reads one path under the log's URL; undefined where nothing is there. */
export type Get = (path: string, bytesMax: number) => Promise<Uint8Array | undefined>

/** The running service: it has everything that a backup takes. */
export function serviceSource(url: string, get: Get): LogSource {
  return {
    ...tileSource(url, get),
    isWhole: true,
    supplement: (index, size) =>
      there(url, get, `/v1/supplements/${index}?size=${size}`, BYTES_MAX.supplement),
    pinned: (digest) => get(`/v1/pinned/${toBase64url(digest)}`, BYTES_MAX.pinned),
    erasedSince: async (from) => {
      const path = `/v1/erasures?from=${from}`
      const bytes = await there(url, get, path, BYTES_MAX.erased)
      try {
        const { entries } = jsonObject(parseJson(bytes, { maxBytes: BYTES_MAX.erased }), 'erasures')
        return jsonArray(entries, 'entries').map((index) => jsonInteger(index, 'index'))
      } catch (cause) {
        if (!(cause instanceof ProofError)) throw cause
        throw new ArchiveError('archive_corrupt', `${url}${path}: ${cause.message}`, { cause })
      }
    },
  }
}

/** A mirror: tiles, bundles, checkpoint, and nothing that can be erased. */
export function tileSource(url: string, get: Get): LogSource {
  return {
    name: url,
    isWhole: false,
    head: () => there(url, get, '/checkpoint', BYTES_MAX.head),
    leafTile: (index, width) =>
      there(url, get, `/${formatTilePath({ level: 0, index, width })}`, BYTES_MAX.tile),
    bundle: (index, width) =>
      there(url, get, `/${formatTilePath({ level: 'entries', index, width })}`, BYTES_MAX.bundle),
    supplement: () => Promise.reject(new ArchiveError('archive_foreign', `${url} is a mirror`)),
    pinned: (digest) => get(`/${pinnedPath(digest)}`, BYTES_MAX.pinned),
    erasedSince: () => Promise.resolve([]),
  }
}

const TIMEOUT_MS = 30_000
const ATTEMPTS = 5
const PAUSE_MS = 300

/**
 * Reads what any web server serves under `base`, as it is.
 *
 * @throws {ArchiveError} `archive_unreachable` after all attempts, also for another status than 200 and 404; at once
 *   `archive_redirected`, `archive_encoded`, and `archive_corrupt` over the cap
 */
export function openGet(base: string): Get {
  return async (path, bytesMax) => {
    const url = base.replace(/\/+$/, '') + path
    for (let attempt = 1; ; attempt++) {
      try {
        return await readOnce(url, bytesMax)
      } catch (cause) {
        if (cause instanceof ArchiveError) throw cause
        if (attempt === ATTEMPTS) {
          const why = cause instanceof Error ? cause.message : String(cause)
          throw new ArchiveError('archive_unreachable', `${url}: ${why}`, { cause })
        }
      }
      await new Promise((resolve) => {
        setTimeout(resolve, PAUSE_MS * 2 ** attempt)
      })
    }
  }
}

/** Characters of a header of the other side that a message shows. */
const HEADER_LENGTH_SHOWN = 200

/** Why an answer is not read; undefined for one of status 200, as it is. */
function refusalOf(url: string, { status, headers }: Response): Error | undefined {
  const location = headers.get('location')
  if (location !== null && status >= 300 && status < 400)
    return new ArchiveError(
      'archive_redirected',
      `${url}: status ${status}, to ${printable(location, HEADER_LENGTH_SHOWN)}`,
    )
  if (status !== 200) return new Error(`status ${status}`)
  const encoding = headers.get('content-encoding') ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return undefined
  return new ArchiveError(
    'archive_encoded',
    `${url}: content-encoding "${printable(encoding, HEADER_LENGTH_SHOWN)}"`,
  )
}

async function readOnce(url: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const response = await fetch(url, {
    redirect: 'manual',
    // By itself fetch asks for gzip; what is copied is what is there.
    headers: { 'accept-encoding': 'identity' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const { status, body } = response
  const refusal = refusalOf(url, response)
  if (refusal !== undefined || body === null) {
    await body?.cancel()
    if (status === 404) return undefined
    throw refusal ?? new Error('an answer without a body')
  }
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > bytesMax)
      throw new ArchiveError('archive_corrupt', `${url} is over ${bytesMax} bytes`)
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

async function there(url: string, get: Get, path: string, bytesMax: number): Promise<Uint8Array> {
  const bytes = await get(path, bytesMax)
  if (bytes === undefined)
    throw new ArchiveError('archive_missing', `${url}${path}: nothing is there`)
  return bytes
}
