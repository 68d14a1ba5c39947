/** Finds out from the names of folders how the hours under a raw prefix are laid out. Only reads. */
import { addHours, FIRST_YEAR, type Hour, LAST_YEAR } from "../hour.js";
import {
  HOUR_PARTS,
  type HourPart,
  hourOfRawPrefix,
  levelPattern,
  levelsOf,
  ownPrefix,
  type RawTemplate,
} from "../layout.js";
import { PARQUET_MAGIC } from "../record/other-formats.js";
import { isValidName } from "../schema/names.js";
import type { Store } from "../store/store.js";

export interface RawLayout {
  /** The template with {yyyy} {MM} {dd} {HH}, and the variable if there is one; relative to the store. */
  template: string;
  /** A level of folders that each have the same hour layout, such as android/ and ios/. */
  variable?: { name: string; values: string[] };
  /** Prefix of the newest hour (under the variable's first value). */
  newestPrefix: string;
  /** Prefixes beside it whose hours have another layout, and are not included. */
  others?: string[];
  /** Prefixes beside it that have data but no folders of hours. */
  hourless?: string[];
}

const RANGES: Record<HourPart, [number, number]> = {
  yyyy: [FIRST_YEAR, LAST_YEAR],
  MM: [1, 12],
  dd: [1, 31],
  HH: [0, 23],
};

/** How many levels of folders are searched between the prefix and the hours, and how many folders on each level. */
const DEPTH_MAX = 2;
const FOLDERS_MAX = 32;

/** The folders of raw prefixes in a store. */
export class RawFolders {
  private readonly store: Store;
  private readonly signal: AbortSignal | undefined;

  constructor(store: Store, signal?: AbortSignal) {
    this.store = store;
    this.signal = signal;
  }

  /**
   * Recognises hours in the names of folders, whatever surrounds the digits: `year=2022/month=07/day=26/hour=00/`,
   * Firehose's `2022/07/26/00/`, `dt=2022-07-26/hour=00/`. A prefix with Parquet files, by hourpack or others, is not raw.
   * Undefined if there are no hours.
   */
  async layout(prefix: string, depth = DEPTH_MAX): Promise<RawLayout | undefined> {
    const folders = await this.store.listPrefixes(prefix, { signal: this.signal });
    if (folders.includes(ownPrefix(prefix))) return undefined;
    const hours = await this.hoursUnder(prefix, HOUR_PARTS);
    if (hours && (await this.holdsParquet(hours.newestPrefix))) return undefined;
    if (hours) return { template: prefix + hours.template, newestPrefix: hours.newestPrefix };
    if (depth === 0) return undefined;
    const found: { folder: string; layout: RawLayout }[] = [];
    const without: string[] = [];
    for (const name of (await this.foldersUnder(prefix)).slice(0, FOLDERS_MAX)) {
      const layout = await this.layout(name, depth - 1);
      if (layout) found.push({ folder: name.slice(prefix.length, -1), layout });
      else without.push(name);
    }
    const [first] = found;
    if (!first) return undefined;
    const below = (one: { folder: string; layout: RawLayout }) =>
      one.layout.template.slice(prefix.length + one.folder.length + 1);
    const alike = found.filter((one) => !one.layout.variable && below(one) === below(first));
    // A value becomes part of the table's name.
    const canBeNamed = alike.every(({ folder }) => isValidName(folder.replace(/^\w+=/, "")));
    const [layout, taken] =
      alike.length > 1 && canBeNamed
        ? [withVariable(prefix, alike, below(first)), alike]
        : [first.layout, [first]];
    const others = found.filter((one) => !taken.includes(one)).map(({ folder }) => `${prefix}${folder}/`);
    const hourless = [...(layout.hourless ?? [])];
    for (const name of without) if (await this.mayHoldRecords(name)) hourless.push(name);
    return { ...layout, others: [...(layout.others ?? []), ...others], hourless };
  }

  /** The folder of the newest hour of the template; undefined if there is none. */
  async newestPrefix(raw: Pick<RawTemplate, "template">): Promise<string | undefined> {
    return (await this.spread(raw, 1))[0];
  }

  /** The range from the oldest to the newest folder of the template, by their names; `to` is exclusive. Undefined if there is none. */
  async range(raw: Pick<RawTemplate, "template">): Promise<{ from: Hour; to: Hour } | undefined> {
    const { base, levels } = levelsOf(raw);
    const folders = `${base}${levels.join("/")}/`;
    const oldest = await this.oldestUnder(base, levels);
    const newest = await this.newestPrefix(raw);
    const from = oldest === undefined ? undefined : hourOfRawPrefix(folders, oldest);
    const last = newest === undefined ? undefined : hourOfRawPrefix(folders, newest);
    return from && last && { from, to: addHours(last, folders.includes("{HH}") ? 1 : 24) };
  }

  /** At most `most` folders of hours, newest first, spread over all folders of the template without a look at each. */
  async spread(raw: Pick<RawTemplate, "template">, most: number): Promise<string[]> {
    const { base, levels } = levelsOf(raw);
    return this.spreadUnder(base, levels, { most, at: 0 });
  }

  /** Follows the newest folders whose names contain the parts of an hour, down to the last part. */
  private async hoursUnder(
    prefix: string,
    parts: readonly HourPart[],
  ): Promise<{ template: string; newestPrefix: string } | undefined> {
    const folders = (await this.foldersUnder(prefix)).reverse();
    for (const name of folders) {
      const level = generalise(name.slice(prefix.length, -1), parts);
      if (!level) continue;
      if (level.rest.length === 0) return { template: `${level.text}/`, newestPrefix: name };
      const deeper = await this.hoursUnder(name, level.rest);
      if (deeper) return { template: `${level.text}/${deeper.template}`, newestPrefix: deeper.newestPrefix };
    }
    return undefined;
  }

  private async foldersUnder(prefix: string): Promise<string[]> {
    const names = await this.store.listPrefixes(prefix, { signal: this.signal });
    return names.filter((name) => !/^[_.]/.test(name.slice(prefix.length))).sort();
  }

  private async oldestUnder(prefix: string, [level, ...deeper]: string[]): Promise<string | undefined> {
    if (level === undefined) return prefix;
    for (const name of await this.foldersOfLevel(prefix, level)) {
      const found = await this.oldestUnder(name, deeper);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The folders whose names fit the level, in the order of their names. */
  private async foldersOfLevel(prefix: string, level: string): Promise<string[]> {
    const pattern = levelPattern(level);
    const names = await this.foldersUnder(prefix);
    return names.filter((name) => pattern.test(name.slice(prefix.length, -1)));
  }

  /** `at` is where a single folder is taken from, 0 (the newest) to 1: otherwise all would be of the same hour of the day. */
  private async spreadUnder(
    prefix: string,
    levels: string[],
    { most, at }: { most: number; at: number },
  ): Promise<string[]> {
    const [level, ...deeper] = levels;
    if (level === undefined) return [prefix];
    const names = (await this.foldersOfLevel(prefix, level)).reverse();
    const first = Math.floor(at * names.length);
    // If one hour is wanted, all folders are tried until one has it.
    const chosen = most === 1 ? [...names.slice(first), ...names.slice(0, first)] : evenly(names, most);
    const found: string[] = [];
    for (const [i, name] of chosen.entries()) {
      if (found.length >= most) break;
      const share = {
        most: Math.ceil((most - found.length) / (chosen.length - i)),
        at: most === 1 ? at : i / chosen.length,
      };
      found.push(...(await this.spreadUnder(name, deeper, share)));
    }
    return found;
  }

  private async holdsParquet(prefix: string): Promise<boolean> {
    return PARQUET_MAGIC.equals(await this.beginningOf(prefix));
  }

  /** Whether the first object looks like JSON or gzip. */
  private async mayHoldRecords(prefix: string): Promise<boolean> {
    const beginning = await this.beginningOf(prefix);
    return /^(?:\s*[[{]|\x1f\x8b)/.test(beginning.toString("latin1"));
  }

  /** The first bytes of the first object that is long enough to be a file. Skips names that begin with `_` or `.`, such as `_hourpack/`. */
  private async beginningOf(prefix: string): Promise<Buffer> {
    for await (const page of this.store.list(prefix, { signal: this.signal })) {
      const object = page.find(
        ({ key, sizeBytes }) =>
          !/(^|\/)[_.]/.test(key.slice(prefix.length)) && sizeBytes > PARQUET_MAGIC.length,
      );
      if (!object) continue;
      const range = { start: 0, end: PARQUET_MAGIC.length };
      return this.store.get(object.key, { etag: object.etag, range, signal: this.signal });
    }
    return Buffer.alloc(0);
  }
}

/** Folders such as `platform=android` give a variable `platform`. Bare names such as `android` give one that we call `part`. */
function withVariable(
  prefix: string,
  found: { folder: string; layout: RawLayout }[],
  below: string,
): RawLayout {
  const folders = found.map(({ folder }) => folder);
  const key = /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(folders[0] ?? "")?.[1];
  const isHive = key !== undefined && folders.every((folder) => folder.startsWith(`${key}=`));
  const name = isHive ? key : "part";
  const lead = isHive ? `${key}=` : "";
  return {
    template: `${prefix}${lead}{${name}}/${below}`,
    variable: { name, values: folders.map((folder) => folder.slice(lead.length)) },
    newestPrefix: found[0]?.layout.newestPrefix ?? prefix,
  };
}

/** Turns `year=2022` into `year={yyyy}`, and returns the parts still to come. Undefined if the name has other digits, or none. */
export function generalise(
  folder: string,
  parts: readonly HourPart[],
): { text: string; rest: HourPart[] } | undefined {
  const rest = [...parts];
  let isPlain = true;
  const text = folder.replace(/\d+/g, (digits) => {
    let named = "";
    let position = 0;
    while (position < digits.length) {
      const [part] = rest;
      const piece = digits.slice(position, position + (part === "yyyy" ? 4 : 2));
      if (part === undefined || !fits(part, piece)) {
        isPlain = false;
        break;
      }
      rest.shift();
      named += `{${part}}`;
      position += piece.length;
    }
    return named;
  });
  return isPlain && rest.length < parts.length ? { text, rest } : undefined;
}

function fits(part: HourPart, digits: string): boolean {
  const [least, most] = RANGES[part];
  return digits.length === part.length && Number(digits) >= least && Number(digits) <= most;
}

/** At most `count` of the items, evenly spread from first to last. */
export function evenly<T>(items: T[], count: number): T[] {
  if (items.length <= count) return items;
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)] as T);
}
