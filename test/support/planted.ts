/** Packs and proves an hour, and writes its part again with planted damage. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DuckDBInstance } from "@duckdb/node-api";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import { manifestKey, partKey, rawPrefix } from "../../src/layout.js";
import type { DeepResult } from "../../src/proof/result.js";
import { type DeepVerification, verifyDeep } from "../../src/proof/verify.js";
import { openManifest } from "../../src/tier1/manifest.js";
import { headPart } from "../../src/tier1/published.js";
import { readPinned, schemaOf } from "../../src/tier1/schema-file.js";
import { FIRST_HOUR, type GoldenCase } from "./golden.js";
import { packCase } from "./pack.js";

export interface PackedHour {
  components: Components;
  dataset: Dataset;
  partPath: string;
  records: number;
  close(): Promise<void>;
}

/** Packs objects, given as lines, into one hour in this folder. */
export async function packHour(dir: string, options: object, objects: string[][]): Promise<PackedHour> {
  mkdirSync(join(dir, "objects"), { recursive: true });
  for (const [i, lines] of objects.entries())
    writeFileSync(join(dir, "objects", `${i}.json`), `${lines.join("\n")}\n`);
  const hours = [{ name: "00", hour: FIRST_HOUR, objectsDir: join(dir, "objects") }];
  // Only the members of a case that packing needs.
  const golden = { dataset: options, hours } as unknown as GoldenCase;
  const [packed] = await packCase(golden, join(dir, "work"));
  const components = openComponents(
    await loadSettings({ file: join(dir, "work", "hourpack.yaml"), env: {} }),
  );
  const [dataset] = components.settings.datasets as [Dataset];
  const records = objects.reduce((sum, lines) => sum + lines.length, 0);
  return { components, dataset, partPath: packed?.partPath ?? "", records, close: () => components.close() };
}

export async function prove(
  { components, dataset }: PackedHour,
  options: Partial<DeepVerification> = {},
): Promise<DeepResult> {
  const tier1 = await components.tier1(dataset);
  const published = await headPart(
    tier1,
    partKey(dataset.tier1.prefix, dataset.table, FIRST_HOUR),
    undefined,
  );
  if (!published) throw new Error("the hour has no part");
  const key = manifestKey(dataset.tier1.prefix, FIRST_HOUR, published.attempt);
  const of = { hour: FIRST_HOUR, attempt: published.attempt, again: "" };
  const manifest = await openManifest(await tier1.get(key), key, of);
  return verifyDeep({
    raw: await components.raw(dataset),
    tier1,
    rawPrefix: rawPrefix(dataset.raw, FIRST_HOUR),
    partKey: published.key,
    partEtag: published.etag,
    entries: () => manifest.entries(),
    schema: await schemaOf(
      { components, dataset, hour: FIRST_HOUR },
      published,
      manifest.header.schemaDigest,
    ),
    firstColumns: (await readPinned(tier1, dataset.tier1.prefix, undefined))?.versions[0]?.columns.length,
    records: dataset.records,
    zone: dataset.zone,
    partPath: join(components.settings.run.spoolDir, "part.parquet"),
    ...options,
  });
}

/** Writes the part again, with its metadata, from a query over its rows (table `part`; `row` numbers them from 0). */
export async function rewrite(instance: DuckDBInstance, partPath: string, query: string): Promise<void> {
  const connection = await instance.connect();
  try {
    const sql = (text: string) => `'${text.replaceAll("'", "''")}'`;
    const pairs = await connection.runAndReadAll(
      `SELECT decode(key) AS k, decode(value) AS v FROM parquet_kv_metadata(${sql(partPath)})`,
    );
    const metadata = pairs.getRows().map(([key, value]) => `"${key}": ${sql(String(value))}`);
    // DuckDB reads milliseconds as microseconds, and would write microseconds.
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE part AS SELECT * EXCLUDE (file_row_number), file_row_number AS row
        FROM read_parquet(${sql(partPath)}, file_row_number = true, hive_partitioning = false)`,
    );
    const stamps = await connection.runAndReadAll(
      "SELECT column_name FROM (DESCRIBE part) WHERE column_type = 'TIMESTAMP'",
    );
    for (const [name] of stamps.getRows())
      await connection.run(`ALTER TABLE part ALTER "${name}" TYPE TIMESTAMP_MS`);
    await connection.run(
      `COPY (${query}) TO ${sql(`${partPath}.new`)} (FORMAT parquet, COMPRESSION snappy, KV_METADATA {${metadata.join(", ")}})`,
    );
    renameSync(`${partPath}.new`, partPath);
  } finally {
    connection.closeSync();
  }
}
