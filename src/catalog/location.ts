/** Where a table or a partition lies. */
import { HourpackError } from "../errors.js";
import type { TableSpec } from "./catalog.js";

/** Throws `invalid` if the table lies elsewhere: then it is somebody else's, and is not taken over. */
export function expectAt(table: TableSpec, location: string): void {
  if (isSamePlace(location, table.location)) return;
  throw new HourpackError(
    "invalid",
    `register ${table.database}.${table.name}: the table is there already, and lies at ${location}`,
    {
      stage: "register",
      hint: `It should lie at ${table.location}: drop it, or give the dataset another table name.`,
    },
  );
}

export function isSamePlace(one: string, other: string): boolean {
  return withoutSlash(one) === withoutSlash(other);
}

function withoutSlash(location: string): string {
  return location.replace(/\/+$/, "");
}
