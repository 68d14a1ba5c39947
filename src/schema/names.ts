/**
 * Names that Athena takes: lower case letters, digits and underscores, at most 255 characters.
 * Source: Athena user guide, "Name databases, tables, and columns".
 */
import { PARTITION_KEYS, RESCUED_COLUMN } from "./types.js";

const NAME_LENGTH_MAX = 255;

export function isValidName(name: string): boolean {
  return /^[a-z0-9_]+$/.test(name) && name.length <= NAME_LENGTH_MAX && name !== UNREADABLE_NAME;
}

/** Readers make a JavaScript object of a struct, and such an object takes no member of this name. */
const UNREADABLE_NAME = "__proto__";

/** A name for this key: folded, with an underscore for each run of other characters. */
export function toColumnName(key: string): string {
  const name = key
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "_")
    .slice(0, NAME_LENGTH_MAX);
  if (name === UNREADABLE_NAME) return "proto";
  return name === "" || /^_+$/.test(name) ? "column" : name;
}

/** Names that a data column cannot have. */
export const TAKEN_NAMES: readonly string[] = [...PARTITION_KEYS, RESCUED_COLUMN];

/** A name for each key, in order. If a name is taken, the key gets the first free suffix `_2`, `_3`, … */
export function uniqueNames(keys: readonly string[], taken: Iterable<string>): string[] {
  const used = new Set(taken);
  return keys.map((key) => {
    const base = toColumnName(key);
    let name = base;
    for (let count = 2; used.has(name); count++) {
      const suffix = `_${count}`;
      name = base.slice(0, NAME_LENGTH_MAX - suffix.length) + suffix;
    }
    used.add(name);
    return name;
  });
}

/**
 * A name in DDL. Backticks work for reserved words and for names that begin with a digit or an underscore.
 */
export function quoteHive(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

/** ASCII case folding. Keys repeat from record to record, so their folded form is cached. */
export function fold(key: string): string {
  let folded = foldedKeys.get(key);
  if (folded === undefined) {
    folded = /[A-Z]/.test(key) ? key.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : key;
    if (foldedKeys.size < FOLDED_KEYS_MAX) foldedKeys.set(key, folded);
  }
  return folded;
}

const foldedKeys = new Map<string, string>();
const FOLDED_KEYS_MAX = 10_000;
