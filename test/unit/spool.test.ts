/** The memory that batches lend and give back. */
import { describe, expect, it, vi } from "vitest";
import { BatchMemory } from "../../src/spool.js";

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
