/** @module What a command reads and writes, so that a test, or another program, can stand in for the terminal. */
import { readFileSync } from 'node:fs'

/** Files in, text out. */
export interface CliIo {
  /** Reads a whole file. Throws whatever the system does. */
  readonly readFile: (path: string) => Uint8Array
  /** Writes to standard output. */
  readonly out: (text: string) => void
  /** Writes to standard error. */
  readonly err: (text: string) => void
}

/** The terminal and the file system. */
export const processIo: CliIo = {
  readFile: (path) => new Uint8Array(readFileSync(path)),
  out: (text) => {
    process.stdout.write(text)
  },
  err: (text) => {
    process.stderr.write(text)
  },
}
