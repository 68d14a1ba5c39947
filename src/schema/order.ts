/** The columns that the rows of a part are sorted by. Pure. */
import { HourpackError } from "../errors.js";
import type { Column } from "./types.js";

/** Throws `invalid` if a name is not a column, or if the column's values have no order. */
export function requireSortable(sortBy: readonly string[], columns: readonly Column[]): void {
  for (const name of sortBy) {
    const column = columns.find((other) => other.name === name);
    if (!column) {
      throw new HourpackError("invalid", `sortBy names "${name}", which is no column`, {
        hint: `Columns are: ${columns.map((other) => other.name).join(", ")}.`,
      });
    }
    if (hasOrder(column)) continue;
    const { kind } = column.type;
    throw new HourpackError(
      "invalid",
      `sortBy names "${name}", whose values have no order: it is a ${kind}`,
      {
        hint:
          kind === "struct"
            ? `Give a field a column of its own, such as ${name}_x: { type: string, from: ${name}.x }, and sort by that.`
            : "Sort by a column that is no array, map or struct.",
      },
    );
  }
}

/**
 * The columns that exist and can be sorted by. In an inferred schema, one may still be to come, or may have
 * another type than was expected.
 */
export function sortable(sortBy: readonly string[], columns: readonly Column[]): string[] {
  return sortBy.filter((name) => columns.some((column) => column.name === name && hasOrder(column)));
}

function hasOrder({ type }: Column): boolean {
  return type.kind !== "struct" && type.kind !== "array" && type.kind !== "map";
}
