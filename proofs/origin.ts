/**
 * @module The origin of a log: its name on every head, and the audience of every statement that is meant for it.
 */
import { check } from './errors.ts'

/** Characters in an origin. */
export const ORIGIN_LENGTH_MAX = 128

const ORIGIN = /^[a-z0-9.-]+\/logs\/[a-z0-9-]+$/

/**
 * Returns `text` if it is an origin, `<host>/logs/<name>`.
 *
 * @throws {ProofError} `claim_invalid` for any other text.
 * @see FORMAT §11.1
 */
export function parseOrigin(text: string): string {
  const permitted = text.length <= ORIGIN_LENGTH_MAX && ORIGIN.test(text)
  check(permitted, 'claim_invalid', `origin: not <host>/logs/<name>, at most ${ORIGIN_LENGTH_MAX}`)
  return text
}
