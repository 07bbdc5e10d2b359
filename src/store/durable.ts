/**
 * @module Durable changes of directories. A file that was made, renamed or removed is so after a crash only once its
 * directory was synced.
 */
import { open } from 'node:fs/promises'

/** Syncs a directory: open(O_RDONLY), fsync, close. */
export async function syncDirectory(path: string): Promise<void> {
  await syncFile(path)
}

/** Syncs a file or directory that was written by path. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
