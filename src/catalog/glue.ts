/** The Glue Data Catalog. */
import type {
  GetTableCommandOutput,
  GlueClient,
  Partition,
  PartitionInput,
  PartitionValueList,
  TableInput,
} from "@aws-sdk/client-glue";
import type { CatalogSettings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { type Hour, partsOf } from "../hour.js";
import { partitionValues } from "../layout.js";
import { hiveType } from "../schema/hive.js";
import { PARTITION_KEYS } from "../schema/types.js";
import { awsError } from "./aws-errors.js";
import type { Catalog, PartitionSync, TableSpec } from "./catalog.js";
import { storageFormat, tableProperties } from "./ddl.js";

type Sdk = typeof import("@aws-sdk/client-glue");
type GlueSettings = Extract<CatalogSettings, { type: "glue" }>;
type GlueTable = NonNullable<GetTableCommandOutput["Table"]>;

/** Limits of the API: Glue web API reference, BatchGetPartition, BatchCreatePartition, BatchDeletePartition. */
const LOOKUPS_MAX = 1000;
const CREATIONS_MAX = 100;

export async function openGlue(settings: GlueSettings): Promise<Catalog> {
  const sdk = await import("@aws-sdk/client-glue");
  const client = new sdk.GlueClient({
    ...(settings.endpoint ? { endpoint: settings.endpoint } : {}),
    ...(settings.region ? { region: settings.region } : {}),
    retryMode: "adaptive",
    maxAttempts: 8,
  });
  return new Glue(settings, sdk, client);
}

class Glue implements Catalog {
  readonly kind = "glue";
  private readonly settings: GlueSettings;
  private readonly sdk: Sdk;
  private readonly client: GlueClient;
  private readonly databases = new Set<string>();

  constructor(settings: GlueSettings, sdk: Sdk, client: GlueClient) {
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
  }

  async ensureTable(table: TableSpec, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const { signal } = options;
    const found = await this.table(table, signal);
    if (found) return this.bringInStep(table, found, signal);
    await this.ensureDatabase(table.database, signal);
    const input = { ...this.id(), DatabaseName: table.database, TableInput: tableInput(table, undefined) };
    await this.call(`create table ${table.database}.${table.name}`, signal, (abortSignal) =>
      this.client.send(new this.sdk.CreateTableCommand(input), { abortSignal }),
    ).catch(ignoring("AlreadyExistsException"));
    return true;
  }

  async syncPartitions(
    table: TableSpec,
    hours: Hour[],
    options: { signal?: AbortSignal } = {},
  ): Promise<PartitionSync> {
    const sync: PartitionSync = { added: 0, corrected: 0, unchanged: 0, notes: [] };
    const found = await this.partitions(table, hours, options.signal);
    const missing: Hour[] = [];
    for (const hour of hours) {
      const partitions = found.get(hour) ?? [];
      if (partitions.length === 0) missing.push(hour);
      else await this.compare(table, hour, partitions, sync, options.signal);
    }
    for (let from = 0; from < missing.length; from += CREATIONS_MAX) {
      await this.create(table, missing.slice(from, from + CREATIONS_MAX), sync, options.signal);
    }
    return sync;
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  private async table(table: TableSpec, signal?: AbortSignal): Promise<GlueTable | undefined> {
    const input = { ...this.id(), DatabaseName: table.database, Name: table.name };
    const got = await this.call(`look up table ${table.database}.${table.name}`, signal, (abortSignal) =>
      this.client.send(new this.sdk.GetTableCommand(input), { abortSignal }),
    ).catch(ignoring("EntityNotFoundException"));
    return got?.Table;
  }

  /** Columns are only ever appended, properties of others are left alone. A table elsewhere is not taken over. */
  private async bringInStep(table: TableSpec, found: GlueTable, signal?: AbortSignal): Promise<boolean> {
    const location = found.StorageDescriptor?.Location ?? "";
    if (withoutSlash(location) !== withoutSlash(table.location)) {
      throw new HourpackError(
        "invalid",
        `register ${table.database}.${table.name}: the table is there already, and lies at ${location}`,
        {
          stage: "register",
          hint: `It should lie at ${table.location}: drop it, or give the dataset another table name.`,
        },
      );
    }
    const columns = found.StorageDescriptor?.Columns ?? [];
    const names = new Set(columns.map((column) => column.Name));
    const missing = table.columns.filter((column) => !names.has(column.name));
    const differing = Object.entries(tableProperties(table)).filter(
      ([key, value]) => found.Parameters?.[key] !== value,
    );
    if (missing.length === 0 && differing.length === 0) return false;
    const input = { ...this.id(), DatabaseName: table.database, TableInput: tableInput(table, found) };
    await this.call(`update table ${table.database}.${table.name}`, signal, (abortSignal) =>
      this.client.send(new this.sdk.UpdateTableCommand(input), { abortSignal }),
    );
    return true;
  }

  private async ensureDatabase(name: string, signal?: AbortSignal): Promise<void> {
    if (this.databases.has(name)) return;
    const input = { ...this.id(), DatabaseInput: { Name: name } };
    await this.call(`create database ${name}`, signal, (abortSignal) =>
      this.client.send(new this.sdk.CreateDatabaseCommand(input), { abortSignal }),
    ).catch(ignoring("AlreadyExistsException"));
    this.databases.add(name);
  }

  /** What is there for each hour, under either spelling: `7` and `07` are different keys for Glue. */
  private async partitions(
    table: TableSpec,
    hours: Hour[],
    signal?: AbortSignal,
  ): Promise<Map<Hour, Partition[]>> {
    const hourOf = new Map<string, Hour>();
    for (const hour of hours) for (const values of spellings(hour)) hourOf.set(values.join("/"), hour);
    const found = new Map<Hour, Partition[]>();
    let wanted: PartitionValueList[] = [...hourOf.keys()].map((values) => ({ Values: values.split("/") }));
    while (wanted.length > 0) {
      const input = { ...this.target(table), PartitionsToGet: wanted.slice(0, LOOKUPS_MAX) };
      const got = await this.call(`look up partitions of ${table.name}`, signal, (abortSignal) =>
        this.client.send(new this.sdk.BatchGetPartitionCommand(input), { abortSignal }),
      );
      for (const partition of got.Partitions ?? []) {
        const hour = hourOf.get((partition.Values ?? []).join("/"));
        if (hour) found.set(hour, [...(found.get(hour) ?? []), partition]);
      }
      wanted = [...wanted.slice(LOOKUPS_MAX), ...(got.UnprocessedKeys ?? [])];
    }
    return found;
  }

  private async compare(
    table: TableSpec,
    hour: Hour,
    partitions: Partition[],
    sync: PartitionSync,
    signal?: AbortSignal,
  ): Promise<void> {
    const ours = partitionValues(hour).join("/");
    let kept = partitions[0] as Partition;
    let isCorrected = false;
    if (partitions.length > 1) {
      // Both spellings would double the hour's rows. The other one is somebody else's: ours goes.
      kept = partitions.find((partition) => partition.Values?.join("/") !== ours) ?? kept;
      const input = { ...this.target(table), PartitionsToDelete: [{ Values: ours.split("/") }] };
      const deleted = await this.call(`remove a doubled partition of ${table.name}`, signal, (abortSignal) =>
        this.client.send(new this.sdk.BatchDeletePartitionCommand(input), { abortSignal }),
      );
      const [problem] = deleted.Errors ?? [];
      if (problem) throw this.failed(`remove a doubled partition of ${table.name}`, problem.ErrorDetail);
      sync.notes.push(
        `${hour} was registered as ${kept.Values?.join("/")} and as ${ours}: the second was removed`,
      );
      isCorrected = true;
    }
    const location = kept.StorageDescriptor?.Location ?? "";
    if (withoutSlash(location) !== withoutSlash(table.partitionLocation(hour))) {
      const values = kept.Values ?? [];
      const input = {
        ...this.target(table),
        PartitionValueList: values,
        PartitionInput: partitionInput(table, hour, values),
      };
      await this.call(`correct partition ${values.join("/")} of ${table.name}`, signal, (abortSignal) =>
        this.client.send(new this.sdk.UpdatePartitionCommand(input), { abortSignal }),
      );
      sync.notes.push(`${hour} was registered at ${location}: corrected`);
      isCorrected = true;
    }
    if (isCorrected) sync.corrected++;
    else sync.unchanged++;
  }

  private async create(
    table: TableSpec,
    hours: Hour[],
    sync: PartitionSync,
    signal?: AbortSignal,
  ): Promise<void> {
    const doing = `create partitions of ${table.name}`;
    const input = {
      ...this.target(table),
      PartitionInputList: hours.map((hour) => partitionInput(table, hour, partitionValues(hour))),
    };
    const created = await this.call(doing, signal, (abortSignal) =>
      this.client.send(new this.sdk.BatchCreatePartitionCommand(input), { abortSignal }),
    );
    const raced: Hour[] = [];
    for (const { PartitionValues = [], ErrorDetail } of created.Errors ?? []) {
      const hour = hours.find(
        (candidate) => partitionValues(candidate).join("/") === PartitionValues.join("/"),
      );
      if (ErrorDetail?.ErrorCode !== "AlreadyExistsException" || !hour) throw this.failed(doing, ErrorDetail);
      raced.push(hour);
    }
    sync.added += hours.length - raced.length;
    if (raced.length === 0) return;
    // Another worker was faster: what it registered is looked at like any other.
    const found = await this.partitions(table, raced, signal);
    for (const [hour, partitions] of found) await this.compare(table, hour, partitions, sync, signal);
  }

  private id() {
    return { CatalogId: this.settings.catalogId };
  }

  private target(table: TableSpec) {
    return { ...this.id(), DatabaseName: table.database, TableName: table.name };
  }

  private failed(
    doing: string,
    detail: { ErrorCode?: string; ErrorMessage?: string } | undefined,
  ): HourpackError {
    return new HourpackError(
      "unavailable",
      `${doing}: ${detail?.ErrorMessage ?? "failed"} (${detail?.ErrorCode ?? "?"})`,
      {
        stage: "register",
        hint: "The next run compares and registers again.",
      },
    );
  }

  private async call<T>(
    doing: string,
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    try {
      return await task(signal);
    } catch (error) {
      throw awsError(error, doing, "Glue", signal);
    }
  }
}

/** Takes one named refusal for an answer. */
function ignoring(name: string) {
  return (error: unknown): undefined => {
    if (error instanceof HourpackError && (error.cause as Error | undefined)?.name === name) return undefined;
    throw error;
  };
}

function spellings(hour: Hour): string[][] {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  const ours = partitionValues(hour);
  const padded = [yyyy, MM, dd, HH];
  return ours.join("/") === padded.join("/") ? [ours] : [ours, padded];
}

/** Over an existing table its own columns keep their order and comments, and ours are appended. */
function tableInput(table: TableSpec, found: GlueTable | undefined): TableInput {
  const columns = found?.StorageDescriptor?.Columns ?? [];
  const names = new Set(columns.map((column) => column.Name));
  const missing = table.columns.filter((column) => !names.has(column.name));
  return {
    Name: table.name,
    TableType: "EXTERNAL_TABLE",
    Parameters: { ...found?.Parameters, EXTERNAL: "TRUE", ...tableProperties(table) },
    PartitionKeys: PARTITION_KEYS.map((Name) => ({ Name, Type: "int" })),
    StorageDescriptor: {
      ...storageFormat(table),
      Location: table.location,
      Columns: [...columns, ...missing.map(({ name, type }) => ({ Name: name, Type: hiveType(type) }))],
    },
  };
}

function partitionInput(table: TableSpec, hour: Hour, values: string[]): PartitionInput {
  return {
    Values: values,
    StorageDescriptor: {
      ...storageFormat(table),
      Location: table.partitionLocation(hour),
      Columns: table.columns.map(({ name, type }) => ({ Name: name, Type: hiveType(type) })),
    },
  };
}

function withoutSlash(location: string): string {
  return location.replace(/\/+$/, "");
}
