/** How large things may be, as docs/guarantees.md says. The converter quarantines larger ones, and the proof expects them there. */

export interface GzipLimits {
  /** Decompressed bytes to compressed bytes. */
  maxRatio: number;
  /** Decompressed bytes. */
  maxBytes: number;
}

/** A gzip that exceeds either limit counts as a bomb and is quarantined as stored. */
export const GZIP_LIMITS: GzipLimits = { maxRatio: 200, maxBytes: 512 << 20 };

/** Longer values are not read: V8's strings cannot be much longer. Under a record path, one value may hold many records. */
export const VALUE_BYTES_MAX = 500_000_000;

/** The default limit of one record. */
export const RECORD_BYTES = 64 << 20;

/** The most values that a column takes from one record. Not every machine has the memory to read and write more. */
export const COLUMN_VALUES_MAX = 1_000_000;

/** How much of a large object is read at a time. It fits into a batch, with the newline that ends it there. */
const RANGE_BYTES = { min: 1_000_000, max: 16_000_000 };
/** A piece that is not lines goes the exact way as one string. Pieces of 16 MB took 100 MB more memory than pieces of 4 MB. */
const PIECE_BYTES = 4_000_000;

/** How a large object is cut, and how much of it is held at most: one record of the longest allowed size. */
export function cutLimitsOf(
  { batchBytes, maxRecordBytes }: { batchBytes: number; maxRecordBytes: number },
  hasRecordPath: boolean,
): { rangeBytes: number; pieceBytes: number; heldBytes: number } {
  const heldBytes = hasRecordPath ? VALUE_BYTES_MAX : Math.max(maxRecordBytes, RECORD_BYTES);
  return {
    rangeBytes: Math.min(Math.max(batchBytes, RANGE_BYTES.min), RANGE_BYTES.max) - 1,
    pieceBytes: PIECE_BYTES,
    heldBytes: Math.min(heldBytes, VALUE_BYTES_MAX),
  };
}
