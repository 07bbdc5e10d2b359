/**
 * Goal: the store in memory keeps the contract, so that tests on it say something about the one on disk.
 * Method: the shared contract; a restart is a second store on the same map.
 */
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { MemoryDisk } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { describeStore } from './store.contract.ts'

const disks = new WeakMap<Store, MemoryDisk>()

function openOn(disk: MemoryDisk): Promise<Store> {
  const store = new MemoryStore(disk)
  disks.set(store, disk)
  return Promise.resolve(store)
}

describeStore('MemoryStore', {
  create: () => openOn(new Map()),
  reopen: (store) => openOn(disks.get(store) ?? new Map()),
})
