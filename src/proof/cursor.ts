import type { Source } from "./source.js";

/** A place in a source, and the bytes after it that are held. */
export class Cursor {
  /** Offset of the first byte that is held. */
  at = 0;
  heldBytes = 0;
  /** Nothing comes after what is held. */
  isEnd = false;
  private readonly source: Source;
  private readonly next: AsyncIterator<Buffer>;
  private pieces: Buffer[] = [];

  constructor(source: Source) {
    this.source = source;
    this.next = source.pieces(0)[Symbol.asyncIterator]();
  }

  /** Holds at least `sizeBytes`, or all that are left. */
  async fill(sizeBytes: number): Promise<void> {
    while (this.heldBytes < sizeBytes && (await this.pull())) {}
  }

  /** The first of the held bytes, as one buffer. */
  bytes(sizeBytes: number): Buffer {
    const [first] = this.pieces;
    if (this.pieces.length > 1 && (first?.length ?? 0) < sizeBytes)
      this.pieces = [Buffer.concat(this.pieces)];
    return this.pieces[0]?.subarray(0, sizeBytes) ?? Buffer.alloc(0);
  }

  drop(sizeBytes: number): void {
    this.at += sizeBytes;
    this.heldBytes -= sizeBytes;
    let left = sizeBytes;
    while (left > 0) {
      const [first] = this.pieces as [Buffer];
      if (first.length > left) this.pieces[0] = first.subarray(left);
      else this.pieces.shift();
      left -= Math.min(left, first.length);
    }
  }

  /**
   * The bytes from here on, without moving. Holds up to about `maxBytes`; those beyond are read for this
   * alone.
   */
  async *ahead(maxBytes: number): AsyncGenerator<Buffer> {
    for (let i = 0; i < this.pieces.length || (this.heldBytes <= maxBytes && (await this.pull())); i++) {
      yield this.pieces[i] as Buffer;
    }
    if (!this.isEnd) yield* this.source.pieces(this.at + this.heldBytes);
  }

  /** Ends the reading. */
  async close(): Promise<void> {
    await this.next.return?.();
  }

  private async pull(): Promise<boolean> {
    if (this.isEnd) return false;
    const { value, done } = await this.next.next();
    if (done) this.isEnd = true;
    else {
      this.pieces.push(value);
      this.heldBytes += value.length;
    }
    return !done;
  }
}
