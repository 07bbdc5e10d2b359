/** @module One vector, and how it is written. */
import type { ProofErrorCode } from '../errors.ts'
import type { JsonObject } from '../json.ts'

/** One vector: one thing that holds, or one thing that is wrong. */
export interface VectorCase {
  readonly folder: string
  /** The file, without `.json`: named by what was changed. */
  readonly name: string
  readonly description: string
  readonly specification: string
  readonly input: JsonObject
  readonly expect: 'ok' | ProofErrorCode
}

/** The text of a vector's file. */
export function formatCase({ description, specification, input, expect }: VectorCase): string {
  return `${JSON.stringify({ description, specification, input, expect }, undefined, 1)}\n`
}
