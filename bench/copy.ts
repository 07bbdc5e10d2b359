/**
 * @module Copies of a stopped log, made in an instant: LevelDB's tables are never changed once they are written, so a copy
 * has them by links; everything else is copied.
 */
import { copyFileSync, cpSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type BenchLog, benchLogIn } from './service.ts'

const TABLE = /\.ldb$/

function copyFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const file of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, file.name), join(to, file.name)]
    if (file.isDirectory()) copyFolder(source, target)
    else if (TABLE.test(file.name)) linkSync(source, target)
    else copyFileSync(source, target)
  }
}

/** Copies a log into a folder of the same file system, in place of what is there. */
export function copyLog(log: Pick<BenchLog, 'data'>, folder: string): BenchLog {
  rmSync(folder, { recursive: true, force: true })
  copyFolder(dirname(log.data), folder)
  return benchLogIn(folder)
}

/** Copies a log wholly: for one that is written on, and kept. */
export function copyWhole(log: Pick<BenchLog, 'data'>, folder: string): BenchLog {
  cpSync(dirname(log.data), folder, { recursive: true })
  return benchLogIn(folder)
}
