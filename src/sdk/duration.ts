/**
 * @module Durations as people write them: `45s`, `15m`, `1h`, or a number of seconds.
 */
import { TrustWardenError } from './errors.ts'

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/**
 * Reads a duration in whole seconds.
 *
 * @throws TrustWardenError `argument_invalid`
 */
export function parseDuration(duration: string | number, field: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,8})([smhd])$/.exec(String(duration)) ?? []
  const seconds = typeof duration === 'number' ? duration : Number(count) * (SECONDS[unit] ?? 0)
  if (!Number.isSafeInteger(seconds) || seconds <= 0)
    throw new TrustWardenError(
      'argument_invalid',
      `${field}: must be seconds, or a text such as 45s, 15m, 1h`,
    )
  return seconds
}
