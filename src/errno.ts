/**
 * @module The code that an error carries.
 */

/** The `code` of an error, by which Node.js names what the system said (`ENOENT`); undefined for whatever has none. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
