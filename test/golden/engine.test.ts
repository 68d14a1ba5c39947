/** The engine gives the values that its files have, whatever the folders above them are called. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import type { Engine } from "../../src/engine/engine.js";
import type { Column, Schema } from "../../src/schema/types.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";

let root: string;
let engine: Engine;
let duckdb: DuckdbReader;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-engine-"));
  engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 1, tempDir: root });
  duckdb = await openDuckdbReader();
});

afterAll(async () => {
  duckdb?.close();
  await engine?.close();
  rmSync(root, { recursive: true, force: true });
});

const column = (name: string): Column => ({
  name,
  type: { kind: "string" },
  path: [name],
  derived: false,
});
const schema: Schema = { version: 1, columns: [column("id"), column("job")] };

it("reads a folder called key=value as a folder", async () => {
  const folder = join(root, "id=7", "_rescued_data=x");
  mkdirSync(folder, { recursive: true });
  const file = (name: string, line: string) => {
    writeFileSync(join(folder, name), `${line}\n`);
    return join(folder, name);
  };
  const files = {
    schema,
    accepted: file("accepted.ndjson", '{"id":"1","job":"a"}'),
    exact: file("exact.ndjson", '{"id":"2","job":"b","_rescued_data":"{\\"n\\":3}"}'),
    maxLineBytes: 64,
  };
  const written = await engine.writeRows(files, join(folder, "rows.parquet"));
  const expected = [
    { id: "1", job: "a", _rescued_data: null },
    { id: "2", job: "b", _rescued_data: '{"n":3}' },
  ];
  const rowsOf = async (path: string) =>
    (await duckdb.read(path)).rows
      .map(({ id, job, _rescued_data }) => ({ id, job, _rescued_data }))
      .sort((a, b) => String(a.id).localeCompare(String(b.id)));
  expect(await rowsOf(written.path)).toEqual(expected);
  expect(written.digest).toEqual(await engine.digest([written.path], schema.columns));
  const merge = engine.merge(schema.columns, join(folder, "part.parquet"), { sortBy: ["id"] });
  await merge.add(written.path);
  expect(await rowsOf((await merge.finish({})).path)).toEqual(expected);
});
