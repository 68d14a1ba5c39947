/** The catalog by Athena's DDL, for accounts that let one query but not call Glue. */
import { setTimeout } from "node:timers/promises";
import type { AthenaClient } from "@aws-sdk/client-athena";
import type { CatalogSettings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import type { Hour } from "../hour.js";
import { partitionValues } from "../layout.js";
import { PARTITION_KEYS } from "../schema/types.js";
import { awsError } from "./aws-errors.js";
import type { Catalog, PartitionSync, TableSpec } from "./catalog.js";
import {
  addColumns,
  addPartitions,
  createDatabase,
  createTable,
  describePartition,
  setLocation,
} from "./ddl.js";

type Sdk = typeof import("@aws-sdk/client-athena");
type AthenaSettings = Extract<CatalogSettings, { type: "athena" }>;

export async function openAthena(settings: AthenaSettings): Promise<Catalog> {
  const sdk = await import("@aws-sdk/client-athena");
  const client = new sdk.AthenaClient({
    ...(settings.endpoint ? { endpoint: settings.endpoint } : {}),
    ...(settings.region ? { region: settings.region } : {}),
    retryMode: "adaptive",
    maxAttempts: 8,
  });
  return new Athena(settings, sdk, client);
}

const POLL_FIRST_MS = 100;
const POLL_MAX_MS = 2000;

class Athena implements Catalog {
  readonly kind = "athena";
  private readonly settings: AthenaSettings;
  private readonly sdk: Sdk;
  private readonly client: AthenaClient;

  constructor(settings: AthenaSettings, sdk: Sdk, client: AthenaClient) {
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
  }

  async ensureTable(table: TableSpec, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const { signal } = options;
    const known = await this.query(
      `SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = ${text(table.database)} AND table_name = ${text(table.name)}`,
      "",
      signal,
    );
    if (known.length === 0) {
      await this.query(createDatabase(table.database), "", signal);
      await this.query(createTable(table), table.database, signal);
      return true;
    }
    const names = new Set(known.map(([name]) => name));
    const missing = table.columns.filter((column) => !names.has(column.name));
    if (missing.length === 0) return false;
    await this.query(addColumns(table, missing), table.database, signal);
    return true;
  }

  /**
   * `ADD IF NOT EXISTS` says nothing of a partition that lies elsewhere, so what `"<table>$partitions"` names is
   * described, one statement each, and set where it differs.
   */
  async syncPartitions(
    table: TableSpec,
    hours: Hour[],
    options: { signal?: AbortSignal } = {},
  ): Promise<PartitionSync> {
    const { signal } = options;
    const sync: PartitionSync = { added: 0, corrected: 0, unchanged: 0, notes: [] };
    if (hours.length === 0) return sync;
    const known = await this.knownPartitions(table, hours, signal);
    const missing = hours.filter((hour) => !known.has(partitionValues(hour).join("/")));
    for (const statement of addPartitions(table, missing))
      await this.query(statement, table.database, signal);
    sync.added = missing.length;
    for (const hour of hours) {
      if (!known.has(partitionValues(hour).join("/"))) continue;
      const described = await this.query(describePartition(table, hour), table.database, signal);
      const location = locationIn(described);
      if (location === undefined || withoutSlash(location) === withoutSlash(table.partitionLocation(hour))) {
        sync.unchanged++;
        continue;
      }
      await this.query(setLocation(table, hour), table.database, signal);
      sync.corrected++;
      sync.notes.push(`${hour} was registered at ${location}: corrected`);
    }
    return sync;
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  /** Values without leading zeros, so that `07` and `7` are one. */
  private async knownPartitions(table: TableSpec, hours: Hour[], signal?: AbortSignal): Promise<Set<string>> {
    const days = [...new Set(hours.map((hour) => partitionValues(hour).slice(0, 3).map(Number).join(", ")))];
    const keys = PARTITION_KEYS.map((key) => `CAST(${key} AS integer)`);
    const rows = await this.query(
      `SELECT ${keys.join(", ")} FROM "${table.database}"."${table.name}$partitions" WHERE (${keys.slice(0, 3).join(", ")}) IN (${days.map((day) => `(${day})`).join(", ")})`,
      table.database,
      signal,
    );
    return new Set(rows.map((row) => row.map((value) => String(Number(value))).join("/")));
  }

  /** Runs a statement to its end and returns its rows, the heading left out. */
  private async query(sql: string, database: string, signal: AbortSignal | undefined): Promise<string[][]> {
    const doing = `Athena: ${sql.split("\n")[0]?.slice(0, 120)}`;
    try {
      const started = await this.client.send(
        new this.sdk.StartQueryExecutionCommand({
          QueryString: sql,
          WorkGroup: this.settings.workgroup,
          QueryExecutionContext: {
            Catalog: this.settings.catalogName,
            ...(database ? { Database: database } : {}),
          },
          ...(this.settings.output ? { ResultConfiguration: { OutputLocation: this.settings.output } } : {}),
        }),
        { abortSignal: signal },
      );
      const id = started.QueryExecutionId as string;
      await this.waitFor(id, doing, signal);
      return await this.results(id, /^SELECT/.test(sql), signal);
    } catch (error) {
      throw awsError(error, doing, "Athena", signal);
    }
  }

  /** Polls until the statement ends; one that does not in time, or is interrupted, is stopped. */
  private async waitFor(id: string, doing: string, signal: AbortSignal | undefined): Promise<void> {
    const deadlineMs = Date.now() + this.settings.timeoutMs;
    for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
      const got = await this.client.send(new this.sdk.GetQueryExecutionCommand({ QueryExecutionId: id }));
      const { State, StateChangeReason } = got.QueryExecution?.Status ?? {};
      if (State === "SUCCEEDED") return;
      if (State === "FAILED" || State === "CANCELLED") {
        throw new HourpackError(
          "unavailable",
          `${doing}: ${State.toLowerCase()} (${StateChangeReason ?? "no reason given"})`,
          {
            stage: "register",
            hint: `Look at the statement ${id} in the workgroup ${this.settings.workgroup}; the next run tries again.`,
          },
        );
      }
      if (signal?.aborted || Date.now() > deadlineMs) {
        await this.client
          .send(new this.sdk.StopQueryExecutionCommand({ QueryExecutionId: id }))
          .catch(() => {});
        if (signal?.aborted) throw new HourpackError("interrupted", `${doing}: interrupted`);
        throw new HourpackError(
          "unavailable",
          `${doing}: not done within ${this.settings.timeoutMs / 1000} s, stopped`,
          {
            stage: "register",
            hint: "Raise catalog.timeout, or look for queued statements in the workgroup.",
          },
        );
      }
      await setTimeout(pauseMs);
    }
  }

  private async results(
    id: string,
    hasHeading: boolean,
    signal: AbortSignal | undefined,
  ): Promise<string[][]> {
    const rows: string[][] = [];
    let token: string | undefined;
    do {
      const page = await this.client.send(
        new this.sdk.GetQueryResultsCommand({ QueryExecutionId: id, NextToken: token }),
        { abortSignal: signal },
      );
      for (const row of page.ResultSet?.Rows ?? [])
        rows.push((row.Data ?? []).map((cell) => cell.VarCharValue ?? ""));
      token = page.NextToken;
    } while (token !== undefined);
    return hasHeading ? rows.slice(1) : rows;
  }
}

/** From the lines of DESCRIBE FORMATTED: `Location:  \ts3://…`. */
function locationIn(rows: string[][]): string | undefined {
  for (const row of rows) {
    const match = /^Location:\s*(\S+)/.exec(row.join("\t").trim());
    if (match) return match[1];
  }
  return undefined;
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function withoutSlash(location: string): string {
  return location.replace(/\/+$/, "");
}
