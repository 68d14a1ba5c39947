// DuckDB's own read_json with the same columns over the same bytes in one file: no unknown key or odd number
// survives it.
import { DuckDBInstance } from "@duckdb/node-api";

const { path, columns, out } = JSON.parse(process.argv[2]);
const TYPES = {
  string: "VARCHAR",
  bigint: "BIGINT",
  double: "DOUBLE",
  boolean: "BOOLEAN",
  timestamp: "TIMESTAMP",
};

/** @param {string} hive */
function duckdbType(hive) {
  if (!hive.startsWith("struct<")) return TYPES[hive];
  const fields = hive.slice("struct<".length, -1).split(",");
  return `STRUCT(${fields.map((field) => field.replace(/:(.*)/, (_, type) => ` ${TYPES[type]}`)).join(", ")})`;
}

const spec = Object.entries(columns).map(([name, hive]) => `${name}: '${duckdbType(hive)}'`);
const instance = await DuckDBInstance.create(":memory:", { memory_limit: "512MB" });
const connection = await instance.connect();
await connection.run(`COPY (
  SELECT * FROM read_json('${path}', format = 'newline_delimited', columns = {${spec.join(", ")}})
) TO '${out}' (FORMAT parquet, COMPRESSION snappy)`);
connection.closeSync();
instance.closeSync();
