/**
 * @module Who may use which route, as data (DESIGN §11). What is not in the table is denied; a test drives each cell.
 *
 * A read route's role is that of the request's credential (`credential.ts`); a write route's is that of the signer of
 * the statement, so nothing else is asked for there.
 */

/** Roles of this release. `none` is a request without a credential. */
export const ROLES = ['none', 'agent', 'owner', 'operator', 'reader'] as const
/** One of `ROLES`. */
export type Role = (typeof ROLES)[number]

/**
 * What a role may see at a route: `all`; `own`: an agent its own entries, an owner those of its agents; `-`: nothing.
 */
export type Access = 'all' | 'own' | '-'

/** One route. `path` is under the origin of the server; `{log}` stands for `/logs/<name>`. */
export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** `read`: role of the credential; `statement`: role of the statement's signer. */
  readonly by: 'read' | 'statement'
  readonly access: Readonly<Record<Role, Access>>
  readonly summary: string
}

/** Name of a route. */
export type RouteName =
  | 'wellKnown'
  | 'spiffeBundle'
  | 'authzenConfiguration'
  | 'livez'
  | 'readyz'
  | 'openapi'
  | 'metrics'
  | 'checkpoint'
  | 'rotations'
  | 'hashTile'
  | 'entryBundle'
  | 'entry'
  | 'inclusion'
  | 'consistency'
  | 'supplement'
  | 'pinned'
  | 'erasures'
  | 'range'
  | 'agent'
  | 'chain'
  | 'agents'
  | 'statements'
  | 'evaluation'

type Row = Route['access']

const everybody: Row = { none: 'all', agent: 'all', owner: 'all', operator: 'all', reader: 'all' }
const known: Row = { none: '-', agent: 'all', owner: 'all', operator: 'all', reader: 'all' }
const whole: Row = { none: '-', agent: '-', owner: '-', operator: 'all', reader: 'all' }
const ownOrWhole: Row = { none: '-', agent: 'own', owner: 'own', operator: 'all', reader: 'all' }

/** The routes, by name. */
export const ROUTES: Readonly<Record<RouteName, Route>> = {
  wellKnown: {
    method: 'GET',
    path: '/.well-known/trustwarden',
    by: 'read',
    access: everybody,
    summary:
      'Origin, keys, trust domain, limits and endpoints; to be checked against the trust anchor',
  },
  spiffeBundle: {
    method: 'GET',
    path: '/.well-known/spiffe-bundle',
    by: 'read',
    access: everybody,
    summary: 'SPIFFE trust bundle (JWKS)',
  },
  authzenConfiguration: {
    method: 'GET',
    path: '/.well-known/authzen-configuration',
    by: 'read',
    access: everybody,
    summary: 'AuthZEN 1.0 policy decision point metadata',
  },
  livez: {
    method: 'GET',
    path: '/livez',
    by: 'read',
    access: everybody,
    summary: 'The process runs',
  },
  readyz: {
    method: 'GET',
    path: '/readyz',
    by: 'read',
    access: everybody,
    summary: 'The service takes statements',
  },
  openapi: {
    method: 'GET',
    path: '/openapi.json',
    by: 'read',
    access: everybody,
    summary: 'This description',
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    by: 'read',
    access: whole,
    summary: 'Prometheus metrics',
  },
  checkpoint: {
    method: 'GET',
    path: '{log}/checkpoint',
    by: 'read',
    access: everybody,
    summary: 'The latest checkpoint (C2SP tlog-checkpoint)',
  },
  rotations: {
    method: 'GET',
    path: '{log}/v1/rotations',
    by: 'read',
    access: everybody,
    summary: 'Proofs of the rotations of the log key, for a trust anchor of an earlier key',
  },
  hashTile: {
    method: 'GET',
    path: '{log}/tile/{level}/{tile}',
    by: 'read',
    access: everybody,
    summary: 'A hash tile (C2SP tlog-tiles)',
  },
  entryBundle: {
    method: 'GET',
    path: '{log}/tile/entries/{tile}',
    by: 'read',
    access: whole,
    summary: 'An entry bundle (C2SP tlog-tiles)',
  },
  entry: {
    method: 'GET',
    path: '{log}/v1/entries/{index}',
    by: 'read',
    access: ownOrWhole,
    summary: 'One entry with its receipt and the disclosures that are still there',
  },
  inclusion: {
    method: 'GET',
    path: '{log}/v1/proofs/inclusion',
    by: 'read',
    access: known,
    summary: 'Inclusion proof of `index` in the tree of `size`',
  },
  consistency: {
    method: 'GET',
    path: '{log}/v1/proofs/consistency',
    by: 'read',
    access: known,
    summary: 'Consistency proof between the trees of `from` and `to`',
  },
  supplement: {
    method: 'GET',
    path: '{log}/v1/supplements/{bundle}',
    by: 'read',
    access: whole,
    summary: 'What a backup takes beside an entry bundle, below `size`: batch records, disclosures',
  },
  pinned: {
    method: 'GET',
    path: '{log}/v1/pinned/{digest}',
    by: 'read',
    access: whole,
    summary: 'A pinned attachment by its SHA-256, base64url: a policy',
  },
  erasures: {
    method: 'GET',
    path: '{log}/v1/erasures',
    by: 'read',
    access: whole,
    summary: 'Indexes of the entries whose disclosures an entry from `from` on erased',
  },
  range: {
    method: 'GET',
    path: '{log}/v1/proofs/range',
    by: 'read',
    access: known,
    summary: 'Range proof of the entries from `start` to `end` (exclusive) in the tree of `size`',
  },
  agent: {
    method: 'GET',
    path: '{log}/v1/agents/{id}',
    by: 'read',
    access: ownOrWhole,
    summary: 'What the log knows of an agent instance, with its lineage',
  },
  chain: {
    method: 'GET',
    path: '{log}/v1/chains/{subject}',
    by: 'read',
    access: ownOrWhole,
    summary: 'Where the chain of `inst:…`, `agent:…`, `owner:…`, `policy` or `log` ends',
  },
  agents: {
    method: 'POST',
    path: '{log}/v1/agents',
    by: 'statement',
    access: { none: '-', agent: 'all', owner: 'all', operator: '-', reader: '-' },
    summary: 'Issues an agent its SVID: a delegation statement and a certificate request',
  },
  statements: {
    method: 'POST',
    path: '{log}/v1/statements',
    by: 'statement',
    access: { none: '-', agent: 'all', owner: 'all', operator: 'all', reader: '-' },
    summary: 'Registers 1 to 1,000 statements; one result each, in order',
  },
  evaluation: {
    method: 'POST',
    path: '/access/v1/evaluation',
    by: 'statement',
    access: { none: '-', agent: 'all', owner: '-', operator: '-', reader: '-' },
    summary: 'Decides one action (AuthZEN 1.0), as a statement signed by the agent',
  },
}

/** What `role` may see at `route`. `open` opens every read (a whole log that anyone may read). */
export function accessOf(route: RouteName, role: Role, open: boolean): Access {
  const { by, access } = ROUTES[route]
  if (open && by === 'read') return 'all'
  return access[role]
}

/** Who may use a route, and how to become one of them: for a caller who is known, and is none of them. */
export function roleAdvice(route: RouteName, role: Role): string {
  const needed = ROLES.filter((one) => one !== 'none' && ROUTES[route].access[one] !== '-')
  return (
    `this route is for the roles ${needed.join(', ')}, and this credential is of the role ${role}: sign with a key ` +
    'that is enrolled under one of those (an operator enrols readers and owners)'
  )
}
