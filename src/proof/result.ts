/** What a deep verification found. */
import { type Named, noneNamed } from "../named.js";
import type { Difference } from "./differences.js";

export interface DeepResult {
  /**
   * Proved: every raw byte is accounted for, and the part holds nothing else. Late objects do not count
   * against it.
   */
  ok: boolean;
  objects: number;
  /** The SHA-256 of the part's bytes, in hexadecimal digits. */
  partSha256: string;
  /** JSON values found in raw: those that must be rows, and those that must be in quarantine. */
  records: number;
  rows: number;
  quarantined: number;
  /** Listed now, but not in the manifest. */
  late: Named;
  /** Listed objects that are no data by their names. */
  skipped: number;
  /** In the manifest, but no longer there. What they held cannot be proved again. */
  gone: Named & { rows: number };
  /** The same for objects that were overwritten. */
  overwritten: Named & { rows: number };
  /** Deleted by `expire`, after what they held was found in the part. */
  expired: { count: number; rows: number };
  /**
   * Expired objects whose names other objects have now. Nobody has decided about those, and no row of them is
   * in the part.
   */
  replaced: Named;
  /** Derived columns that are NULL in this many rows whose records have a value for them. */
  unfilled: { column: string; rows: number }[];
  differences: Difference[];
  /** There are more differences than those named. */
  hasMore: boolean;
}

/** Everything but the digest, which is known before a row is read. */
export type Findings = Omit<DeepResult, "partSha256">;

export function nothingYet(): Findings {
  return {
    ok: false,
    objects: 0,
    records: 0,
    rows: 0,
    quarantined: 0,
    late: noneNamed(),
    skipped: 0,
    gone: { ...noneNamed(), rows: 0 },
    overwritten: { ...noneNamed(), rows: 0 },
    expired: { count: 0, rows: 0 },
    replaced: noneNamed(),
    unfilled: [],
    differences: [],
    hasMore: false,
  };
}

/** Objects that cannot be read again, and that `expire` did not delete. */
export function goneOf({ gone, overwritten }: Findings): { count: number; rows: number } {
  return { count: gone.count + overwritten.count, rows: gone.rows + overwritten.rows };
}
