/**
 * @module The folds of identity: every instance that was issued, every name that was used, every key that has a holder.
 *
 *     agents  key  instance id, UTF-8           value  JSON of the instance
 *     names   key  `n` ‖ path of the name       value  JSON {owner, pattern}
 *             key  `p` ‖ path or empty          value  JSON [{owner, pattern}…]: of all used names there or below
 *     keys    key  kid, ASCII                   value  principal, UTF-8
 *
 * A path is a name without scheme and trust domain: one log serves one trust domain. The `p` keys answer, without a
 * scan, whose names a new owner's pattern would take.
 */
import {
  ed25519Spki,
  fromBase64url,
  keyId,
  parseCertificate,
  parseDelegation,
  parseGenesis,
  parseInstanceId,
  parseKeyRotate,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import type { NoteKey } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { FOLDS } from '../ledger/contract.ts'
import { memoized } from '../memo.ts'
import type {
  Agent,
  AgentReader,
  Fold,
  FoldWriter,
  RegisteredEntry,
  State,
} from '../ledger/contract.ts'
import { certificateFacts } from './certificate-binding.ts'

/** Kind of the entries that issue an instance (FORMAT §6). */
export const ISSUE_KIND = 'agent.issue'

/** Whose a name is, and by which of the owner's patterns. */
export interface NameUse {
  /** `owner:<kid>`. */
  readonly owner: string
  readonly pattern: string
}

/** Decides whose a name is, by its segments; the ledger knows the owners. */
export type NameDecider = (state: State, segments: readonly string[]) => NameUse | undefined

/** An instance as its fold keeps it: bytes as b64u. */
type StoredAgent = Omit<Agent, 'spki' | 'record' | 'root'> & {
  readonly spki: string
  readonly record: string
  readonly root: string
}

const ENROLMENTS: ReadonlySet<string> = new Set([
  'operator.enroll',
  'owner.enroll',
  'member.enroll',
])

/** Finds an instance as its issuance recorded it. */
export const agentReader: AgentReader = {
  find(state: State, instance: string): Agent | undefined {
    const value = state.get(FOLDS.agents, utf8Encode(instance))
    return value && parseAgent(value)
  },
}

const parseAgent = memoized((value: Uint8Array): Agent => {
  const stored = JSON.parse(utf8Decode(value)) as StoredAgent
  return {
    ...stored,
    // It lives as long as the agent is remembered, and shares no memory (`allocate`).
    spki: new Uint8Array(fromBase64url(stored.spki)),
    record: fromBase64url(stored.record),
    root: fromBase64url(stored.root),
  }
})

/** The principal whose key this is: an instance or a person; the service for its own keys and the CA's; or undefined. */
export function findKeyHolder(state: State, kid: string): string | undefined {
  const value = state.get(FOLDS.keys, utf8Encode(kid))
  return value && utf8Decode(value)
}

/** Whose the agent's name is, or undefined while no instance of it was issued. */
export function findNameUse(state: State, segments: readonly string[]): NameUse | undefined {
  const value = state.get(FOLDS.names, nameKey(segments))
  return value && (JSON.parse(utf8Decode(value)) as NameUse)
}

/** Makes the reader of a used name's owner; names of other trust domains are nobody's. */
export function createNameOwnerReader(
  ownTrustDomain: string,
): (state: State, trustDomain: string, segments: readonly string[]) => string | undefined {
  return (state, trustDomain, segments) =>
    trustDomain === ownTrustDomain ? findNameUse(state, segments)?.owner : undefined
}

/** Whose the used names at this path and below it are, each owner and pattern once. */
export function listNameUses(state: State, segments: readonly string[]): readonly NameUse[] {
  const value = state.get(FOLDS.names, pathKey(segments))
  return value === undefined ? [] : (JSON.parse(utf8Decode(value)) as readonly NameUse[])
}

/** Keeps every issued instance. */
export const agentsFold: Fold = {
  spec: FOLDS.agents,
  apply(registered: RegisteredEntry, writer: FoldWriter): void {
    if (registered.entry.kind !== ISSUE_KIND) return
    const agent = agentOf(registered, writer)
    const stored: StoredAgent = {
      ...agent,
      spki: toBase64url(agent.spki),
      record: toBase64url(agent.record),
      root: toBase64url(agent.root),
    }
    writer.put(FOLDS.agents, utf8Encode(agent.instance), utf8Encode(JSON.stringify(stored)))
  },
}

/** Makes the fold of used names. */
export function createNamesFold(decideName: NameDecider): Fold {
  return {
    spec: FOLDS.names,
    apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
      if (entry.kind !== ISSUE_KIND) return
      const { nameSegments } = parseInstanceId(statement.header.sub)
      if (findNameUse(writer, nameSegments) !== undefined) return
      const use = decideName(writer, nameSegments)
      if (use === undefined) return
      const { owner, pattern } = use
      writer.put(FOLDS.names, nameKey(nameSegments), utf8Encode(JSON.stringify({ owner, pattern })))
      for (let length = 0; length <= nameSegments.length; length++) {
        const path = nameSegments.slice(0, length)
        const uses = listNameUses(writer, path)
        if (uses.some((one) => one.owner === owner && one.pattern === pattern)) continue
        const value = utf8Encode(JSON.stringify([...uses, { owner, pattern }]))
        writer.put(FOLDS.names, pathKey(path), value)
      }
    },
  }
}

/** Remembers the holder of every key: first come, for ever. */
export const keysFold: Fold = {
  spec: FOLDS.keys,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    const hold = (kid: string, principal: string): void => {
      const key = utf8Encode(kid)
      if (writer.get(FOLDS.keys, key) === undefined) {
        writer.put(FOLDS.keys, key, utf8Encode(principal))
      }
    }
    if (entry.kind === 'genesis') {
      const { keys, ca, operators, owners } = parseGenesis(nativePrimitives, statement)
      const { log, time, service, permit, heartbeat } = keys
      const notes = [log, time].map(({ publicKey }) => ed25519Spki(publicKey))
      const roots = ca.map((der) => parseCertificate(der).spki)
      for (const key of [...notes, service, permit, heartbeat, ...roots]) {
        hold(keyId(nativePrimitives, key), statement.header.iss)
      }
      // Before they are enrolled, so that nobody else comes first.
      const people = [
        ...operators.map((key) => ['operator', key] as const),
        ...owners.map(({ key }) => ['owner', key] as const),
      ]
      for (const [role, key] of people) {
        const kid = keyId(nativePrimitives, key)
        hold(kid, `${role}:${kid}`)
      }
    } else if (ENROLMENTS.has(entry.kind) && entry.outcome.get(0) === 'effective') {
      const { sub } = statement.header
      hold(sub.slice(sub.indexOf(':') + 1), sub)
    } else if (entry.kind === 'key.rotate' && entry.outcome.get(0) === 'effective') {
      const { old, new: next } = parseKeyRotate(nativePrimitives, statement)
      const kidOf = (key: NoteKey): string => keyId(nativePrimitives, ed25519Spki(key.publicKey))
      // Whoever holds the old key: the service that genesis names.
      hold(kidOf(next), findKeyHolder(writer, kidOf(old)) ?? '')
    } else if (entry.kind === ISSUE_KIND) {
      hold(parseDelegation(statement).child.kid, statement.header.sub)
    }
  },
}

function agentOf({ entry, statement, contentDigest }: RegisteredEntry, state: State): Agent {
  const record = parseDelegation(statement)
  const { instance, kid } = record.child
  const parent = record.parent && agentReader.find(state, record.parent.instance.id)
  const ancestors = parent
    ? [...parent.ancestors, { instance: parent.instance, size: parent.recordSize }]
    : []
  return {
    instance: instance.id,
    name: instance.name,
    owner: record.owner,
    kid,
    depth: record.depth,
    maxDepth: record.maxDepth,
    scope: record.scope.texts,
    mayCreate: record.mayCreate.map(({ text }) => text),
    record: contentDigest,
    recordSize: record.size,
    root: parent ? parent.root : contentDigest,
    ceiling: record.ceiling,
    ...certificateFacts(entry.prepared.get(1)),
    issuedAt: entry.index,
    ancestors,
  }
}

function nameKey(segments: readonly string[]): Uint8Array {
  return utf8Encode(`n${segments.join('/')}`)
}

function pathKey(segments: readonly string[]): Uint8Array {
  return utf8Encode(`p${segments.join('/')}`)
}
