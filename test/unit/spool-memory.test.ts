import { describe, expect, it } from "vitest";
import { BatchMemory } from "../../src/spool.js";

describe("the memory of batches", () => {
  it("ends an hour's share once, however often that is said", async () => {
    const memory = new BatchMemory(16, 1);
    const leave = memory.enter();
    leave();
    leave();
    const first = await memory.take(16);
    let isSecondThere = false;
    const second = memory.take(16).then((lent) => {
      isSecondThere = true;
      return lent;
    });
    await Promise.resolve();
    expect(isSecondThere).toBe(false);
    first.giveBack();
    expect((await second).bytes).toBe(first.bytes);
  });
});
