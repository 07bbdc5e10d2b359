/**
 * @module C2SP tlog-tiles: the paths under which a log's tiles and entry bundles are served, and the bytes of a bundle.
 *
 *     tile/<level>/<index>[.p/<width>]      hashes, 32 bytes each
 *     tile/entries/<index>[.p/<width>]      entries: u16 length ‖ entry, one after the other
 *
 * An index is written in groups of three digits, all but the last with an x before them: 1234067 is x001/x234/067.
 */
import { joinBytes, copyBytes, parseDecimal, readU16, u16Bytes } from './bytes.ts'
import { check } from './errors.ts'

/** Which tile or bundle. */
export interface TilePath {
  /** Height of the tile, 0 to 63 (a node of level l + 1 covers 256 of level l), or a bundle of entries. */
  readonly level: number | 'entries'
  /** Position in its level, 0 to 2^53−1. */
  readonly index: number
  /** How many hashes or entries it holds: 1 to 255 in a partial one, 256 in a full one. */
  readonly width: number
}

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256
/** Longest entry in bytes: what the bundle's u16 can say. */
export const ENTRY_LENGTH_MAX = 65_535

const LEVEL_MAX = 63
// 2^53−1 has six groups: 5 × "x000/" and "000", with the longest of everything around.
const PATH_LENGTH_MAX = 'tile/entries/'.length + 5 * 5 + 3 + '.p/255'.length

/**
 * Formats the path of a tile or bundle, relative to the log's prefix.
 *
 * @throws {ProofError} `malformed` for a level, index or width out of range.
 * @see C2SP tlog-tiles
 */
export function formatTilePath(path: TilePath): string {
  const { level, index, width } = path
  const levelValid = level === 'entries' || (isUint(level) && level <= LEVEL_MAX)
  check(levelValid, 'malformed', `tile level: not 0 to ${LEVEL_MAX}`)
  check(isUint(index), 'malformed', 'tile index: not an unsigned safe integer')
  const widthValid = isUint(width) && width >= 1 && width <= TILE_WIDTH
  check(widthValid, 'malformed', `tile width: not 1 to ${TILE_WIDTH}`)
  let groups = threeDigits(index % 1000)
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups = `x${threeDigits(rest % 1000)}/${groups}`
  }
  return `tile/${level}/${groups}${width === TILE_WIDTH ? '' : `.p/${width}`}`
}

/**
 * Parses the path of a tile or bundle, relative to the log's prefix.
 *
 * @throws {ProofError} `malformed` for anything that is not such a path; `not_canonical` for leading zeros;
 *   `too_large` for a level above 63, an index above 2^53−1, a width above 255, or a path longer than any of these.
 * @see C2SP tlog-tiles
 */
export function parseTilePath(path: string): TilePath {
  check(path.length <= PATH_LENGTH_MAX, 'too_large', 'tile path: longer than any path')
  const [first, levelText, ...rest] = path.split('/')
  const isTile = first === 'tile' && levelText !== undefined
  check(isTile, 'malformed', 'tile path: not tile/<level>/<index>[.p/<width>]')
  const level = levelText === 'entries' ? levelText : parseDecimal(levelText, 'tile level')
  check(level === 'entries' || level <= LEVEL_MAX, 'too_large', `tile level: over ${LEVEL_MAX}`)
  const name = rest.join('/')
  const partial = name.indexOf('.p/')
  const groups = partial < 0 ? name : name.slice(0, partial)
  const grouped = /^(?:x[0-9]{3}\/)*[0-9]{3}$/.test(groups)
  check(grouped, 'malformed', 'tile index: not groups of three digits')
  check(!groups.startsWith('x000/'), 'not_canonical', 'tile index: leading zeros')
  const index = Number(groups.replaceAll(/[x/]/g, ''))
  check(isUint(index), 'too_large', 'tile index: over 2^53−1')
  if (partial < 0) return { level, index, width: TILE_WIDTH }
  const width = parseDecimal(name.slice(partial + '.p/'.length), 'tile width')
  check(width > 0, 'malformed', 'tile width: 0')
  check(width < TILE_WIDTH, 'too_large', 'tile width: over 255')
  return { level, index, width }
}

/**
 * Encodes 1 to 256 entries as a bundle: u16 length ‖ entry, one after the other.
 *
 * @throws {ProofError} `malformed` for another count; `too_large` for an entry over 65,535 bytes.
 * @see C2SP tlog-tiles
 */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  checkCount(entries.length)
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    const fits = entry.length <= ENTRY_LENGTH_MAX
    check(fits, 'too_large', `entry is ${entry.length} bytes, at most ${ENTRY_LENGTH_MAX}`)
    parts.push(u16Bytes(entry.length), entry)
  }
  return joinBytes(parts)
}

/**
 * Decodes a bundle of exactly `count` entries, 1 to 256. The entries are copies.
 *
 * @throws {ProofError} `malformed` if the bytes hold fewer or more, or end inside one.
 * @see C2SP tlog-tiles
 */
export function decodeBundle(bytes: Uint8Array, count: number): readonly Uint8Array[] {
  checkCount(count)
  const entries: Uint8Array[] = []
  let at = 0
  while (entries.length < count) {
    const start = at + 2
    at = start + readU16(bytes, at)
    check(at <= bytes.length, 'malformed', 'bundle: the bytes end inside an entry')
    entries.push(copyBytes(bytes, start, at))
  }
  check(at === bytes.length, 'malformed', 'bundle: bytes after the last entry')
  return entries
}

function checkCount(count: number): void {
  const valid = isUint(count) && count >= 1 && count <= TILE_WIDTH
  check(valid, 'malformed', `bundle: not 1 to ${TILE_WIDTH} entries`)
}

function isUint(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0
}

function threeDigits(n: number): string {
  return String(n).padStart(3, '0')
}
