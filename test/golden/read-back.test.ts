/** One or the other of the two readers finds a part that is not what was made, before it is published. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { asyncBufferFromFile, parquetMetadataAsync } from "hyparquet";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RowsDigest } from "../../src/engine/digest.js";
import type { Engine } from "../../src/engine/engine.js";
import { type PartFile, verifyPart } from "../../src/stages/verify.js";
import { type PartFacts, toMetadata } from "../../src/tier1/manifest.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-read-back-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ROWS = 40_000;
const MADE: RowsDigest = { rows: ROWS, sums: [1n, 2n] };
/** Its letters come to a multiple of three: of three columns, the sample begins with the first. */
const ATTEMPT = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/** Two columns: one that is larger than a sample, and one that is not. */
async function partOf(name: string): Promise<PartFile> {
  const facts: PartFacts = {
    ...{
      attempt: ATTEMPT,
      inputs: "i",
      objects: 1,
      rows: ROWS,
      quarantined: 0,
      quarantinedBytes: 0,
      rescued: 0,
      schemaVersion: 1,
      recipe: "r",
    },
  };
  const path = join(dir, name);
  const pairs = Object.entries(toMetadata(facts)).map(([key, value]) => `"${key}": '${value}'`);
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  await connection.run(`COPY (SELECT md5(i::VARCHAR) AS large, (hash(i) >> 1)::INT64 AS small, NULL::VARCHAR AS _rescued_data
    FROM range(${ROWS}) r(i)) TO '${path}'
    (FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION v1, KV_METADATA {${pairs.join(", ")}})`);
  connection.closeSync();
  instance.closeSync();
  const columns: PartFile["columns"] = [
    { name: "large", type: { kind: "string" }, path: ["large"], derived: false },
    { name: "small", type: { kind: "bigint" }, path: ["small"], derived: false },
  ];
  return { path, body: { path }, columns, facts, made: MADE };
}

/** The other reader, which finds these rows whatever the file has. */
function finding(digest: RowsDigest): Engine {
  return { digest: async () => digest } as Partial<Engine> as Engine;
}

it("is accepted where its rows are those that were made", async () => {
  const part = await partOf("sound");
  await verifyPart(finding(MADE), part);
  await verifyPart(finding(MADE), { ...part, body: readFileSync(part.path) });
});

it("is refused where its rows hash to something else", async () => {
  const part = await partOf("other-rows");
  const other = { ...MADE, sums: [1n, 3n] } as const;
  await expect(verifyPart(finding(other), part)).rejects.toMatchObject({ kind: "internal", stage: "verify" });
});

it.each(["in its file", "in memory"])(
  "is refused where the second reader cannot decode a column %s, though another one is larger than the sample",
  async (where) => {
    const part = await partOf("damaged");
    const footer = await parquetMetadataAsync(await asyncBufferFromFile(part.path));
    const chunk = footer.row_groups.at(-1)?.columns[1]?.meta_data;
    const bytes = readFileSync(part.path);
    // The header of its first page.
    const start = Number(chunk?.data_page_offset);
    bytes.fill(0xff, start, start + 16);
    if (where === "in its file") writeFileSync(part.path, bytes);
    else part.body = bytes;
    await expect(verifyPart(finding(MADE), part)).rejects.toThrow();
  },
);
