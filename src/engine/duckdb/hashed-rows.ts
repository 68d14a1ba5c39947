import { type Column, RESCUED_COLUMN, type Type } from "../../schema/types.js";
import { sqlName } from "./database.js";

/** No column of a schema can have a name with a space. */
export const HASH_COLUMN = "row hash";

/** Rows with a hash of their values as the last column. */
export function hashedSql(source: string, columns: readonly Column[]): string {
  const values = columns.map(({ name }) => sqlName(name));
  const marks = columns.flatMap(({ name, type }) => marksOf(sqlName(name), type));
  const hashed = [...values, RESCUED_COLUMN, ...marks].join(", ");
  return `SELECT *, hash(${hashed}) AS ${sqlName(HASH_COLUMN)} FROM (${source})`;
}

/**
 * What DuckDB's hash of a value leaves out: the sign of -0.0, whether a struct of NULLs is NULL itself, and how long a
 * list is, so that an empty one is NULL to it, and [[1], [2]] is [[1, 2]].
 */
function marksOf(value: string, type: Type): string[] {
  switch (type.kind) {
    case "double":
      return [`signbit(${value})`];
    case "struct": {
      const fields = type.fields.flatMap((field) => marksOf(`(${value}).${sqlName(field.name)}`, field.type));
      return [`${value} IS NULL`, ...fields];
    }
    case "array":
      return marksOfList(value, type.element);
    case "map":
      return marksOfList(`map_values(${value})`, type.value);
    default:
      return [];
  }
}

function marksOfList(value: string, type: Type): string[] {
  const marks = marksOf("element", type).map((mark) => `list_transform(${value}, lambda element: ${mark})`);
  return [`len(${value})`, ...marks];
}
