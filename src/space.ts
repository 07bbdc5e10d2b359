/**
 * @module The space of a log's disk put together: its guard, the reserve in the data directory, and what LevelDB is
 * told to do when space is low.
 */
import type { Config } from './config.ts'
import { databasePath } from './directory.ts'
import { SpaceGuard } from './ledger/space-guard.ts'
import { DiskReserve, freeBytes, journalBytes } from './store/disk-space.ts'
import type { LevelStore } from './store/level-store.ts'
import type { KeyRange } from './store/store.ts'

/** A range that holds no key: to compact it writes LevelDB's memory to a table and touches no other. */
export const NO_KEYS: KeyRange = { gte: Uint8Array.of(0xff, 0xff), lt: Uint8Array.of(0xff, 0xff) }

/** The space of a log's disk. */
export interface DiskSpace {
  readonly guard: SpaceGuard
  /** From here on the guard looks by itself, and may write the store's memory out. */
  readonly watch: (store: LevelStore) => Promise<void>
  readonly close: () => Promise<void>
}

/**
 * Looks at the disk before anything is opened, and gives the reserve up if the disk is too full to open a database:
 * the journals are copied, and replayed into tables.
 */
export async function openDiskSpace(
  { data, freeSpaceFloor, diskReserve }: Config,
  onChange: (message: string) => void,
): Promise<DiskSpace> {
  const reserve = await DiskReserve.open(data, freeSpaceFloor === 0 ? 0 : diskReserve)
  let watched: LevelStore | undefined
  const onLow = async (free: number): Promise<void> => {
    if (watched === undefined) return
    // A table as long as the journals, and the journals stay until it is on disk.
    if (free > 2 * (await journalBytes(databasePath(data)))) await watched.compact(NO_KEYS)
  }
  const guard = new SpaceGuard({
    floorBytes: freeSpaceFloor,
    freeBytes: () => freeBytes(data),
    reserve,
    onLow,
    onChange,
  })
  await guard.look()
  await guard.makeRoom()
  return {
    guard,
    watch: (store) => {
      watched = store
      return guard.start()
    },
    close: async () => {
      await guard.stop()
      await reserve.close()
    },
  }
}
