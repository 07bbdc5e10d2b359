/** @module The one error class of the prover. */

/** Every code that the prover can throw, with what it means. */
export const MERKLE_ERRORS = {
  index_out_of_range: 'the leaf index is not below the size of the tree',
  size_out_of_range: 'the size is not an integer from 0 to the limit that the message names',
  tile_malformed: 'the reader gave fewer hashes than the tile has at this size',
} as const

/** A stable name for what is wrong with what the prover was asked or given. */
export type MerkleErrorCode = keyof typeof MERKLE_ERRORS

/** What every function under src/merkle throws on a size, an index or a tile that cannot be. */
export class MerkleError extends Error {
  override readonly name = 'MerkleError'
  readonly code: MerkleErrorCode

  constructor(code: MerkleErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
