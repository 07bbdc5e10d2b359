/**
 * @module The handlers of `genesis`, the first entry of a log, and of `operator.clock`, by which an operator accepts a
 * wall clock that jumped (DESIGN §3).
 */
import { parseGenesis, parseOperatorClock, ProofError } from '@trustwarden/proofs'
import type { Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Registration, StatementHandler } from './contract.ts'
import { findPerson } from './principals.ts'
import { checkWindow } from './window.ts'

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

/** `genesis`: signed by the service key that it names, at index 0 and nowhere else. */
export const genesisHandler: StatementHandler = {
  type: 'genesis',
  lane: 'normal',
  disclosable: [],
  prepare: ({ statement }, view) => settle(checkGenesis(statement), view.size),
  register: (state, { statement, prepared }) => {
    if (state.size !== 0) return refuse('signer_forbidden', 'the log has its genesis already')
    const refusal = checkGenesis(statement) ?? checkWindow(state, statement)
    if (refusal !== undefined) return refusal
    return {
      type: 'entry',
      kind: 'genesis',
      prepared: new Map([[0, prepared.get(0) ?? state.size]]),
      outcome: new Map([[0, 'created']]),
      subjects: ['log'],
    }
  },
}

/** `operator.clock`: any one operator accepts the clock. Taken where the clock has stopped everything else. */
export const clockHandler: StatementHandler = {
  type: 'operator.clock',
  lane: 'urgent',
  disclosable: [],
  prepare: ({ statement }, view) => settle(checkClock(statement), view.size),
  register: (state, { statement, prepared }) => {
    const refusal = checkClock(statement)
    if (refusal !== undefined) return refusal
    if (findPerson(state, statement.header.iss)?.role !== 'operator') {
      return refuse('signer_forbidden', 'no such operator is enrolled')
    }
    return {
      type: 'entry',
      kind: 'operator.clock',
      prepared: new Map([[0, prepared.get(0) ?? state.size]]),
      outcome: new Map([[0, 'accepted']]),
      subjects: ['log'],
    }
  },
}

function checkGenesis(statement: Statement): Refusal | undefined {
  return checkRead(() => parseGenesis(nativePrimitives, statement))
}

function checkClock(statement: Statement): Refusal | undefined {
  if (statement.issuer.role !== 'operator') {
    return refuse('signer_forbidden', 'only an operator accepts the clock')
  }
  return checkRead(() => parseOperatorClock(statement))
}

function checkRead(read: () => unknown): Refusal | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function settle(refusal: Refusal | undefined, size: number): Promise<Map<number, number>> {
  if (refusal === undefined) return Promise.resolve(new Map([[0, size]]))
  return Promise.reject(new ServiceError(refusal.code, refusal.message))
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
