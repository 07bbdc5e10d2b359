/**
 * @module Whether answers are what they have to be: as the SDK reads them, each with a receipt that opens under the trust
 * anchor and holds the very statement that was sent.
 */
import {
  equalBytes,
  expandReceipts,
  jsonObject,
  type JsonObject,
  type JsonValue,
  parseReceipt,
  type Receipt,
  utf8Encode,
} from '@trustwarden/proofs'
import type { TrustWarden } from 'trustwarden'
import type { Answer } from './connection.ts'
import type { Signed } from './sign.ts'

/** Reads an answer of status 200. @throws for any other */
export function readAnswer(answer: Answer | undefined): JsonObject {
  const body = answer?.body.toString() ?? ''
  if (answer?.status !== 200) throw new Error(`status ${answer?.status}: ${body.slice(0, 400)}`)
  return JSON.parse(body) as JsonObject
}

/** Opens a receipt with its inclusion proof, under its signed head, and holds it against the statement. */
function openReceiptOf(
  client: TrustWarden,
  receipt: Receipt | undefined,
  signed: Signed | undefined,
): void {
  if (receipt === undefined) throw new Error('no receipt')
  const { entry } = client.open(receipt)
  if (signed === undefined || !equalBytes(entry.statement, utf8Encode(signed.text)))
    throw new Error('a receipt is for another statement')
}

/** Checks the results of one request: all `outcome`, none repeated, each with its receipt. @returns how many */
export function checkResults(
  client: TrustWarden,
  answer: JsonObject,
  statements: readonly Signed[],
  outcome: string,
): number {
  const results = answer['results']
  if (!Array.isArray(results)) throw new Error('an answer without results')
  const receipts = expandReceipts(
    answer['receipts'],
    statements.map(({ text }) => utf8Encode(text)),
  )
  for (const [at, result] of (results as readonly JsonObject[]).entries()) {
    if (result['outcome'] !== outcome || result['repeated'] !== false)
      throw new Error(`not ${outcome}: ${JSON.stringify(result).slice(0, 400)}`)
    openReceiptOf(client, receipts[at], statements[at])
  }
  return results.length
}

/** The decision's id, or undefined where the gate did not come to it in time: the machine was busy with others. */
export function allowedId(answer: JsonObject): string | undefined {
  const { decision, context } = answer as { decision?: JsonValue; context?: JsonValue }
  const { decision_id: id, reasons } = jsonObject(context, 'context')
  if (decision === true && typeof id === 'string') return id
  const isLate = (one: JsonValue): boolean => one === 'gate_timeout' || one === 'gate_overload'
  if (Array.isArray(reasons) && reasons.some(isLate)) return undefined
  throw new Error(`not allowed: ${JSON.stringify(answer).slice(0, 400)}`)
}

/** Checks an evaluation: an allow, with its receipt. */
export function checkDecision(client: TrustWarden, answer: JsonObject, signed: Signed): number {
  if (allowedId(answer) === undefined) throw new Error('the gate timed out')
  const { receipt } = jsonObject(answer['context'], 'context')
  openReceiptOf(client, parseReceipt(jsonObject(receipt, 'receipt')), signed)
  return 1
}
