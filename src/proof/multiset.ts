/** Compares two multisets of texts in bounded memory: sums of 128-bit hashes, in buckets. */
import { hash } from "node:crypto";

/** 128 bits of a SHA-256, as 16 chars of latin1. */
export type Fingerprint = string;

export function fingerprint(text: string): Fingerprint {
  return hash("sha256", text, "binary").slice(0, 16);
}

const BUCKETS = 65_536;
const WORDS = 4;

/**
 * Adds up fingerprints: those of records count up, those of rows count down. A bucket whose two sides are the
 * same multiset ends with four sums of zero and equal counts. A bucket that differs does so with a chance of
 * 1 in 2^128. Takes 1.5 MB, however many texts there are.
 */
export class Balance {
  private readonly sums = new Uint32Array(BUCKETS * WORDS);
  private readonly records = new Uint32Array(BUCKETS);
  private readonly rows = new Uint32Array(BUCKETS);

  add(print: Fingerprint, side: "record" | "row"): void {
    const bucket = bucketOf(print);
    const sign = side === "record" ? 1 : -1;
    for (let word = 0; word < WORDS; word++) {
      const at = bucket * WORDS + word;
      // A Uint32Array wraps around, so this is arithmetic modulo 2^32.
      this.sums[at] = (this.sums[at] ?? 0) + sign * wordOf(print, word);
    }
    const counts = side === "record" ? this.records : this.rows;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }

  /** The buckets that differ, in sets that hold about `limit` texts at most. */
  *differing(limit: number): Generator<Set<number>> {
    let buckets = new Set<number>();
    let texts = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (this.isBalanced(bucket)) continue;
      const more = Math.max(this.records[bucket] ?? 0, this.rows[bucket] ?? 0);
      if (texts + more > limit && buckets.size > 0) {
        yield buckets;
        buckets = new Set();
        texts = 0;
      }
      texts += more;
      buckets.add(bucket);
    }
    if (buckets.size > 0) yield buckets;
  }

  private isBalanced(bucket: number): boolean {
    if (this.records[bucket] !== this.rows[bucket]) return false;
    return this.sums.subarray(bucket * WORDS, (bucket + 1) * WORDS).every((sum) => sum === 0);
  }
}

export function bucketOf(print: Fingerprint): number {
  return print.charCodeAt(0) | (print.charCodeAt(1) << 8);
}

function wordOf(print: Fingerprint, word: number): number {
  const at = word * 4;
  return (
    (print.charCodeAt(at) |
      (print.charCodeAt(at + 1) << 8) |
      (print.charCodeAt(at + 2) << 16) |
      (print.charCodeAt(at + 3) << 24)) >>>
    0
  );
}
