const NEWLINE = 0x0a;

/**
 * Stretches of bytes in order. Starts and ends alternate in one array, because an hour of short lines may
 * have a million.
 */
export class Stretches {
  private readonly bounds: number[] = [];

  get isEmpty(): boolean {
    return this.bounds.length === 0;
  }

  /** A stretch that begins where the last one ended extends it. */
  add(start: number, end: number): void {
    const { bounds } = this;
    if (bounds.length > 0 && bounds[bounds.length - 1] === start) bounds[bounds.length - 1] = end;
    else bounds.push(start, end);
  }

  /** Adds the stretches of a segment that begins at `offset`. */
  addAll(others: Stretches, offset: number): void {
    others.forEach((start, end) => {
      this.add(offset + start, offset + end);
    });
  }

  forEach(task: (start: number, end: number) => void): void {
    const { bounds } = this;
    for (let i = 0; i < bounds.length; i += 2) task(bounds[i] as number, bounds[i + 1] as number);
  }

  get sizeBytes(): number {
    let sizeBytes = 0;
    this.forEach((start, end) => {
      sizeBytes += end - start;
    });
    return sizeBytes;
  }

  /** What lies before, between and after the stretches, if it is more than newlines. */
  othersIn(bytes: Buffer): Stretches {
    const others = new Stretches();
    let from = 0;
    const add = (end: number) => {
      let first = from;
      while (first < end && bytes[first] === NEWLINE) first++;
      if (first < end) others.add(from, end);
    };
    this.forEach((start, end) => {
      add(start);
      from = end;
    });
    add(bytes.length);
    return others;
  }
}
