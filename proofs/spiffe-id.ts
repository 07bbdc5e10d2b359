/**
 * @module SPIFFE ids, read strictly, and the ids of agents among them.
 *
 *     spiffe://<trust domain>/<team path>/<agent>/inst-<id>      an instance
 *     spiffe://<trust domain>/<team path>/<agent>                its agent's name: the id without its last segment
 *
 * Left out: equivalence of spellings. There is none: an id is its bytes, and every other spelling is refused.
 *
 * @see SPIFFE-ID §2 (github.com/spiffe/spiffe, standards/SPIFFE-ID.md); FORMAT §7.2
 */
import { check } from './errors.ts'
import { remembered } from './remembered.ts'

/** Bytes in an id: what SPIFFE-ID §2.3 obliges everybody to support, and tells everybody not to exceed. */
export const SPIFFE_ID_BYTES_MAX = 2048

/** Bytes in a trust domain (SPIFFE-ID §2.3). */
export const TRUST_DOMAIN_BYTES_MAX = 255

/** Segments in an agent's name (FORMAT §7.2). */
export const NAME_SEGMENTS_MAX = 8

/** The first segment that is kept for the service's own servers: no agent has it. */
export const RESERVED_NAME_SEGMENT = 'trustsystem'

const SCHEME = 'spiffe://'
const TRUST_DOMAIN = /^[a-z0-9._-]+$/
const PATH_SEGMENT = /^[A-Za-z0-9._-]+$/
const NAME_SEGMENT = /^(?!inst-)[a-z0-9][a-z0-9-]{0,62}$/
const INSTANCE_SEGMENT = /^inst-[a-z0-9]{5,64}$/

/** A SPIFFE id, read. */
export interface SpiffeId {
  readonly trustDomain: string
  /** Empty, or `/` and the segments joined by `/`. */
  readonly path: string
  readonly segments: readonly string[]
}

/** The name of an agent: what policies, owners and revocations speak of, whichever instance runs. */
export interface AgentName {
  readonly name: string
  readonly trustDomain: string
  /** Team path and agent: 1 to `NAME_SEGMENTS_MAX`. */
  readonly segments: readonly string[]
}

/** The id of one running instance of an agent. */
export interface InstanceId {
  readonly id: string
  readonly trustDomain: string
  /** The agent's name: the id without its last segment. */
  readonly name: string
  /** Team path and agent: 1 to `NAME_SEGMENTS_MAX`. */
  readonly nameSegments: readonly string[]
  /** The last segment, `inst-…`. */
  readonly instance: string
}

/**
 * Reads any SPIFFE id, that of a trust domain (no path) included.
 *
 * @throws {ProofError} `spiffe_id_invalid`
 * @see SPIFFE-ID §2, the strict reading: the scheme in lower case, at most 2048 bytes
 */
export function parseSpiffeId(text: string): SpiffeId {
  checkId(
    text.length <= SPIFFE_ID_BYTES_MAX,
    `id is ${text.length} characters, at most ${SPIFFE_ID_BYTES_MAX}`,
  )
  checkId(text.startsWith(SCHEME), `id does not start with "${SCHEME}"`)
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  const trustDomain = slash < 0 ? rest : rest.slice(0, slash)
  const path = slash < 0 ? '' : rest.slice(slash)
  checkId(
    trustDomain.length <= TRUST_DOMAIN_BYTES_MAX,
    `trust domain is ${trustDomain.length} characters, at most ${TRUST_DOMAIN_BYTES_MAX}`,
  )
  checkId(
    TRUST_DOMAIN.test(trustDomain),
    'trust domain must be one or more of a-z, 0-9, ".", "_" and "-"',
  )
  const segments = path.split('/').slice(1)
  for (const segment of segments) {
    checkId(
      PATH_SEGMENT.test(segment),
      'path segment must be one or more of A-Z, a-z, 0-9, ".", "_" and "-"',
    )
    checkId(segment !== '.' && segment !== '..', 'path segment must not be "." or ".."')
  }
  return { trustDomain, path, segments }
}

/**
 * Returns whether `segment` may stand in an agent's name: `[a-z0-9][a-z0-9-]{0,62}`, and no `inst-` in front, so that
 * a name never reads as an instance.
 */
export function isNameSegment(segment: string): boolean {
  return NAME_SEGMENT.test(segment)
}

/**
 * Reads the name of an agent: 1 to `NAME_SEGMENTS_MAX` segments, the first not `trustsystem`.
 *
 * @throws {ProofError} `spiffe_id_invalid`
 */
export const parseAgentName: (text: string) => AgentName = remembered((text) => {
  const { trustDomain, segments } = parseSpiffeId(text)
  checkNameSegments(segments)
  return { name: text, trustDomain, segments }
})

/**
 * Reads the id of an agent's instance: an agent's name and one segment `inst-[a-z0-9]{5,64}`.
 *
 * @throws {ProofError} `spiffe_id_invalid`
 */
export const parseInstanceId: (text: string) => InstanceId = remembered((text) => {
  const { trustDomain, segments } = parseSpiffeId(text)
  const nameSegments = segments.slice(0, -1)
  const slash = text.lastIndexOf('/')
  const instance = text.slice(slash + 1)
  checkId(
    INSTANCE_SEGMENT.test(instance) && segments.length > 0,
    'last segment must be "inst-" and 5 to 64 of a-z and 0-9',
  )
  checkNameSegments(nameSegments)
  return { id: text, trustDomain, name: text.slice(0, slash), nameSegments, instance }
})

function checkNameSegments(segments: readonly string[]): void {
  checkId(
    segments.length > 0 && segments.length <= NAME_SEGMENTS_MAX,
    `agent name has ${segments.length} segments, must have 1 to ${NAME_SEGMENTS_MAX}`,
  )
  checkId(
    segments[0] !== RESERVED_NAME_SEGMENT,
    `first segment "${RESERVED_NAME_SEGMENT}" is reserved`,
  )
  checkId(
    segments.every(isNameSegment),
    'name segment must be 1 to 63 of a-z, 0-9 and "-", not start with "-" nor with "inst-"',
  )
}

function checkId(condition: boolean, message: string): asserts condition {
  check(condition, 'spiffe_id_invalid', message)
}
