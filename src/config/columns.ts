/** Configured columns: types, sources, and names that cannot go together. */
import { HourpackError } from "../errors.js";
import { parseHiveType, plainColumn } from "../schema/hive.js";
import { TAKEN_NAMES } from "../schema/names.js";
import { parseFromPath } from "../schema/path.js";
import type { Column, Type } from "../schema/types.js";
import type { ConfigPath } from "./file.js";
import { type Locate, relocated } from "./problems.js";
import type { ColumnConfig } from "./schema.js";
import { zoneName } from "./units.js";

/** In the order of the file. Throws `invalid` with the column's line. */
export function resolveColumns(
  configured: Record<string, ColumnConfig>,
  path: ConfigPath,
  locate: Locate,
): Column[] {
  const byName = new Map<string, string>();
  return Object.entries(configured).map(([key, config]) => {
    try {
      const column = resolveColumn(key, typeof config === "string" ? { type: config } : config);
      const other = byName.get(column.name);
      if (other !== undefined) {
        throw new HourpackError(
          "invalid",
          `the columns "${other}" and "${key}" have one name, ${column.name}`,
          {
            hint: "Names do not differ by case. Rename one, and take its member with `from:`.",
          },
        );
      }
      byName.set(column.name, key);
      return column;
    } catch (error) {
      throw relocated(error, [...path, key], locate);
    }
  });
}

function resolveColumn(key: string, config: Exclude<ColumnConfig, string>): Column {
  const name = key.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  if (TAKEN_NAMES.includes(name)) {
    throw new HourpackError(
      "invalid",
      `the column "${key}" has the name of ${name === "_rescued_data" ? "the rescued data" : "a partition key"}`,
      {
        hint: `Give it another name: ${name.replace(/^_/, "")}_value: { type: …, from: ${key} }.`,
      },
    );
  }
  const type = withInstants(parseHiveType(config.type), config, key);
  const column: Column = { ...plainColumn(name, type), path: [key] };
  if (config.json) column.jsonString = true;
  if (config.from === undefined) return column;
  const { path, envelope } = parseFromPath(config.from);
  return { ...column, path, derived: true, ...(envelope ? { envelope } : {}) };
}

/** `epoch` and `zone` say how a timestamp is read. */
function withInstants(type: Type, { epoch, zone }: Exclude<ColumnConfig, string>, key: string): Type {
  if (epoch === undefined && zone === undefined) return type;
  if (type.kind !== "timestamp") {
    throw new HourpackError(
      "invalid",
      `the column "${key}" has ${epoch ? "epoch" : "zone"} and is no timestamp`,
      {
        hint: "Write type: timestamp, or leave it out.",
      },
    );
  }
  return {
    kind: "timestamp",
    ...(epoch === undefined ? {} : { epoch }),
    ...(zone === undefined ? {} : { zone: zoneName(zone) }),
  };
}
