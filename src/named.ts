/** Counts objects and keeps the names of the first few. */
import { listed } from "./words.js";

export interface Named {
  count: number;
  keys: string[];
}

const KEYS_MAX = 20;
const KEYS_IN_A_SENTENCE = 3;

export function noneNamed(): Named {
  return { count: 0, keys: [] };
}

export function note(named: Named, key: string): void {
  named.count++;
  if (named.keys.length < KEYS_MAX) named.keys.push(key);
}

/** `a, b, c and 4 more` */
export function keysOf({ count, keys }: Named): string {
  return listed(keys, KEYS_IN_A_SENTENCE, count);
}
