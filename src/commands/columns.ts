/** The columns of a dataset, as a table and as JSON. */
import { hiveType } from "../schema/hive.js";
import type { Column } from "../schema/types.js";
import type { Output } from "./output.js";
import { showTable } from "./table.js";

export function described(column: Column) {
  const { name, type, path, derived, jsonString, envelope } = column;
  return { name, type: hiveType(type), path, derived, jsonString, envelope };
}

export function showColumns(columns: Column[], output: Output): void {
  if (output.json) return;
  const rows = columns.map((column) => [
    column.name,
    hiveType(column.type),
    `${column.envelope ? "^." : ""}${column.path.join(".")}${column.jsonString ? " (JSON in a string)" : ""}`,
  ]);
  showTable([{ name: "column" }, { name: "type" }, { name: "from" }], rows, output);
}
