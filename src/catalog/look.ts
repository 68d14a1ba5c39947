/** A look at a catalog that changes nothing: can it be reached, and what is known there of these tables? */
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { CatalogSettings } from "../config/settings.js";
import { openDatabase, sqlString } from "../engine/duckdb/database.js";
import { HourpackError, reasonOf } from "../errors.js";
import { require } from "../require.js";
import { clientOptions } from "./aws-calls.js";
import { awsError } from "./aws-errors.js";

export interface KnownTable {
  name: string;
  /** Undefined where there is no such table yet. */
  location?: string;
  columns?: number;
}

type SettingsOf<T> = Extract<CatalogSettings, { type: T }>;

/** Tables by name, in the order given. Throws `unavailable` where the catalog cannot be reached or read. */
export async function lookAtCatalog(
  settings: CatalogSettings,
  names: string[],
  signal?: AbortSignal,
): Promise<KnownTable[]> {
  switch (settings.type) {
    case "none":
      return [];
    case "local":
      return lookAtFile(settings, names);
    case "glue":
      return lookAtGlue(settings, names, signal);
    case "athena":
      return lookAtAthena(settings, names, signal);
  }
}

/** A copy is opened: a DuckDB file that another process has open cannot be. */
async function lookAtFile({ path, database }: SettingsOf<"local">, names: string[]): Promise<KnownTable[]> {
  if (!existsSync(path)) return names.map((name) => ({ name }));
  const folder = await mkdtemp(join(tmpdir(), "hourpack-doctor-"));
  try {
    const copy = join(folder, "catalog.duckdb");
    await copyFile(path, copy);
    const file = await openDatabase(copy, { access_mode: "READ_ONLY" });
    try {
      const columns = await file.rows(
        `SELECT table_name, count(*) AS n FROM duckdb_columns() WHERE schema_name = ${sqlString(database)} GROUP BY 1`,
      );
      const counts = new Map(columns.map((row) => [row["table_name"], Number(row["n"])]));
      return names.map((name) =>
        counts.has(name) ? { name, location: path, columns: counts.get(name) } : { name },
      );
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new HourpackError("unavailable", `read the catalog ${path}: ${reasonOf(error)}`, {
      location: path,
      cause: error,
      hint: "Move it away if it is no DuckDB file: `hourpack register` makes it anew.",
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** GetTable and BatchGetPartition, which are what a run reads with. */
async function lookAtGlue(
  settings: SettingsOf<"glue">,
  names: string[],
  signal: AbortSignal | undefined,
): Promise<KnownTable[]> {
  const sdk = require("@aws-sdk/client-glue") as typeof import("@aws-sdk/client-glue");
  const client = new sdk.GlueClient(clientOf(settings));
  const id = { CatalogId: settings.catalogId, DatabaseName: settings.database };
  const look = async (name: string): Promise<KnownTable> => {
    const abortSignal = signal;
    try {
      const got = await client.send(new sdk.GetTableCommand({ ...id, Name: name }), { abortSignal });
      const PartitionsToGet = [{ Values: ["2000", "1", "1", "0"] }];
      await client.send(new sdk.BatchGetPartitionCommand({ ...id, TableName: name, PartitionsToGet }), {
        abortSignal,
      });
      const { Location, Columns } = got.Table?.StorageDescriptor ?? {};
      return { name, location: Location ?? "", columns: Columns?.length };
    } catch (error) {
      if ((error as Error).name === "EntityNotFoundException") return { name };
      throw awsError(error, `look up table ${settings.database}.${name}`, "Glue", signal);
    }
  };
  try {
    return await Promise.all(names.map(look));
  } finally {
    client.destroy();
  }
}

/** One query of information_schema, which reads no data and costs nothing. */
async function lookAtAthena(
  settings: SettingsOf<"athena">,
  names: string[],
  signal: AbortSignal | undefined,
): Promise<KnownTable[]> {
  const sdk = require("@aws-sdk/client-athena") as typeof import("@aws-sdk/client-athena");
  const client = new sdk.AthenaClient(clientOf(settings));
  const doing = `query the tables of ${settings.database} with Athena`;
  try {
    const started = await client.send(
      new sdk.StartQueryExecutionCommand({
        QueryString: `SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = ${sqlString(settings.database)} AND table_name IN (${names.map(sqlString).join(", ")}) GROUP BY table_name`,
        WorkGroup: settings.workgroup,
        QueryExecutionContext: { Catalog: settings.catalogName },
        ...(settings.output ? { ResultConfiguration: { OutputLocation: settings.output } } : {}),
      }),
      { abortSignal: signal },
    );
    const query = { QueryExecutionId: started.QueryExecutionId };
    for (const deadlineMs = Date.now() + settings.timeoutMs; ; await setTimeout(POLL_MS)) {
      const { QueryExecution } = await client.send(new sdk.GetQueryExecutionCommand(query), {
        abortSignal: signal,
      });
      const { State = "", StateChangeReason = "no reason given" } = QueryExecution?.Status ?? {};
      if (State === "SUCCEEDED") break;
      if (State === "FAILED" || State === "CANCELLED")
        throw refused(doing, `${State.toLowerCase()} (${StateChangeReason})`);
      if (Date.now() > deadlineMs) throw refused(doing, `not done within ${settings.timeoutMs / 1000} s`);
    }
    const page = await client.send(new sdk.GetQueryResultsCommand(query), { abortSignal: signal });
    const rows = (page.ResultSet?.Rows ?? []).map(({ Data = [] }) =>
      Data.map((cell) => cell.VarCharValue ?? ""),
    );
    const counts = new Map(rows.map(([name = "", count]) => [name, Number(count)]));
    return names.map((name) =>
      counts.has(name) ? { name, location: "", columns: counts.get(name) } : { name },
    );
  } catch (error) {
    throw awsError(error, doing, "Athena", signal);
  } finally {
    client.destroy();
  }
}

const POLL_MS = 200;

function refused(doing: string, why: string): HourpackError {
  return new HourpackError("unavailable", `${doing}: ${why}`, {
    hint: "Check the workgroup, its output location (catalog.output) and the rights to write there.",
  });
}

/** A look is one call, and is repeated by whoever looks: the SDK's own few tries are enough. */
function clientOf(settings: { endpoint?: string; region?: string }) {
  return { ...clientOptions(settings), maxAttempts: 3 };
}
