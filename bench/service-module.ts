/**
 * @module Modules of the service, loaded as compiled: the bench is no part of it, and so imports only its packages.
 */

/** Loads a module of the service by its name under `dist`. */
export async function serviceModule<T>(name: string): Promise<T> {
  return (await import(new URL(`../${name}.js`, import.meta.url).href)) as T
}
