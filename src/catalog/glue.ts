/** The Glue Data Catalog. */
import type {
  ErrorDetail,
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
import { require } from "../require.js";
import { hiveType } from "../schema/hive.js";
import { PARTITION_KEYS } from "../schema/types.js";
import { isPassingCode } from "../sdk-errors.js";
import { AwsCalls, type CallOptions, clientOptions, RETRIES_OF_A_LOOK } from "./aws-calls.js";
import { notYet } from "./aws-errors.js";
import type { Catalog, PartitionSync, TableChange, TableOptions, TableSpec } from "./catalog.js";
import { lackingProperties, projectionEnded, storageFormat } from "./ddl.js";
import { expectAt, isSamePlace } from "./location.js";

type Sdk = typeof import("@aws-sdk/client-glue");
type GlueSettings = Extract<CatalogSettings, { type: "glue" }>;
type GlueTable = NonNullable<GetTableCommandOutput["Table"]>;

/** Limits of the API: Glue web API reference, BatchGetPartition, BatchCreatePartition, BatchDeletePartition. */
const LOOKUPS_MAX = 1000;
const CREATIONS_MAX = 100;
/** Tries for a table that others change between each look and the write. */
const LOOKS_MAX = 10;

type Options = { signal?: AbortSignal };

export async function openGlue(settings: GlueSettings): Promise<Catalog> {
  const sdk = require("@aws-sdk/client-glue") as Sdk;
  return new Glue(settings, sdk, new sdk.GlueClient(clientOptions(settings)));
}

class Glue implements Catalog {
  private readonly settings: GlueSettings;
  private readonly sdk: Sdk;
  private readonly client: GlueClient;
  private readonly calls: AwsCalls;
  private readonly databases = new Set<string>();

  constructor(settings: GlueSettings, sdk: Sdk, client: GlueClient) {
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
    this.calls = new AwsCalls("Glue", settings.timeoutMs);
  }

  async ensureTable(table: TableSpec, options: TableOptions = {}): Promise<TableChange> {
    for (let look = 1; ; look++) {
      const found = await this.table(table, options);
      try {
        return found ? await this.bringInStep(table, found, options) : await this.createTable(table, options);
      } catch (error) {
        // Another worker was faster. Its columns may differ from ours, so the table is looked at again.
        const isRaced = /^(AlreadyExists|ConcurrentModification)Exception$/.test(nameOf(error));
        if (!isRaced || look === LOOKS_MAX) throw error;
      }
    }
  }

  async syncPartitions(table: TableSpec, hours: Hour[], options: Options = {}): Promise<PartitionSync> {
    const sync: PartitionSync = { added: 0, corrected: 0, unchanged: 0, notes: [] };
    const found = await this.partitions(table, hours, options);
    const missing: Hour[] = [];
    for (const hour of hours) {
      const partitions = found.get(hour) ?? [];
      if (partitions.length === 0) missing.push(hour);
      else await this.compare(table, hour, partitions, sync, options);
    }
    const refused: Refused[] = [];
    for (let from = 0; from < missing.length; from += CREATIONS_MAX) {
      refused.push(...(await this.create(table, missing.slice(from, from + CREATIONS_MAX), sync, options)));
    }
    // A partition that is refused for good is no reason to leave out the others.
    const [first] = refused;
    if (first) {
      const doing = `create partitions of ${table.name}: ${refused.length} of ${hours.length} refused, ${first.values.join("/")} first`;
      throw failed(doing, first.detail);
    }
    return sync;
  }

  async lacking(table: TableSpec, hours: Hour[], options: Options = {}): Promise<Hour[]> {
    const found = await this.partitions(table, hours, options);
    return hours.filter((hour) => !found.has(hour));
  }

  /** Looks for a partition, too, as a run does, because that needs another right. */
  async lackingTables(tables: TableSpec[], { signal }: Options = {}): Promise<TableSpec[]> {
    const options = { signal, retries: RETRIES_OF_A_LOOK };
    const isLacking = async (table: TableSpec) => {
      const found = await this.table(table, options);
      if (!found) return true;
      await this.partitions(table, ["2000-01-01T00" as Hour], options);
      expectAt(table, found.StorageDescriptor?.Location ?? "");
      return false;
    };
    const lacking = await Promise.all(tables.map(isLacking));
    return tables.filter((_, i) => lacking[i]);
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  private async table(table: TableSpec, options: CallOptions): Promise<GlueTable | undefined> {
    const input = { ...this.id(), DatabaseName: table.database, Name: table.name };
    const doing = `look up table ${table.database}.${table.name}`;
    const got = await this.calls
      .call(doing, options, (abortSignal) =>
        this.client.send(new this.sdk.GetTableCommand(input), { abortSignal }),
      )
      .catch(ignoring("EntityNotFoundException"));
    return got?.Table;
  }

  private async createTable(table: TableSpec, options: Options): Promise<TableChange> {
    await this.ensureDatabase(table.database, options);
    const input = { ...this.id(), DatabaseName: table.database, TableInput: tableInput(table, undefined) };
    await this.calls.call(`create table ${table.database}.${table.name}`, options, (abortSignal) =>
      this.client.send(new this.sdk.CreateTableCommand(input), { abortSignal }),
    );
    return "created";
  }

  /**
   * Only appends columns, and leaves properties of others alone. Does not take over a table that lies
   * elsewhere.
   */
  private async bringInStep(table: TableSpec, found: GlueTable, options: TableOptions): Promise<TableChange> {
    expectAt(table, found.StorageDescriptor?.Location ?? "");
    const columns = found.StorageDescriptor?.Columns ?? [];
    const names = new Set(columns.map((column) => column.Name));
    const missing = table.columns.filter((column) => !names.has(column.name));
    const lacking = lackingProperties(table, found.Parameters ?? {});
    if (missing.length === 0 && Object.keys(lacking).length === 0) return "unchanged";
    const input = {
      ...this.id(),
      DatabaseName: table.database,
      TableInput: tableInput(table, found),
      // An update replaces all columns: without this, columns that another worker has just added would be
      // lost.
      VersionId: found.VersionId,
    };
    const doing = `update table ${table.database}.${table.name}`;
    const once: CallOptions = { ...options, final: "ConcurrentModificationException" };
    await this.calls.call(doing, once, (abortSignal) =>
      this.client.send(new this.sdk.UpdateTableCommand(input), { abortSignal }),
    );
    for (const text of projectionEnded(table, lacking)) options.note?.(text);
    return "changed";
  }

  private async ensureDatabase(name: string, options: Options): Promise<void> {
    if (this.databases.has(name)) return;
    const input = { ...this.id(), DatabaseInput: { Name: name } };
    await this.calls
      .call(`create database ${name}`, options, (abortSignal) =>
        this.client.send(new this.sdk.CreateDatabaseCommand(input), { abortSignal }),
      )
      .catch(ignoring("AlreadyExistsException"));
    this.databases.add(name);
  }

  /** The partitions of each hour, under either spelling: to Glue, `7` and `07` are different keys. */
  private async partitions(
    table: TableSpec,
    hours: Hour[],
    options: CallOptions,
  ): Promise<Map<Hour, Partition[]>> {
    const hourOf = new Map<string, Hour>();
    for (const hour of hours) for (const values of spellings(hour)) hourOf.set(values.join("/"), hour);
    const found = new Map<Hour, Partition[]>();
    let wanted: PartitionValueList[] = [...hourOf.keys()].map((values) => ({ Values: values.split("/") }));
    const doing = `look up partitions of ${table.name}`;
    while (wanted.length > 0) {
      const PartitionsToGet = wanted.slice(0, LOOKUPS_MAX);
      const input = { ...this.target(table), PartitionsToGet };
      const got = await this.calls.call(doing, options, async (abortSignal) => {
        const answer = await this.client.send(new this.sdk.BatchGetPartitionCommand(input), { abortSignal });
        // If some keys are left over, the answer grew too long. If all are, the service is too busy.
        const isNone = answer.UnprocessedKeys?.length === PartitionsToGet.length;
        if (isNone) throw notYet("UnprocessedKeys", "none was looked up");
        return answer;
      });
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
    options: Options,
  ): Promise<void> {
    const ours = partitionValues(hour).join("/");
    let kept = partitions[0] as Partition;
    let isCorrected = false;
    if (partitions.length > 1) {
      // Both spellings would double the hour's rows. The other one is somebody else's, so ours goes.
      kept = partitions.find((partition) => partition.Values?.join("/") !== ours) ?? kept;
      await this.remove(table, ours.split("/"), options);
      sync.notes.push(
        `${hour} was registered as ${kept.Values?.join("/")} and as ${ours}: the second was removed`,
      );
      isCorrected = true;
    }
    const location = kept.StorageDescriptor?.Location ?? "";
    if (!isSamePlace(location, table.partitionLocation(hour))) {
      const values = kept.Values ?? [];
      const input = {
        ...this.target(table),
        PartitionValueList: values,
        PartitionInput: partitionInput(table, hour, values),
      };
      const doing = `correct partition ${values.join("/")} of ${table.name}`;
      await this.calls.call(doing, options, (abortSignal) =>
        this.client.send(new this.sdk.UpdatePartitionCommand(input), { abortSignal }),
      );
      sync.notes.push(`${hour} was registered at ${location}: corrected`);
      isCorrected = true;
    }
    if (isCorrected) sync.corrected++;
    else sync.unchanged++;
  }

  private async remove(table: TableSpec, values: string[], options: Options): Promise<void> {
    const doing = `remove a doubled partition of ${table.name}`;
    const input = { ...this.target(table), PartitionsToDelete: [{ Values: values }] };
    await this.calls.call(doing, options, async (abortSignal) => {
      const deleted = await this.client.send(new this.sdk.BatchDeletePartitionCommand(input), {
        abortSignal,
      });
      const { ErrorCode, ErrorMessage } = deleted.Errors?.[0]?.ErrorDetail ?? {};
      // Another worker has removed it.
      if (ErrorCode === undefined || ErrorCode === "EntityNotFoundException") return;
      if (isPassingCode(ErrorCode)) throw notYet(ErrorCode, ErrorMessage ?? "failed");
      throw failed(doing, { ErrorCode, ErrorMessage });
    });
  }

  /** Returns what was refused for good. Sends again only the entries that may pass later. */
  private async create(
    table: TableSpec,
    hours: Hour[],
    sync: PartitionSync,
    options: Options,
  ): Promise<Refused[]> {
    const hourOf = new Map(hours.map((hour) => [partitionValues(hour).join("/"), hour]));
    let wanted = hours;
    const raced: Hour[] = [];
    const refused: Refused[] = [];
    await this.calls.call(`create partitions of ${table.name}`, options, async (abortSignal) => {
      const inputs = wanted.map((hour) => partitionInput(table, hour, partitionValues(hour)));
      const input = { ...this.target(table), PartitionInputList: inputs };
      const created = await this.client.send(new this.sdk.BatchCreatePartitionCommand(input), {
        abortSignal,
      });
      const again: Hour[] = [];
      let passing: ErrorDetail = {};
      for (const { PartitionValues: values = [], ErrorDetail: detail = {} } of created.Errors ?? []) {
        const hour = hourOf.get(values.join("/"));
        if (hour && detail.ErrorCode === "AlreadyExistsException") raced.push(hour);
        else if (hour && isPassingCode(detail.ErrorCode)) {
          again.push(hour);
          passing = detail;
        } else refused.push({ values, detail });
      }
      sync.added += wanted.length - (created.Errors?.length ?? 0);
      wanted = again;
      if (again.length === 0) return;
      const { ErrorCode = "", ErrorMessage = "failed" } = passing;
      throw notYet(ErrorCode, `${again.length} of ${hours.length}: ${ErrorMessage}`);
    });
    if (raced.length === 0) return refused;
    // Another worker was faster. What it registered is compared like any other.
    const found = await this.partitions(table, raced, options);
    for (const [hour, partitions] of found) await this.compare(table, hour, partitions, sync, options);
    return refused;
  }

  private id() {
    return { CatalogId: this.settings.catalogId };
  }

  private target(table: TableSpec) {
    return { ...this.id(), DatabaseName: table.database, TableName: table.name };
  }
}

/** An entry of a batch that is refused for good. */
interface Refused {
  values: string[];
  detail: ErrorDetail;
}

function failed(doing: string, { ErrorCode = "?", ErrorMessage = "failed" }: ErrorDetail): HourpackError {
  return new HourpackError("unavailable", `${doing}: ${ErrorMessage} (${ErrorCode})`, {
    stage: "register",
    hint: "The next run compares and registers again.",
  });
}

/** The name that AWS gave the refusal; empty if the error is not one. */
function nameOf(error: unknown): string {
  return error instanceof HourpackError ? ((error.cause as Error | undefined)?.name ?? "") : "";
}

/** Treats the refusal of this name as an answer. */
function ignoring(name: string) {
  return (error: unknown): undefined => {
    if (nameOf(error) === name) return undefined;
    throw error;
  };
}

function spellings(hour: Hour): string[][] {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  const ours = partitionValues(hour);
  const padded = [yyyy, MM, dd, HH];
  return ours.join("/") === padded.join("/") ? [ours] : [ours, padded];
}

/**
 * An update replaces the whole table. If it exists, what others wrote stays: its columns keep their order and comments, and ours
 * are appended.
 */
function tableInput(table: TableSpec, found: GlueTable | undefined): TableInput {
  const storage = found?.StorageDescriptor;
  const columns = storage?.Columns ?? [];
  const format = storageFormat(table);
  const names = new Set(columns.map((column) => column.Name));
  const missing = table.columns.filter((column) => !names.has(column.name));
  const { Description, Owner, Retention } = found ?? {};
  const keyOf = (name: string) => found?.PartitionKeys?.find((key) => key.Name === name);
  return {
    Name: table.name,
    ...(found && { Description, Owner, Retention }),
    TableType: "EXTERNAL_TABLE",
    Parameters: {
      ...found?.Parameters,
      EXTERNAL: "TRUE",
      ...lackingProperties(table, found?.Parameters ?? {}),
    },
    PartitionKeys: PARTITION_KEYS.map((Name) => ({ ...keyOf(Name), Name, Type: "int" })),
    StorageDescriptor: {
      ...storage,
      ...format,
      SerdeInfo: {
        ...storage?.SerdeInfo,
        ...format.SerdeInfo,
        Parameters: { ...storage?.SerdeInfo?.Parameters, ...format.SerdeInfo.Parameters },
      },
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
