/** How large things may be, as docs/guarantees.md says: the converter quarantines what is more, and the proof expects it there. */

export interface GzipLimits {
  /** Decompressed bytes to compressed bytes. */
  maxRatio: number;
  /** Decompressed bytes. */
  maxBytes: number;
}

/** A gzip that grows more than this, or beyond this, is taken for a bomb and quarantined as it lies. */
export const GZIP_LIMITS: GzipLimits = { maxRatio: 200, maxBytes: 512 << 20 };

/** A longer value is not looked at: V8's texts end soon after. Under a record path one may hold many records. */
export const VALUE_BYTES_MAX = 500_000_000;

/** What a record may have unless it is said otherwise. */
export const RECORD_BYTES = 64 << 20;

/** Values that a column takes of one record: what it would take to read and write more is not to be had everywhere. */
export const COLUMN_VALUES_MAX = 1_000_000;

/** What is read of a large object at a time. It fits into a batch, with the newline that ends it there. */
const RANGE_BYTES = { min: 1_000_000, max: 16_000_000 };
/** What is no line goes the exact way, by a text of the whole piece: 16 MB at a time took 100 MB more than 4. */
const PIECE_BYTES = 4_000_000;

/** How a large object is cut, and what of it is held at most: a record, as long as one may be. */
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
