/** Why a column's type may not be the one that is meant, although it takes all the values that were seen. */
import { fold } from "../schema/names.js";
import type { Column } from "../schema/types.js";
import { asArray, JsonNumber, type JsonObject, type JsonValue } from "./json.js";

/**
 * - `s`, `ms`: integers that may be times in this unit since 1970.
 * - `empty`: only arrays without an element.
 * - `single`: one value in several records.
 * - `large`: decimals, most of which would fit `bigint`.
 */
export type Doubt = "s" | "ms" | "empty" | "single" | "large";

/** 2000 to 2100, in seconds. Ids and counts seldom all lie in this range. */
const TIMES = { from: Date.UTC(2000) / 1000, to: Date.UTC(2100) / 1000 };

/** The values of one column so far. */
interface Seen {
  column: Column;
  count: number;
  bigints: number;
  areEmpty: boolean;
  areSeconds: boolean;
  areMilliseconds: boolean;
}

export class Doubts {
  private records = 0;
  /** By the folded key of the column's member. */
  private readonly seen = new Map<string, Seen>();

  constructor(columns: readonly Column[]) {
    for (const column of columns) {
      const seen = { column, count: 0, bigints: 0, areEmpty: true, areSeconds: true, areMilliseconds: true };
      this.seen.set(fold(column.path[0] ?? column.name), seen);
    }
  }

  observe({ keys, values }: JsonObject): void {
    this.records++;
    for (const [i, key] of keys.entries()) {
      const seen = this.seen.get(fold(key));
      const value = values[i] as JsonValue;
      if (!seen || value === null) continue;
      const number = value instanceof JsonNumber ? Number(value.text) : Number.NaN;
      seen.count++;
      if (Number.isInteger(number) && Math.abs(number) < 2 ** 63) seen.bigints++;
      seen.areEmpty &&= [...(asArray(value) ?? [value])].every((element) => element === null);
      seen.areSeconds &&= number >= TIMES.from && number < TIMES.to;
      seen.areMilliseconds &&= number >= TIMES.from * 1000 && number < TIMES.to * 1000;
    }
  }

  /** By the column's name. */
  found(): Map<string, Doubt> {
    const found = new Map<string, Doubt>();
    for (const seen of this.seen.values()) {
      const doubt = this.doubtOf(seen);
      if (doubt) found.set(seen.column.name, doubt);
    }
    return found;
  }

  private doubtOf({
    column,
    count,
    bigints,
    areEmpty,
    areSeconds,
    areMilliseconds,
  }: Seen): Doubt | undefined {
    const { type } = column;
    if (type.kind === "bigint" && areSeconds) return "s";
    if (type.kind === "bigint" && areMilliseconds) return "ms";
    if (type.kind === "decimal" && type.scale === 0 && bigints * 2 > count) return "large";
    if (areEmpty) return "empty";
    return count === 1 && this.records > 1 ? "single" : undefined;
  }
}
