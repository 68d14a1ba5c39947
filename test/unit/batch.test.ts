/** Batches in memory and on the disk, and the memory that they borrow and give back. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Stretches } from "../../src/record/stretches.js";
import { BatchFiles, BatchMemory, BatchWriter } from "../../src/spool/batch.js";

const CAPACITY = 1 << 10;

describe("the memory of batches", () => {
  it("is the same from hour to hour, and none a while after the last one", async () => {
    vi.useFakeTimers();
    const memory = new BatchMemory(CAPACITY, 1);
    const takenByAnHour = async () => {
      const leave = memory.enter();
      const { bytes, giveBack } = await memory.take(1);
      giveBack();
      leave(true);
      return bytes;
    };
    const first = await takenByAnHour();
    vi.advanceTimersByTime(5_000);
    expect(await takenByAnHour()).toBe(first);
    vi.advanceTimersByTime(10_000);
    expect(await takenByAnHour()).not.toBe(first);
    vi.useRealTimers();
  });

  it("goes at once where an hour says so, and no other is at work", async () => {
    const memory = new BatchMemory(CAPACITY, 1);
    const [leave, leaveOther] = [memory.enter(), memory.enter()];
    const { bytes: first, giveBack } = await memory.take(1);
    giveBack();
    leave(false);
    const second = await memory.take(1);
    expect(second.bytes).toBe(first);
    second.giveBack();
    leaveOther(false);
    expect((await memory.take(1)).bytes).not.toBe(first);
  });

  it("ends an hour's share once, however often that is said", async () => {
    const memory = new BatchMemory(CAPACITY, 1);
    const leave = memory.enter();
    leave(true);
    leave(true);
    const first = await memory.take(1);
    let isSecondThere = false;
    const second = memory.take(1).then((lent) => {
      isSecondThere = true;
      return lent;
    });
    await Promise.resolve();
    expect(isSecondThere).toBe(false);
    first.giveBack();
    expect((await second).bytes).toBe(first.bytes);
  });

  it("is lent as often as there is some, and waited for then", async () => {
    const memory = new BatchMemory(CAPACITY, 1);
    const leave = memory.enter();
    const [one, two] = [await memory.take(1), await memory.take(1)];
    let isThere = false;
    const three = memory.take(1).then((lent) => {
      isThere = true;
      return lent;
    });
    await new Promise(setImmediate);
    expect(isThere).toBe(false);
    one?.giveBack();
    expect((await three).bytes).toBe(one?.bytes);
    two?.giveBack();
    leave(true);
  });

  it("keeps nothing of what was larger than a batch", async () => {
    const memory = new BatchMemory(CAPACITY, 2);
    const large = await memory.take(CAPACITY + 1);
    expect(large.bytes.length).toBe(CAPACITY + 1);
    large.giveBack();
    expect((await memory.take(1)).bytes.length).toBe(CAPACITY);
  });
});

describe("a batch", () => {
  let dir: string;
  let files: BatchFiles;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "hourpack-batch-"));
    files = new BatchFiles(dir);
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const LINES = "one\nbroken\ntwo\nthree\nodd";
  const WHOLE = `${LINES}\n`;

  const memory = new BatchMemory(CAPACITY, 1);
  async function batchOf(text: string) {
    const writer = await BatchWriter.open(text.length, memory);
    writer.add(0, Buffer.from(text), {});
    return writer.finish(files);
  }

  /** Something else lies in the memory as soon as a batch has none. */
  async function overwrite() {
    const { bytes, giveBack } = await memory.take(1);
    bytes.fill("x");
    giveBack();
  }

  it("is in its file, and can be read again when the memory has gone", async () => {
    const batch = await batchOf(LINES);
    expect((await batch.bytes()).toString()).toBe(WHOLE);
    await batch.store();
    await overwrite();
    expect(readFileSync(batch.path, "utf8")).toBe(WHOLE);
    expect((await batch.bytes()).toString()).toBe(WHOLE);
    batch.release();
  });

  it("leaves its file to the next one, which has no more in it than is its own", async () => {
    const first = await batchOf(LINES);
    await first.store();
    const other = await batchOf("beside\n");
    await other.store();
    await first.remove();
    const next = await batchOf("short\n");
    await next.store();
    expect([next.path, other.path].sort()).toEqual([first.path, other.path].sort());
    expect(new Set([first, other, next].map(({ base }) => base)).size).toBe(3);
    expect(readFileSync(next.path, "utf8")).toBe("short\n");
    expect(readFileSync(other.path, "utf8")).toBe("beside\n");
    expect((await next.bytes()).toString()).toBe("short\n");
    next.release();
  });

  it("has newlines in its file for what is set apart, and is whole when it is read again", async () => {
    const batch = await batchOf(LINES);
    const { path } = batch;
    const none = new Stretches();
    const [both, odd] = [["broken\n", "odd\n"], ["odd\n"]].map((lines) => {
      const apart = new Stretches();
      for (const line of lines) apart.add(WHOLE.indexOf(line), WHOLE.indexOf(line) + line.length);
      return apart;
    });
    const inFile = (pattern: RegExp) => WHOLE.replaceAll(pattern, ({ length }) => "\n".repeat(length));
    for (const [apart, text] of [
      [none, WHOLE],
      [both, inFile(/broken|odd/g)],
      [odd, inFile(/odd/g)],
      [none, WHOLE],
    ] as const) {
      await batch.store(apart);
      await overwrite();
      expect(readFileSync(path, "utf8")).toBe(text);
      expect((await batch.bytes()).toString()).toBe(WHOLE);
    }
    batch.release();
    await batch.store(both);
    await batch.store(none);
    await batch.remove();
    expect(readdirSync(dir)).toEqual(["batch-0.raw"]);
  });

  it("can be read again while others have all the memory", async () => {
    const batch = await batchOf(LINES);
    await batch.store();
    const { giveBack } = await memory.take(1);
    await batch.readBesides();
    expect((await batch.bytes()).toString()).toBe(WHOLE);
    batch.release();
    giveBack();
  });

  it("that was never stored is gone with its memory", async () => {
    const batch = await batchOf(LINES);
    batch.release();
    await expect(batch.bytes()).rejects.toThrow(/read the spool file .*batch-0\.raw/);
  });
});

describe("stretches", () => {
  const read = (stretches: Stretches) => {
    const read: number[][] = [];
    stretches.forEach((start, end) => {
      read.push([start, end]);
    });
    return read;
  };

  it("that go on are one, and what lies between is another unless it is newlines", () => {
    const bytes = Buffer.from("x\n\n\naa\nbb\nodd\ncc\n\n");
    const lines = new Stretches();
    for (const line of ["aa\n", "bb\n", "cc\n"]) {
      const start = bytes.indexOf(line);
      lines.add(start, start + line.length);
    }
    expect(read(lines)).toEqual([
      [4, 10],
      [14, 17],
    ]);
    expect(read(lines.othersIn(bytes))).toEqual([
      [0, 4],
      [10, 14],
    ]);
    expect(lines.othersIn(bytes).sizeBytes).toBe(8);
    expect(read(new Stretches().othersIn(bytes))).toEqual([[0, bytes.length]]);
    expect(read(new Stretches().othersIn(Buffer.from("\n\n")))).toEqual([]);
  });
});
