/** What the engine reads are the values of its files, and what its errors are called does not depend on them. */
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

it("calls an error by its type, whatever the line says that it quotes", async () => {
  const type: Column["type"] = {
    kind: "struct",
    fields: [{ name: "x", key: "x", type: { kind: "string" } }],
  };
  const quoted = { ...schema, columns: [{ ...column("j"), type, jsonString: true }] };
  const written = (text: string) => {
    const path = join(root, "quoted.ndjson");
    writeFileSync(path, `${JSON.stringify({ j: `{,"x":"${text}"}` })}\n`);
    const files = { schema: quoted, accepted: path, exact: undefined, maxLineBytes: 64 };
    return engine.writeRows(files, join(root, "quoted.parquet"));
  };
  for (const text of ["out of memory", "mkdir: permission denied", "IO Error: No space left on device"])
    await expect(written(text)).rejects.toMatchObject({
      kind: "internal",
      message: expect.stringContaining(text),
    });
});

it("calls what its files and its memory lack unavailable", async () => {
  const exact = join(root, "wide.ndjson");
  writeFileSync(exact, '{"id":"1","job":"b"}\n');
  const files = { schema, accepted: undefined, exact, maxLineBytes: 64 };
  const unavailable = (message: RegExp) => ({
    kind: "unavailable",
    message: expect.stringMatching(message),
    hint: "Give it more memory (--engine-memory) or disk (--spool-dir).",
  });
  await expect(engine.writeRows(files, join(root, "no/folder.parquet"))).rejects.toMatchObject(
    unavailable(/IO Error: Cannot open file/),
  );
  const small = await openDuckdb({ memoryBytes: 1 << 20, concurrency: 1, tempDir: join(root, "none") });
  try {
    await expect(small.writeRows(files, join(root, "rows.parquet"))).rejects.toMatchObject(
      unavailable(/Out of Memory Error: /),
    );
  } finally {
    await small.close();
  }
});
