/** For columns that are text because their values differ: what most values are, and the first exception. */
import { fold } from "../schema/names.js";
import type { Column, Type } from "../schema/types.js";
import { Values } from "./inference.js";
import type { JsonObject, JsonValue } from "./json.js";

export interface Outlier {
  /** The type of most values, how many they are, and how many values are not null. */
  usual: Type;
  count: number;
  of: number;
  /** The kind of the first other value, and the object that contains it. */
  kind: Type["kind"];
  object: string;
}

/** Values that may be of one type. */
interface Alike {
  values: Values;
  count: number;
  kind: Type["kind"];
  object: string;
}

export class Outliers {
  /** By the folded key of the column's member. */
  private readonly seen = new Map<string, { column: string; alike: Map<string, Alike> }>();

  constructor(columns: readonly Column[]) {
    for (const { name, type, path } of columns) {
      if (type.kind === "string") this.seen.set(fold(path[0] ?? name), { column: name, alike: new Map() });
    }
  }

  /** `object`: the one that contains the record. */
  observe({ keys, values }: JsonObject, object: string): void {
    for (const [i, key] of keys.entries()) {
      const alike = this.seen.get(fold(key))?.alike;
      const value = values[i] as JsonValue;
      if (!alike || value === null) continue;
      const alone = new Values(0);
      alone.observe(value);
      const kind = alone.type()?.kind ?? "string";
      // Integers and fractions together make a double, not text.
      const name = kind === "bigint" || kind === "decimal" ? "double" : kind;
      const group = alike.get(name) ?? { values: new Values(0), count: 0, kind, object };
      group.values.observe(value);
      group.count++;
      alike.set(name, group);
    }
  }

  /** By the column's name. */
  found(): Map<string, Outlier> {
    const found = new Map<string, Outlier>();
    for (const { column, alike } of this.seen.values()) {
      const groups = [...alike.values()];
      const of = groups.reduce((sum, { count }) => sum + count, 0);
      const most = groups.find(({ count }) => count * 2 > of);
      const usual = most?.values.type();
      const other = groups.find((group) => group !== most);
      if (!most || !usual || usual.kind === "string" || !other) continue;
      found.set(column, { usual, count: most.count, of, kind: other.kind, object: other.object });
    }
    return found;
  }
}
