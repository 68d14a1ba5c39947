/** The two tables of a dataset, as a catalog should have them. Pure. */
import type { TableColumn, TableSpec } from "./catalog/catalog.js";
import { commandText } from "./command-text.js";
import type { Dataset, Settings } from "./config/settings.js";
import { hasHourFolders, partitionPrefix, rawBasePrefix, rawPrefix, uriOf } from "./layout.js";
import { toColumnName } from "./schema/names.js";
import { type Column, RESCUED_COLUMN, type Type } from "./schema/types.js";

interface Tables {
  raw: TableSpec;
  parquet: TableSpec;
}

/** `columns` are the pinned columns, or the configured ones before anything is pinned. */
export function tablesOf(dataset: Dataset, columns: Column[], settings: Settings): Tables {
  const database = settings.catalog.type === "none" ? "default" : settings.catalog.database;
  const tier1 = uriOf(dataset.tier1);
  const rawRoot = uriOf(dataset.raw.location);
  const withoutFolders = !hasHourFolders(dataset.raw);
  const registerText = commandText("register", settings, { dataset: dataset.name });
  const years = { firstYear: 2015, lastYear: 2050 };
  const project = (locationTemplate: string) => ({
    isOn: settings.run.projection,
    locationTemplate,
    ...years,
  });
  return {
    raw: {
      database,
      name: dataset.rawTable,
      format: "json",
      location: rawRoot + rawBasePrefix(dataset.raw),
      columns: rawColumns(columns, dataset.records.keys),
      partitionLocation: (hour) => rawRoot + rawPrefix(dataset.raw, hour),
      withoutFolders,
      registerText,
      projection: withoutFolders ? undefined : project(rawRoot + projected(dataset.raw.template)),
    },
    parquet: {
      database,
      name: dataset.table,
      format: "parquet",
      location: tier1,
      columns: [...columns, { name: RESCUED_COLUMN, type: { kind: "string" } }],
      partitionLocation: (hour) => tier1 + partitionPrefix(hour),
      registerText,
      projection: project(`${tier1}${projected("year={yyyy}/month={MM}/day={dd}/hour={HH}/")}`),
    },
  };
}

/** The tables that the catalog gets. A local catalog does not show raw objects in S3, since a view would read them one by one. */
export function tablesIn({ raw, parquet }: Tables, { catalog }: Settings): TableSpec[] {
  return catalog.type === "local" && raw.location.startsWith("s3://") ? [parquet] : [raw, parquet];
}

/** What Athena cannot read of these tables, a sentence each. */
export function unreadableByAthena(dataset: Dataset): string[] {
  const { table, rawTable, raw, tier1, rawUri } = dataset;
  const inDirectories = [
    ...(raw.location.scheme === "file" ? [rawTable] : []),
    ...(tier1.scheme === "file" ? [table] : []),
  ];
  return [
    ...(inDirectories.length > 0
      ? [`Athena reads S3 alone, and cannot read a directory: ${inDirectories.join(" and ")}`]
      : []),
    ...(hasHourFolders(raw)
      ? []
      : [
          `${rawTable} gets no partitions, since Athena reads folders alone and an hour of ${rawUri} is none; ` +
            "if it is one, end raw with a slash",
        ]),
  ];
}

/**
 * The raw table's columns. Timestamps and dates stay strings there, since Hive writes timestamps in another form than JSON.
 * Under a record path the records are an array inside structs that follow the path.
 */
function rawColumns(columns: Column[], path: string[]): TableColumn[] {
  const members = columns
    .filter((column) => !column.derived)
    .map((column) => ({
      name: column.name,
      type: column.jsonString ? STRING : rawType(column.type),
      key: column.path[0] as string,
    }));
  const [key, ...inner] = path;
  if (key === undefined) return members;
  const fields = members.map(({ name, type }) => ({ name, key: name, type }));
  const records: Type = { kind: "array", element: { kind: "struct", fields } };
  const type = inner.reduceRight<Type>(
    (within, name) => ({ kind: "struct", fields: [{ name: toColumnName(name), key: name, type: within }] }),
    records,
  );
  return [{ name: toColumnName(key), type, key }];
}

const STRING: Type = { kind: "string" };

function rawType(type: Type): Type {
  switch (type.kind) {
    case "timestamp":
    case "date":
      return STRING;
    case "array":
      return { kind: "array", element: rawType(type.element) };
    case "map":
      return { kind: "map", value: rawType(type.value) };
    case "struct":
      return {
        kind: "struct",
        fields: type.fields.map((field) => ({ ...field, type: rawType(field.type) })),
      };
    default:
      return type;
  }
}

/** `{yyyy}` as the `${year}` of a storage.location.template. */
function projected(template: string): string {
  const names: Record<string, string> = { yyyy: "year", MM: "month", dd: "day", HH: "hour" };
  return template.replace(/\{(yyyy|MM|dd|HH)\}/g, (_, name: string) => `\${${names[name]}}`);
}
