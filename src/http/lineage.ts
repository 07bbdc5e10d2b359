/**
 * @module The lineage of an agent (FORMAT §9.3): the receipts of its chain's issuances, root → self, under one head.
 */
import { type JsonValue, receiptObject } from '@trustwarden/proofs'
import type { Agent } from '../ledger/contract.ts'
import type { HttpParts } from './parts.ts'

/** Collects the lineage of an issued agent: complete, or an error, never a shorter one. */
export function lineageOf(parts: HttpParts, agent: Agent): JsonValue {
  const view = parts.log.view()
  const issuances = agent.ancestors.map(({ instance }) => {
    const ancestor = parts.agents.find(view, instance)
    if (ancestor === undefined) throw new Error(`ancestor ${instance} is not in the fold`)
    return ancestor.issuedAt
  })
  const receipts = [...issuances, agent.issuedAt].map((index) =>
    receiptObject(parts.log.reader.receipt(index)),
  )
  return { format: 'trustwarden-lineage/1', receipts }
}
