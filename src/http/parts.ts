/**
 * @module What the routes stand on: the ledger and the readers, handed in by `build.ts`, and what a handler of a route
 * is given. `http` sees none of the storage.
 */
import type { SecureContextOptions } from 'node:tls'
import type { JsonObject, JsonValue } from '@trustwarden/proofs'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type {
  AgentReader,
  Principal,
  PrincipalReader,
  RevocationReader,
} from '../ledger/contract.ts'
import type { Log } from '../ledger/log.ts'
import type { Metrics } from './metrics.ts'
import type { Access } from './roles.ts'

/** Where log lines go, one JSON object each. */
export interface LogStream {
  write(line: string): void
}

/** Everything that the routes need. */
export interface HttpParts {
  readonly log: Log
  readonly logName: string
  readonly clock: Clock
  readonly principals: PrincipalReader
  readonly agents: AgentReader
  readonly revocations: RevocationReader
  /** DER of the root certificates. */
  readonly roots: readonly Uint8Array[]
  readonly openReads: boolean
  readonly openMetrics: boolean
  /** Certificate, key and settings of a listener with TLS. */
  readonly tls?: SecureContextOptions
  readonly wellKnown: JsonObject
  /** The service's public keys but the log key, which changes. */
  readonly publicKeys: JsonObject
  /** Proofs of the rotations of the log key, as a file (FORMAT §13.3). */
  readonly rotations: { file(): Uint8Array }
  /** SPIFFE trust bundle document. */
  readonly spiffeBundle: object
  /** Where clients reach this service, once it listens. */
  readonly url: () => string
  readonly metrics: Metrics
  /** Why statements are not taken now, or undefined. */
  readonly unready: () => string | undefined
  /** Why nothing is answered any more (the service ends, or met a fatal error), or undefined. */
  readonly stopped: () => string | undefined
  /** Told of an error that says that disk and memory may disagree: the process is to end. */
  readonly onFatal: (error: Error) => void
  readonly version: string
  readonly logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
  readonly logStream: LogStream
}

/** A request that the roles table lets through, with who asks and how much that one may see. */
export interface Allowed {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly access: Access
  readonly principal?: Principal
}

/** An answer that is JSON already, for a route that makes thousands a second: the text, and what it says. */
export class JsonText {
  readonly text: string
  readonly value: () => JsonValue

  constructor(text: string, value: () => JsonValue) {
    this.text = text
    this.value = value
  }
}

/** Answers one allowed request; what it returns is sent. */
export type Handler = (parts: HttpParts, allowed: Allowed) => unknown
