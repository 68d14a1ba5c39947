/**
 * Athena's DDL as text. Sources: Athena user guide, "DDL statements", "Partition projection", "OpenX JSON
 * SerDe".
 */
import type { Hour } from "../hour.js";
import { partitionValues } from "../layout.js";
import { hiveType } from "../schema/hive.js";
import { quoteHive } from "../schema/names.js";
import { PARTITION_KEYS } from "../schema/types.js";
import type { Projection, TableColumn, TableSpec } from "./catalog.js";

/** Partitions in one ALTER TABLE: well below Athena's limit of 262,144 bytes a statement. */
const PARTITIONS_PER_STATEMENT = 100;

export function createDatabase(database: string): string {
  return `CREATE DATABASE IF NOT EXISTS ${quoteHive(database)}`;
}

export function createTable(table: TableSpec): string {
  const columns = table.columns.map((column) => `  ${columnDdl(column)}`).join(",\n");
  const partitions = PARTITION_KEYS.map((key) => `${quoteHive(key)} int`).join(", ");
  return [
    `CREATE EXTERNAL TABLE IF NOT EXISTS ${tableName(table)} (`,
    columns,
    ")",
    `PARTITIONED BY (${partitions})`,
    ...(table.format === "json" ? jsonFormat(table) : ["STORED AS PARQUET"]),
    `LOCATION ${quoteText(table.location)}`,
    `TBLPROPERTIES (${properties(tableProperties(table))})`,
  ].join("\n");
}

export function addColumns(table: TableSpec, columns: TableColumn[]): string {
  return `ALTER TABLE ${tableName(table)} ADD COLUMNS (${columns.map(columnDdl).join(", ")})`;
}

/** The answer has one line per property: its name, a tab, its value. */
export function showProperties(table: TableSpec): string {
  return `SHOW TBLPROPERTIES ${tableName(table)}`;
}

export function setProperties(table: TableSpec, values: Record<string, string>): string {
  return `ALTER TABLE ${tableName(table)} SET TBLPROPERTIES (${properties(values)})`;
}

/** Makes one statement for each hundred hours. */
export function addPartitions(table: TableSpec, hours: Hour[]): string[] {
  const statements: string[] = [];
  for (let from = 0; from < hours.length; from += PARTITIONS_PER_STATEMENT) {
    const clauses = hours
      .slice(from, from + PARTITIONS_PER_STATEMENT)
      .map(
        (hour) => `  PARTITION ${partitionDdl(hour)} LOCATION ${quoteText(table.partitionLocation(hour))}`,
      );
    statements.push(`ALTER TABLE ${tableName(table)} ADD IF NOT EXISTS\n${clauses.join("\n")}`);
  }
  return statements;
}

export function setLocation(table: TableSpec, hour: Hour): string {
  return `ALTER TABLE ${tableName(table)} PARTITION ${partitionDdl(hour)} SET LOCATION ${quoteText(table.partitionLocation(hour))}`;
}

/** Shows the table's location, among other things. */
export function describeTable(table: TableSpec): string {
  return `DESCRIBE FORMATTED ${tableName(table)}`;
}

/** Shows the partition's location, among other things. */
export function describePartition(table: TableSpec, hour: Hour): string {
  return `DESCRIBE FORMATTED ${tableName(table)} PARTITION ${partitionDdl(hour)}`;
}

/** `(year=2022, month=7, day=26, hour=0)`; a spelling such as `07` is the same int. */
function partitionDdl(hour: Hour): string {
  const values = partitionValues(hour);
  return `(${PARTITION_KEYS.map((key, i) => `${quoteHive(key)}=${values[i]}`).join(", ")})`;
}

/** The table's properties, including those of partition projection. */
export function tableProperties(table: TableSpec): Record<string, string> {
  const format: Record<string, string> =
    table.format === "json"
      ? { classification: "json" }
      : { classification: "parquet", "parquet.compression": "SNAPPY" };
  return table.projection?.isOn ? { ...format, ...projectionProperties(table.projection) } : format;
}

export const PROJECTION = "projection.enabled";

/**
 * Our properties that a table with the properties `found` lacks. If the table has projection while the
 * settings turn it off, and it is ours to the letter, it is ended, because Athena looks at no partition as
 * long as it is there. Projection that somebody else made is left alone.
 */
export function lackingProperties(table: TableSpec, found: Record<string, string>): Record<string, string> {
  const lacksIn = (wanted: Record<string, string>) =>
    Object.entries(wanted).filter(([name, value]) => found[name] !== value);
  const { projection } = table;
  const isLeft = projection && !projection.isOn && lacksIn(projectionProperties(projection)).length === 0;
  return Object.fromEntries(lacksIn({ ...tableProperties(table), ...(isLeft && { [PROJECTION]: "false" }) }));
}

/** What to say if the properties just set end projection. */
export function projectionEnded({ registerText }: TableSpec, set: Record<string, string>): string[] {
  return set[PROJECTION] === "false"
    ? [
        `partition projection was turned off: ${registerText} adds the partitions of hours that were packed under it`,
      ]
    : [];
}

function projectionProperties({ firstYear, lastYear, locationTemplate }: Projection): Record<string, string> {
  return {
    [PROJECTION]: "true",
    "projection.year.type": "integer",
    "projection.year.range": `${firstYear},${lastYear}`,
    "projection.month.type": "integer",
    "projection.month.range": "1,12",
    "projection.month.digits": "2",
    "projection.day.type": "integer",
    "projection.day.range": "1,31",
    "projection.day.digits": "2",
    "projection.hour.type": "integer",
    "projection.hour.range": "0,23",
    "projection.hour.digits": "2",
    "storage.location.template": locationTemplate,
  };
}

/** The OpenX SerDe folds keys to lower case. A column whose name differs from its key is mapped. */
function serdeProperties(table: TableSpec): Record<string, string> {
  const mapped = table.columns.flatMap(({ name, key }) =>
    key === undefined || key === name ? [] : [[`mapping.${name}`, key.toLowerCase()] as const],
  );
  return { "case.insensitive": "true", "ignore.malformed.json": "true", ...Object.fromEntries(mapped) };
}

const JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe";
const JSON_INPUT = "org.apache.hadoop.mapred.TextInputFormat";
const JSON_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
const PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const PARQUET_INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const PARQUET_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";

/** The classes that read a table, as Glue stores them. */
export function storageFormat(table: TableSpec) {
  return table.format === "json"
    ? {
        InputFormat: JSON_INPUT,
        OutputFormat: JSON_OUTPUT,
        SerdeInfo: { SerializationLibrary: JSON_SERDE, Parameters: serdeProperties(table) },
      }
    : {
        InputFormat: PARQUET_INPUT,
        OutputFormat: PARQUET_OUTPUT,
        SerdeInfo: { SerializationLibrary: PARQUET_SERDE, Parameters: { "serialization.format": "1" } },
      };
}

function tableName(table: TableSpec): string {
  return `${quoteHive(table.database)}.${quoteHive(table.name)}`;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function jsonFormat(table: TableSpec): string[] {
  return [
    `ROW FORMAT SERDE '${JSON_SERDE}'`,
    `WITH SERDEPROPERTIES (${properties(serdeProperties(table))})`,
    `STORED AS INPUTFORMAT '${JSON_INPUT}'`,
    `OUTPUTFORMAT '${JSON_OUTPUT}'`,
  ];
}

function columnDdl({ name, type }: TableColumn): string {
  return `${quoteHive(name)} ${hiveType(type)}`;
}

function properties(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([key, value]) => `${quoteText(key)}=${quoteText(value)}`)
    .join(", ");
}
