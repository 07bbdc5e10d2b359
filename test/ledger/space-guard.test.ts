/**
 * @module Goal: short of space intake stops while there is still room, once and not to and fro; what is urgent is given
 * the reserve; what cannot be read counts as full. Method: the guard over a disk of numbers; then a log over the guard.
 */
import { describe, expect, it } from 'vitest'
import { ServiceError } from '../../src/errors.ts'
import { SpaceGuard } from '../../src/ledger/space-guard.ts'
import { OPERATOR, say, TestLog } from '../support/test-log.ts'

/** A disk of numbers with a reserve on it. */
class Disk {
  free = 10_000
  held = 0
  readonly wanted = 500
  fails: 'read' | 'fill' | 'release' | undefined
  readonly said: string[] = []
  readonly flushed: number[] = []

  #try(what: 'read' | 'fill' | 'release', change: () => void): Promise<void> {
    if (this.fails === what) return Promise.reject(new Error(`${what} failed`))
    change()
    return Promise.resolve()
  }

  guard(floorBytes = 2000): SpaceGuard {
    const held = (): number => this.held
    return new SpaceGuard({
      floorBytes,
      freeBytes: async () => {
        await this.#try('read', () => undefined)
        return this.free
      },
      reserve: {
        get held() {
          return held()
        },
        wanted: this.wanted,
        measure: () => Promise.resolve(),
        fill: () =>
          this.#try('fill', () => {
            this.free -= this.wanted - this.held
            this.held = this.wanted
          }),
        release: () =>
          this.#try('release', () => {
            this.free += this.held
            this.held = 0
          }),
      },
      onLow: (free) => {
        this.flushed.push(free)
        return Promise.resolve()
      },
      onChange: (message) => this.said.push(message),
    })
  }
}

const isOpen = (guard: SpaceGuard): boolean => {
  try {
    guard.checkIntake()
    return true
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'disk_low') return false
    throw error
  }
}

describe('the guard', () => {
  it('stops intake below the floor and goes on a tenth above it', async () => {
    const disk = new Disk()
    const guard = disk.guard()
    const seen: boolean[] = []
    for (const free of [10_000, 2000, 1999, 2100, 2199, 2200, 2000, 1999]) {
      disk.free = free
      await guard.look()
      seen.push(isOpen(guard))
    }
    expect(seen).toEqual([true, true, false, false, false, true, true, false])
    expect(guard.freeBytes).toBe(1999)
    expect(guard.reason()).toBe('1999 bytes are free on the data disk, 2000 are kept free')
    // Once for each time that it goes low, while there is still room.
    expect(disk.flushed).toEqual([1999, 1999])
    expect(disk.said.map((said) => said.split(':')[0])).toEqual([
      'intake stops',
      'intake goes on',
      'intake stops',
    ])
  })

  it('takes a disk that it cannot read for a full one, and says so once', async () => {
    const disk = new Disk()
    const guard = disk.guard()
    disk.fails = 'read'
    for (let n = 0; n < 3; n++) await guard.look()
    expect(isOpen(guard)).toBe(false)
    await guard.makeRoom()
    disk.fails = undefined
    await guard.look()
    expect(isOpen(guard)).toBe(true)
    expect(disk.said[0]).toBe('intake stops: free space cannot be read: read failed')
  })

  it('makes the reserve only where that leaves the floor, and again once there is space', async () => {
    const disk = new Disk()
    disk.free = 2600
    const guard = disk.guard()
    await guard.start(5)
    try {
      await expect.poll(() => guard.freeBytes).toBe(2600)
      expect(disk.held).toBe(0)
      disk.free = 2700
      await expect.poll(() => disk.held).toBe(500)
      expect(disk.free).toBe(2200)
      expect(isOpen(guard)).toBe(true)
      disk.free = 100
      await expect.poll(() => isOpen(guard)).toBe(false)
      await guard.makeRoom()
      expect([disk.held, disk.free]).toEqual([0, 600])
      disk.free = 9000
      await expect.poll(() => disk.held).toBe(500)
    } finally {
      await guard.stop()
    }
  })

  it('gives the reserve up only when space is low and below it, and only for who asks', async () => {
    const disk = new Disk()
    disk.held = 500
    const guard = disk.guard()
    await guard.look()
    await guard.makeRoom()
    expect(disk.held).toBe(500)
    disk.free = 500
    await guard.look()
    await guard.makeRoom()
    expect(disk.held).toBe(500)
    // Read anew at the moment it is needed.
    disk.free = 499
    await guard.makeRoom()
    expect([disk.held, disk.free]).toEqual([0, 999])
    await guard.makeRoom()
    expect(disk.free).toBe(999)
  })

  it('says what fails and never throws: whether there is room the write decides', async () => {
    const disk = new Disk()
    disk.held = 500
    disk.free = 10
    const guard = disk.guard()
    await guard.look()
    disk.fails = 'release'
    await guard.makeRoom()
    expect(disk.said.at(-1)).toBe('the reserve could not be given up: release failed')
    disk.fails = 'fill'
    disk.held = 0
    disk.free = 10_000
    await guard.start(5)
    await expect.poll(() => disk.said.at(-1)).toBe('the reserve could not be made: fill failed')
    await guard.stop()
    expect(isOpen(guard)).toBe(true)
  })
})

describe('a log that is short of space', () => {
  it('refuses what is normal, takes what is urgent, serves what it has', async () => {
    const disk = new Disk()
    disk.held = 500
    const space = disk.guard()
    const test = await TestLog.create()
    await test.open((one) => {
      one.options = { space }
    })
    const { index } = await test.submit(say(OPERATOR))
    disk.free = 100
    await space.look()
    await expect(test.submit(say(OPERATOR))).rejects.toMatchObject({ code: 'disk_low' })
    expect(disk.held).toBe(500)
    const urgent = await test.submit(say(OPERATOR, { type: 'test.urgent' }))
    expect([urgent.index, disk.held]).toEqual([index + 1, 0])
    expect(test.log.head().size).toBe(urgent.index + 1)
    expect(test.log.reader.receipt(index).entry.length).toBeGreaterThan(0)
    disk.free = 9000
    await space.look()
    expect((await test.submit(say(OPERATOR))).index).toBe(urgent.index + 1)
    await test.log.close()
  })

  it('gives nothing up for what is forged', async () => {
    const disk = new Disk()
    disk.held = 500
    disk.free = 100
    const space = disk.guard()
    await space.look()
    const test = await TestLog.create()
    await test.open((one) => {
      one.options = { space }
    })
    const text = Buffer.from(say(OPERATOR, { type: 'test.urgent' }).statement).toString('latin1')
    const forged = `${text.slice(0, text.lastIndexOf('.'))}.${'A'.repeat(86)}`
    await expect(test.submit({ statement: forged })).rejects.toMatchObject({
      code: 'signature_invalid',
    })
    expect(disk.held).toBe(500)
    await test.log.close()
  })
})
