import { expect, it } from "vitest";
import { openDatabase } from "../../src/engine/duckdb/database.js";

it("numbers are read as they are, whatever their size and sign", async () => {
  const database = await openDatabase(":memory:");
  const sql =
    "select -1::bigint, 9223372036854775807, (-1)::hugeint, 170141183460469231731687303715884105727::hugeint, -18446744073709551617::hugeint";
  expect(await database.numbers(sql)).toEqual([-1n, 2n ** 63n - 1n, -1n, 2n ** 127n - 1n, -(2n ** 64n) - 1n]);
  expect(await database.numbers("select 1::bigint where false")).toEqual([]);
  await expect(database.numbers("select nothing")).rejects.toThrow(/nothing/);
  await database.close();
});

it.each([0, 1, 5])(
  "a statement of days ends where the signal came %i turns before it began",
  async (turns) => {
    const database = await openDatabase(":memory:");
    const stop = new AbortController();
    const abort = (left: number) => (left === 0 ? stop.abort() : setImmediate(() => abort(left - 1)));
    const days = "select sum(a.range * b.range) from range(1e9::bigint) a, range(1e9::bigint) b";
    const rows = database.rows(days, { signal: stop.signal });
    abort(turns);
    await expect(rows).rejects.toThrow(/interrupt|abort/i);
    await expect(database.rows("select 1", { signal: stop.signal })).rejects.toThrow(/abort/i);
    await database.close();
  },
);

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
