import { createHash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { HourpackError } from "./errors.js";
import type { ObjectInfo } from "./store/store.js";

/**
 * The objects of an hour in UTF-8 key order. Pages are kept deflated: a million objects take about 30 MB, and 250 MB as
 * JavaScript values.
 */
export class Listing implements Iterable<ObjectInfo>, AsyncIterable<ObjectInfo> {
  /** Resolves when the listing is complete; rejects with the error that ended it early. */
  whole: Promise<void> = Promise.resolve();
  isGrowing = false;
  /** Stops a listing that nobody needs any more. */
  stop: () => void = () => {};
  count = 0;
  sizeBytes = 0;
  /** How many keys were left out because their names mark them as no data. */
  skipped = 0;
  private readonly pages: Buffer[] = [];
  private pending: string[] = [];
  private open: { page: number; objects: ObjectInfo[] }[] = [];
  private readonly hash = createHash("sha256");
  private lastKey: string | undefined;
  private digestText: string | undefined;
  /** Wakes readers that wait for more objects. */
  private readonly waiting: (() => void)[] = [];

  /** Objects must arrive in UTF-8 key order, because the comparison with the manifest relies on it. */
  add(object: ObjectInfo): void {
    if (this.digestText !== undefined)
      throw new Error(`"${object.key}" came after the listing's digest was taken`);
    if (this.lastKey === object.key) {
      throw new HourpackError("unavailable", `the listing has "${object.key}" twice`, {
        stage: "list",
        hint: "Does a proxy or cache before the store repeat answers? Run again when it does not.",
      });
    }
    if (this.lastKey !== undefined && compareUtf8(this.lastKey, object.key) > 0) {
      throw new HourpackError(
        "invalid",
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

  /** More objects arrived, or the listing has ended: wakes readers. */
  grown(isGrowing: boolean): void {
    this.isGrowing = isGrowing;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Identifies exactly this set of keys, sizes and ETags (sha256, hex). No object can be added afterwards. */
  digest(): string {
    if (this.digestText === undefined) {
      this.pack();
      this.digestText = this.hash.digest("hex");
    }
    return this.digestText;
  }

  /** The object at this position in key order. Neighbours are cheap, because pages stay inflated. */
  at(index: number): ObjectInfo {
    const page = Math.floor(index / PAGE_OBJECTS);
    if (page === this.pages.length) return this.pendingAt(index);
    let open = this.open.find((one) => one.page === page);
    if (!open) {
      const lines = inflateRawSync(this.packed(index)).toString("utf8");
      open = { page, objects: [...decode(lines)] };
      // Concurrent readers finish in any order, on both sides of a page boundary.
      this.open = [open, ...this.open.slice(0, OPEN_PAGES - 1)];
    }
    const object = open.objects[index - page * PAGE_OBJECTS];
    if (!object) throw new RangeError(`there is no object ${index} of ${this.count}`);
    return object;
  }

  /** All objects; while the listing goes on, as they arrive. */
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

/** Compares two strings by their UTF-8 bytes, as S3 orders keys. UTF-16 order differs above U+D7FF. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Orders surrogates (code points from U+10000 on) above the rest of the basic plane. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
