/** Each folder of fixtures/cases is a test: its objects, once packed, must give its rows to three readers, and its quarantine. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CaseHour,
  caseNames,
  clearActual,
  differences,
  readCase,
  textOfPiece,
  textOfRow,
  writeActual,
  wrongReasons,
} from "../support/golden.js";
import { type PackedHour, packCase } from "../support/pack.js";
import { openPyarrowReader, type PyarrowReader } from "../support/pyarrow.js";
import {
  type DuckdbReader,
  hiveTypeOf,
  openDuckdbReader,
  type Row,
  readWithHyparquet,
  withoutDecimals,
} from "../support/readers.js";

// Zone-less timestamps are UTC wherever the machine stands, so the ring stands where a lapse shows: half an hour off, in
// summer time. Set before anything opens DuckDB, which reads it then.
process.env["TZ"] = "America/St_Johns";

let duckdb: DuckdbReader;
let pyarrow: PyarrowReader;
let workRoot: string;

beforeAll(async () => {
  workRoot = await mkdtemp(join(tmpdir(), "hourpack-golden-"));
  duckdb = await openDuckdbReader();
  pyarrow = await openPyarrowReader();
});

afterAll(async () => {
  duckdb?.close();
  await pyarrow?.close();
  await rm(workRoot, { recursive: true, force: true });
});

const names = caseNames();

test("there are at least 60 cases", () => {
  expect(names.length).toBeGreaterThanOrEqual(60);
});

describe("fixtures/cases", () => {
  test.each(names)("%s", async (name) => {
    const golden = readCase(name);
    clearActual(golden);
    const packed = await packCase(golden, join(workRoot, name));
    const found: Record<string, string[]> = {};
    for (const [i, hour] of golden.hours.entries()) {
      const hourPacked = packed[i] as PackedHour;
      Object.assign(found, await compareHour(hour, hourPacked));
    }
    expect(found, golden.rule).toEqual({});
  });
});

/** Differences by what was looked at; none where all is as expected. Leaves wrong output in `actual/`. */
async function compareHour(hour: CaseHour, packed: PackedHour): Promise<Record<string, string[]>> {
  const { result, partPath, quarantine } = packed;
  const { rows, columns } = await duckdb.read(partPath);
  const schema = columns
    .filter(({ name }) => name !== "_rescued_data")
    .map(({ name, type }) => `${name} ${hiveTypeOf(type)}`);
  const counted = { rows: result.part?.rows, quarantined: result.quarantined };
  const byRow = (expected: Row[], actual: Row[]) => differences(expected, actual, textOfRow);
  const all: Record<string, string[]> = {
    "rows by DuckDB": byRow(hour.rows, rows),
    "rows by pyarrow": byRow(hour.rows, await pyarrow.read(partPath)),
    "rows by hyparquet": byRow(
      withoutDecimals(hour.rows, columns),
      withoutDecimals(await readWithHyparquet(partPath, columns), columns),
    ),
    quarantine: differences(hour.quarantine, quarantine, textOfPiece),
    reasons: wrongReasons(hour.quarantine, quarantine),
    schema: hour.schema ? differences([hour.schema], [schema], (list) => list.join("\n")) : [],
    counts: differences(
      [{ rows: hour.rows.length, quarantined: hour.quarantine.length }],
      [counted],
      (counts) => JSON.stringify(counts),
    ),
  };
  const found = Object.entries(all).filter(([, list]) => list.length > 0);
  if (found.length > 0) writeActual(hour, rows, quarantine, schema);
  return Object.fromEntries(found.map(([what, list]) => [`${hour.name}: ${what}`, list]));
}
