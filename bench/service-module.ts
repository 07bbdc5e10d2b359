/**
 * @module Modules of the service, loaded as compiled: the bench is no part of it, and so imports only its packages.
 */

import { existsSync } from 'node:fs'

const urlOf = (name: string): URL => new URL(`../${name}.js`, import.meta.url)

/** Whether the service has a module. */
export function hasServiceModule(name: string): boolean {
  return existsSync(urlOf(name))
}

/** Loads a module of the service by its name under `dist`. */
export async function serviceModule<T>(name: string): Promise<T> {
  return (await import(urlOf(name).href)) as T
}
