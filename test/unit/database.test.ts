import { expect, it } from "vitest";
import { openDatabase } from "../../src/engine/duckdb/database.js";

it("a statement of days ends soon after the signal, and the next one is none the worse", async () => {
  const database = await openDatabase(":memory:");
  const stop = new AbortController();
  const days = "select sum(a.range * b.range) from range(1e9::bigint) a, range(1e9::bigint) b";
  const rows = database.rows(days, { signal: stop.signal });
  setTimeout(() => stop.abort(), 100);
  await expect(rows).rejects.toThrow(/interrupt/i);
  expect(await database.rows("select 1 as one", { signal: new AbortController().signal })).toEqual([
    { one: 1 },
  ]);
  await database.close();
});
