/** The catalog through Athena's DDL, for accounts that may query but not call Glue. */
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { AthenaClient, QueryExecutionStatus } from "@aws-sdk/client-athena";
import type { CatalogSettings } from "../config/settings.js";
import { HourpackError, reasonOf } from "../errors.js";
import type { Hour } from "../hour.js";
import { partitionValues } from "../layout.js";
import { require } from "../require.js";
import { PARTITION_KEYS } from "../schema/types.js";
import { AwsCalls, type CallOptions, clientOptions, RETRIES_OF_A_LOOK } from "./aws-calls.js";
import { notYet } from "./aws-errors.js";
import type { Catalog, PartitionSync, SyncOptions, TableChange, TableOptions, TableSpec } from "./catalog.js";
import {
  addColumns,
  addPartitions,
  createDatabase,
  createTable,
  describePartition,
  describeTable,
  lackingProperties,
  PROJECTION,
  projectionEnded,
  setLocation,
  setProperties,
  showProperties,
} from "./ddl.js";
import { expectAt, isSamePlace } from "./location.js";

type Sdk = typeof import("@aws-sdk/client-athena");
type AthenaSettings = Extract<CatalogSettings, { type: "athena" }>;

export async function openAthena(settings: AthenaSettings): Promise<Catalog> {
  const sdk = require("@aws-sdk/client-athena") as Sdk;
  return new Athena(settings, sdk, new sdk.AthenaClient(clientOptions(settings)));
}

const POLL_FIRST_MS = 100;
const POLL_MAX_MS = 2000;
/** For stopping a statement whose own time is up. */
const STOP_MS = 10_000;

class Athena implements Catalog {
  private readonly settings: AthenaSettings;
  private readonly sdk: Sdk;
  private readonly client: AthenaClient;
  private readonly calls: AwsCalls;
  private readonly stops = new AwsCalls("Athena", STOP_MS);

  constructor(settings: AthenaSettings, sdk: Sdk, client: AthenaClient) {
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
    this.calls = new AwsCalls("Athena", settings.timeoutMs);
  }

  async ensureTable(table: TableSpec, options: TableOptions = {}): Promise<TableChange> {
    const { signal } = options;
    const known = await this.query(
      `SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = ${text(table.database)} AND table_name = ${text(table.name)}`,
      "",
      signal,
    );
    if (known.length === 0) {
      await this.query(createDatabase(table.database), "", signal);
      await this.query(createTable(table), table.database, signal);
      return "created";
    }
    const described = await this.query(describeTable(table), table.database, signal);
    const location = locationIn(described);
    if (location !== undefined) expectAt(table, location);
    const names = new Set(known.map(([name]) => name));
    const missing = table.columns.filter((column) => !names.has(column.name));
    if (missing.length > 0) await this.query(addColumns(table, missing), table.database, signal);
    const isAsked = table.projection?.isOn || isProjected(described);
    const isChanged = isAsked && (await this.bringProperties(table, options));
    return missing.length > 0 || isChanged ? "changed" : "unchanged";
  }

  /**
   * `ADD IF NOT EXISTS` does not report a partition that lies elsewhere, and neither `"<table>$partitions"`
   * nor SHOW PARTITIONS says where one lies. Only DESCRIBE does, with one statement per partition. (`"$path"`
   * reads the data, is billed, and shows no empty partition; Athena does not have SHOW TABLE EXTENDED.) So
   * only the `located` hours are described.
   */
  async syncPartitions(
    table: TableSpec,
    hours: Hour[],
    { signal, located = hours }: SyncOptions = {},
  ): Promise<PartitionSync> {
    const sync: PartitionSync = { added: 0, corrected: 0, unchanged: 0, notes: [] };
    if (hours.length === 0) return sync;
    const known = await this.knownPartitions(table, hours, signal);
    const missing = hours.filter((hour) => !known.has(partitionValues(hour).join("/")));
    for (const statement of addPartitions(table, missing))
      await this.query(statement, table.database, signal);
    sync.added = missing.length;
    const compared = new Set(located);
    for (const hour of hours) {
      if (!known.has(partitionValues(hour).join("/"))) continue;
      if (!compared.has(hour)) {
        sync.unchanged++;
        continue;
      }
      const described = await this.query(describePartition(table, hour), table.database, signal);
      const location = locationIn(described);
      if (location === undefined || isSamePlace(location, table.partitionLocation(hour))) {
        sync.unchanged++;
        continue;
      }
      await this.query(setLocation(table, hour), table.database, signal);
      sync.corrected++;
      sync.notes.push(`${hour} was registered at ${location}: corrected`);
    }
    return sync;
  }

  async lacking(table: TableSpec, hours: Hour[], options: { signal?: AbortSignal } = {}): Promise<Hour[]> {
    const known = await this.knownPartitions(table, hours, options.signal);
    return hours.filter((hour) => !known.has(partitionValues(hour).join("/")));
  }

  /** One query of information_schema, which reads no data and costs nothing. */
  async lackingTables(tables: TableSpec[], { signal }: { signal?: AbortSignal } = {}): Promise<TableSpec[]> {
    const names = tables.map(({ name }) => text(name)).join(", ");
    const known = await this.query(
      `SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = ${text(this.settings.database)} AND table_name IN (${names})`,
      "",
      signal,
      RETRIES_OF_A_LOOK,
    );
    const there = new Set(known.map(([name]) => name));
    return tables.filter(({ name }) => !there.has(name));
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  /**
   * Under projection no partitions are added, and Athena looks at none while it is on. So a table that was
   * made before projection was turned on or off would show none of the hours that come. Returns true if it
   * wrote.
   */
  private async bringProperties(table: TableSpec, { signal, note }: TableOptions): Promise<boolean> {
    const shown = await this.query(showProperties(table), table.database, signal);
    const known = shown.map((row) =>
      row
        .join("\t")
        .trim()
        .split(/\s*\t\s*/),
    );
    const lacking = lackingProperties(table, Object.fromEntries(known));
    if (Object.keys(lacking).length === 0) return false;
    await this.query(setProperties(table, lacking), table.database, signal);
    for (const text of projectionEnded(table, lacking)) note?.(text);
    return true;
  }

  /** Values have no leading zeros, so that `07` and `7` are the same. */
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

  /**
   * Runs a statement to its end and returns its rows without the heading. If Athena itself calls the failure
   * retryable, the statement is run again within the same time: all statements here may be repeated.
   */
  private async query(
    sql: string,
    database: string,
    signal: AbortSignal | undefined,
    retries?: number,
  ): Promise<string[][]> {
    const doing = `Athena: ${sql.split("\n")[0]?.slice(0, 120)}`;
    const options = { signal, retries, deadlineMs: Date.now() + this.settings.timeoutMs };
    return this.calls.call(doing, options, async () => {
      const id = await this.start(sql, database, doing, options);
      await this.waitFor(id, doing, options);
      return this.results(id, /^SELECT/.test(sql), doing, options);
    });
  }

  private async start(sql: string, database: string, doing: string, options: CallOptions): Promise<string> {
    const input = {
      QueryString: sql,
      // If the first answer is lost, the repeated call does not start a second statement.
      ClientRequestToken: randomUUID(),
      WorkGroup: this.settings.workgroup,
      QueryExecutionContext: {
        Catalog: this.settings.catalogName,
        ...(database ? { Database: database } : {}),
      },
      ...(this.settings.output ? { ResultConfiguration: { OutputLocation: this.settings.output } } : {}),
    };
    const started = await this.calls.call(doing, options, (abortSignal) =>
      this.client.send(new this.sdk.StartQueryExecutionCommand(input), { abortSignal }),
    );
    return started.QueryExecutionId as string;
  }

  /** Waits for the end of the statement. Stops it if it does not end in time, or cannot be followed. */
  private async waitFor(id: string, doing: string, options: CallOptions): Promise<void> {
    const status = await this.follow(id, doing, options).catch(async (error: HourpackError) => {
      throw await this.stopped(id, error);
    });
    const { State = "", StateChangeReason, AthenaError } = status;
    if (State === "SUCCEEDED") return;
    const reason = `${State.toLowerCase()} (${StateChangeReason ?? AthenaError?.ErrorMessage ?? "no reason given"})`;
    if (AthenaError?.Retryable) throw notYet(`error type ${AthenaError.ErrorType}`, reason);
    throw new HourpackError("unavailable", `${doing}: ${reason}`, {
      stage: "register",
      hint: `Look at the statement ${id} in the workgroup ${this.settings.workgroup}, and check catalog.output and the rights to write there; the next run tries again.`,
    });
  }

  /** Polls until the statement has succeeded, failed or been cancelled. */
  private async follow(id: string, doing: string, options: CallOptions): Promise<QueryExecutionStatus> {
    const { signal, deadlineMs = 0 } = options;
    for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
      const got = await this.calls.call(doing, options, (abortSignal) =>
        this.client.send(new this.sdk.GetQueryExecutionCommand({ QueryExecutionId: id }), { abortSignal }),
      );
      const status = got.QueryExecution?.Status ?? {};
      if (/^(SUCCEEDED|FAILED|CANCELLED)$/.test(status.State ?? "")) return status;
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0) throw this.calls.late(doing);
      await setTimeout(Math.min(pauseMs, leftMs), undefined, { signal }).catch(() => {});
    }
  }

  /** Stops the statement, since nobody waits for it any longer. The returned error says what became of it. */
  private async stopped(id: string, error: HourpackError): Promise<HourpackError> {
    const outcome = await this.stops
      .call("it was not stopped", {}, (abortSignal) =>
        this.client.send(new this.sdk.StopQueryExecutionCommand({ QueryExecutionId: id }), { abortSignal }),
      )
      .then(
        () => `the statement ${id} was stopped`,
        (failure: unknown) => `the statement ${id} may go on: ${reasonOf(failure)}`,
      );
    return error.with({ message: `${error.message}; ${outcome}` });
  }

  private async results(
    id: string,
    hasHeading: boolean,
    doing: string,
    options: CallOptions,
  ): Promise<string[][]> {
    const rows: string[][] = [];
    let token: string | undefined;
    do {
      const input = { QueryExecutionId: id, NextToken: token };
      const page = await this.calls.call(doing, options, (abortSignal) =>
        this.client.send(new this.sdk.GetQueryResultsCommand(input), { abortSignal }),
      );
      for (const row of page.ResultSet?.Rows ?? [])
        rows.push((row.Data ?? []).map((cell) => cell.VarCharValue ?? ""));
      token = page.NextToken;
    } while (token !== undefined);
    return hasHeading ? rows.slice(1) : rows;
  }
}

/** Reads the location from the lines of DESCRIBE FORMATTED: `Location:  \ts3://…`. A view has none. */
function locationIn(rows: string[][]): string | undefined {
  for (const row of rows) {
    const match = /^Location:\s*(.+)$/.exec(row.join("\t").trim());
    if (match) return match[1];
  }
  return undefined;
}

/** Reads the table's properties among the lines of DESCRIBE FORMATTED. */
function isProjected(rows: string[][]): boolean {
  return rows.some((row) => row.join(" ").trim().replace(/\s+/, " ") === `${PROJECTION} true`);
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
