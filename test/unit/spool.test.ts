/** Fetching the objects of hours from a simulated store: what ends it, and what goes on until then. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Limiter } from "../../src/limiter.js";
import { BatchMemory } from "../../src/spool/batch.js";
import { Spool } from "../../src/spool/spool.js";
import { spoolObjects } from "../../src/stages/spool.js";
import { Pace } from "../../src/store/pace.js";
import type { ObjectInfo, Store } from "../../src/store/store.js";

const BODY = Buffer.from('{"a":1}\n');
const REFUSED = new Error("access denied (403)");

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-fetching-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** With a pace of its own; `answer` is awaited by each GET. */
function storeOf(getsMax: number, answer: (key: string) => Promise<Buffer>): Store {
  const pace = new Pace({ start: getsMax, max: getsMax, isRefusal: () => false, location: "s3://b/" });
  const store: Partial<Store> = {
    ready: () => pace.ready(),
    get: (key) => pace.run(() => answer(key)),
  };
  return store as Store;
}

function objectsOf(hour: string, count: number): ObjectInfo[] {
  return Array.from({ length: count }, (_, i) => ({
    key: `${hour}/${i}.json`,
    sizeBytes: BODY.length,
    etag: `${i}`,
  }));
}

/** All of an hour's objects to its spool, whose batches are read and given back at once. */
async function fetchHour(
  store: Store,
  hour: string,
  objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>,
  shared = { getBytes: new Limiter(1 << 20), plainBytes: new Limiter(1 << 20) },
): Promise<number> {
  const spool = await Spool.open(dir, hour);
  const memory = new BatchMemory(1 << 10, 2);
  const leave = memory.enter();
  let count = 0;
  const cut = { rangeBytes: 1 << 16, pieceBytes: 1 << 16, heldBytes: 1 << 20 };
  try {
    for await (const batch of spoolObjects(store, objects, spool, { ...shared, memory, cut })) {
      count += batch.segments.count;
      batch.release();
    }
    return count;
  } finally {
    leave(true);
    await spool.close();
  }
}

describe("several hours that are fetched at a time", () => {
  it("go on where one of them gives up, with one GET at a time", async () => {
    const store = storeOf(1, async (key) => {
      await new Promise(setImmediate);
      if (key === "0/0.json") throw REFUSED;
      return BODY;
    });
    const shared = { getBytes: new Limiter(1 << 20), plainBytes: new Limiter(1 << 20) };
    const hours = ["0", "1", "2", "3", "4"].map((hour) =>
      fetchHour(store, hour, objectsOf(hour, 20), shared).catch((error) => error),
    );
    expect(await Promise.all(hours)).toEqual([REFUSED, 20, 20, 20, 20]);
  });
});

describe("an hour's fetching", () => {
  it("ends with its GETs where the listing fails: none writes to a spool that is gone", async () => {
    const ended: string[] = [];
    const store = storeOf(8, async (key) => {
      await setTimeout(100);
      ended.push(key);
      return BODY;
    });
    const unavailable = new Error("list page 3: no answer");
    async function* listed() {
      yield* objectsOf("0", 2);
      throw unavailable;
    }
    await fetchHour(store, "0", listed()).catch((error) => ended.push(error.message));
    expect(ended).toEqual(["0/0.json", "0/1.json", unavailable.message]);
  });
});
