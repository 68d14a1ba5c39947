/** What lies where in a batch, in columns of numbers: an hour of tiny objects has a million segments. */
import type { Within } from "../record/frame.js";

/** One object's decompressed bytes (or a piece of them) in a batch. */
export interface Segment extends Within {
  /** The object's position among those fetched. */
  index: number;
  /** Offset of the segment's first byte in the object's decompressed bytes. */
  sourceOffset: number;
  /** Offset in the batch file. */
  offset: number;
  sizeBytes: number;
  /** Set if these bytes are no record: why. If a gzip is damaged, they are the stored bytes. */
  damage?: string;
}

/** What only few segments have. */
export type SegmentDetails = Partial<Pick<Segment, "sourceOffset" | "areLines" | "inArray" | "damage">>;

/** What became of a segment. */
interface SegmentCounts {
  index: number;
  rows: number;
  quarantined: number;
}

export class Segments implements Iterable<Segment> {
  count = 0;
  private index = new Uint32Array(FIRST);
  private offset = new Float64Array(FIRST);
  private sizeBytes = new Float64Array(FIRST);
  private rows = new Uint32Array(FIRST);
  private quarantined = new Uint32Array(FIRST);
  private readonly details = new Map<number, SegmentDetails>();

  add(index: number, offset: number, sizeBytes: number, details: SegmentDetails): void {
    if (this.count === this.index.length) this.resize(this.count * 2);
    this.index[this.count] = index;
    this.offset[this.count] = offset;
    this.sizeBytes[this.count] = sizeBytes;
    const { sourceOffset = 0, areLines, inArray, damage } = details;
    if (sourceOffset > 0 || areLines || inArray || damage !== undefined)
      this.details.set(this.count, details);
    this.count++;
  }

  /** For the segment at this place in the order of iteration. Counting it again replaces the figures. */
  setCounts(position: number, rows: number, quarantined: number): void {
    this.rows[position] = rows;
    this.quarantined[position] = quarantined;
  }

  *[Symbol.iterator](): Generator<Segment, void> {
    for (let i = 0; i < this.count; i++) {
      yield {
        index: this.index[i] as number,
        sourceOffset: 0,
        offset: this.offset[i] as number,
        sizeBytes: this.sizeBytes[i] as number,
        ...this.details.get(i),
      };
    }
  }

  *counts(): Generator<SegmentCounts, void> {
    for (let i = 0; i < this.count; i++) {
      yield {
        index: this.index[i] as number,
        rows: this.rows[i] as number,
        quarantined: this.quarantined[i] as number,
      };
    }
  }

  /** No more segments come: frees the room that was kept for them. */
  close(): this {
    this.resize(this.count);
    return this;
  }

  private resize(length: number): void {
    const into = <T extends Uint32Array | Float64Array>(larger: T, values: T): T => {
      larger.set(values.subarray(0, this.count));
      return larger;
    };
    this.index = into(new Uint32Array(length), this.index);
    this.offset = into(new Float64Array(length), this.offset);
    this.sizeBytes = into(new Float64Array(length), this.sizeBytes);
    this.rows = into(new Uint32Array(length), this.rows);
    this.quarantined = into(new Uint32Array(length), this.quarantined);
  }
}

const FIRST = 256;
