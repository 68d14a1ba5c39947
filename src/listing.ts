import { createHash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { HourpackError } from "./errors.js";
import type { ObjectInfo } from "./store/store.js";

/**
 * The objects of an hour in UTF-8 key order. Pages are kept deflated, since a million objects as JavaScript
 * values would take 250 MB: packed they take about 30.
 */
export class Listing implements Iterable<ObjectInfo>, AsyncIterable<ObjectInfo> {
  /** Settles when all objects are in it; rejects with what ended the listing before. */
  whole: Promise<void> = Promise.resolve();
  isGrowing = false;
  /** Ends a listing that nobody needs any more. */
  stop: () => void = () => {};
  count = 0;
  sizeBytes = 0;
  /** Keys that are no data by convention and were left out. */
  skipped = 0;
  private readonly pages: Buffer[] = [];
  private pending: string[] = [];
  private open: { page: number; objects: ObjectInfo[] }[] = [];
  private readonly hash = createHash("sha256");
  private lastKey: string | undefined;
  private digestText: string | undefined;
  /** Wakes those that wait for more objects. */
  private readonly waiting: (() => void)[] = [];

  /** Objects must come in UTF-8 key order; a store that sends them otherwise would defeat the comparison. */
  add(object: ObjectInfo): void {
    if (this.lastKey !== undefined && compareUtf8(this.lastKey, object.key) >= 0) {
      throw new HourpackError(
        "internal",
        `the listing is out of order: "${object.key}" after "${this.lastKey}"`,
        {
          stage: "list",
          hint: "The store does not list in UTF-8 byte order of the keys; such a store cannot be used.",
        },
      );
    }
    this.lastKey = object.key;
    this.pending.push(JSON.stringify([object.key, object.sizeBytes, object.etag]));
    this.count++;
    this.sizeBytes += object.sizeBytes;
    if (this.pending.length === PAGE_OBJECTS) this.pack();
  }

  /** There are more, or there will be no more: whoever reads along goes on. */
  grown(isGrowing: boolean): void {
    this.isGrowing = isGrowing;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Names exactly this set of keys, sizes and ETags (sha256, hex). No object can be added after. */
  digest(): string {
    if (this.digestText === undefined) {
      this.pack();
      this.digestText = this.hash.digest("hex");
    }
    return this.digestText;
  }

  /** The object at this position in key order. Neighbours cost little: pages stay open. */
  at(index: number): ObjectInfo {
    const page = Math.floor(index / PAGE_OBJECTS);
    if (page === this.pages.length) return this.pendingAt(index);
    let open = this.open.find((one) => one.page === page);
    if (!open) {
      const lines = inflateRawSync(this.packed(index)).toString("utf8");
      open = { page, objects: [...decode(lines)] };
      // Objects that are read at the same time end in any order, on both sides of a page's end.
      this.open = [open, ...this.open.slice(0, OPEN_PAGES - 1)];
    }
    const object = open.objects[index - page * PAGE_OBJECTS];
    if (!object) throw new RangeError(`there is no object ${index} of ${this.count}`);
    return object;
  }

  /** All of them; those that are still being listed, as they come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ObjectInfo> {
    for (let index = 0; ; ) {
      while (index < this.count) yield this.at(index++);
      if (!this.isGrowing) break;
      await new Promise<void>((wake) => this.waiting.push(wake));
    }
    await this.whole;
  }

  *[Symbol.iterator](): Generator<ObjectInfo> {
    for (const page of this.pages) {
      yield* decode(inflateRawSync(page).toString("utf8"));
    }
    yield* decode(this.pending.join("\n"));
  }

  private packed(index: number): Buffer {
    const page = this.pages[Math.floor(index / PAGE_OBJECTS)];
    if (!page) throw new RangeError(`there is no object ${index} of ${this.count}`);
    return page;
  }

  private pendingAt(index: number): ObjectInfo {
    const line = this.pending[index - this.pages.length * PAGE_OBJECTS];
    if (line === undefined) throw new RangeError(`there is no object ${index} of ${this.count}`);
    return decodeLine(line);
  }

  private pack(): void {
    if (this.pending.length === 0) return;
    const lines = Buffer.from(`${this.pending.join("\n")}\n`);
    this.hash.update(lines);
    this.pages.push(deflateRawSync(lines, { level: 1 }));
    this.pending = [];
  }
}

export const PAGE_OBJECTS = 1000;
const OPEN_PAGES = 3;

function* decode(lines: string): Generator<ObjectInfo> {
  for (const line of lines.split("\n")) {
    if (line !== "") yield decodeLine(line);
  }
}

function decodeLine(line: string): ObjectInfo {
  const [key, sizeBytes, etag] = JSON.parse(line) as [string, number, string];
  return { key, sizeBytes, etag };
}

/** Compares two strings by their UTF-8 bytes, which is how S3 orders keys (UTF-16 order differs above U+D7FF). */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Puts surrogates (code points from U+10000) above the rest of the basic plane. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
