/**
 * @module Where a worker's file is: always compiled JavaScript, also for a module that runs from source.
 */

/**
 * Gives the URL of the worker `name` beside the module `metaUrl`.
 *
 * A module under `<root>/src/….ts` (a test runs it from source) gets the worker of the same folder under
 * `<root>/dist/…`, since Node 20 runs no TypeScript in a worker; a compiled module gets the one beside it.
 *
 * @param metaUrl - `import.meta.url` of the caller.
 * @param name - The worker's file, relative to the caller, as in an import: `./policy-worker.ts`.
 */
export function workerUrl(metaUrl: string, name: string): URL {
  const compiled = name.replace(/\.ts$/, '.js')
  if (!metaUrl.endsWith('.ts')) return new URL(compiled, metaUrl)
  // The last `/src/`: folders above the project may have that name too.
  const at = metaUrl.lastIndexOf('/src/')
  if (at < 0) throw new Error(`${metaUrl} is not under src`)
  return new URL(compiled, `${metaUrl.slice(0, at)}/dist/${metaUrl.slice(at + '/src/'.length)}`)
}
