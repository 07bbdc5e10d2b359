/**
 * @module What an AI agent installs: its identity, its permission to act, and the proof of what it did. README.md
 * shows the whole in a page; the formats are in the proof kit's FORMAT.md.
 */
export type { ActionRecord, ActionVerdict, Recorded } from './action.ts'
export {
  acceptClock,
  activatePolicy,
  type Enrolment,
  enrollOperator,
  enrollOwner,
  enrollReader,
  erase,
  joinProposal,
  revoke,
  type RevokeOptions,
  rotateLogKey,
} from './administration.ts'
export {
  AgentIdentity,
  type ChildOptions,
  type PerformOptions,
  type RootOptions,
} from './agent-identity.ts'
export type { ChainEntry } from './chain.ts'
export {
  type CallOptions,
  type ReadOptions,
  type Registered,
  TrustWarden,
} from './client.ts'
export type { ConnectOptions } from './connection.ts'
export { createCsr } from './csr.ts'
export type { ReadEntry } from './entry.ts'
export {
  type ErrorDetails,
  SDK_ERRORS,
  SERVICE_ERRORS,
  TRUSTWARDEN_ERRORS,
  TrustWardenError,
  type TrustWardenErrorCode,
} from './errors.ts'
export type { EvidenceOptions } from './evidence.ts'
export type { Attachments } from './frame.ts'
export { Heads, type ProveConsistency } from './heads.ts'
export type { ActionRequest, Permission, PreparedRequest } from './permission.ts'
export { PersonKey, type PersonRole } from './person.ts'
export { type ProvenEntry, Reader, type ReadRange } from './reader.ts'
export type { SigningKey } from './signing-key.ts'
export {
  type Envelope,
  type SignedStatement,
  signRead,
  signStatement,
  type StatementDraft,
  type StatementSigner,
} from './statement.ts'
export type { TransportOptions } from './transport.ts'
export { formatRange, formatReceipt } from '@trustwarden/proofs'
