/**
 * @module LevelDB as the service opens its own, and nothing around it: what a synced write costs by itself.
 */
import { Level } from 'level'

/** One that is open. */
export type BareLevel = Level<Uint8Array, Uint8Array>

/** As the service's own database has it. */
const WRITE_BUFFER_BYTES = 32 * 1024 * 1024

/** Opens one in a folder, and makes it if it is not there. */
export async function openBareLevel(folder: string): Promise<BareLevel> {
  const database: BareLevel = new Level(folder, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    compression: false,
    writeBufferSize: WRITE_BUFFER_BYTES,
  })
  await database.open()
  return database
}

/** The key of a number: eight bytes, in the order of the numbers. */
export function keyOf(number: number): Uint8Array {
  const key = Buffer.alloc(8)
  key.writeUInt32BE(number, 4)
  return key
}
