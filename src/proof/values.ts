/** JSON values as the proof has them. They keep what JavaScript's own would lose. */
import type { Unread } from "./json.js";

/** A number by its text; also `NaN`, `Infinity` and `-Infinity`, which some producers write. */
export class Num {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  get isFinite(): boolean {
    const last = this.text.charCodeAt(this.text.length - 1);
    return last >= 0x30 && last <= 0x39;
  }
}

/** An object as it stands: members in order, repeated keys included. */
export class Obj {
  readonly keys: string[] = [];
  readonly values: Json[] = [];

  set(key: string, value: Json): this {
    this.keys.push(key);
    this.values.push(value);
    return this;
  }
}

/** A timestamp from a column. Its instant is known, its text is not. */
export class Instant {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
}

/** A date from a column, in days since 1970. */
export class Day {
  readonly days: number;
  constructor(days: number) {
    this.days = days;
  }
}

export type Json = null | boolean | string | Num | Obj | Json[] | Instant | Day | Unread;

/** Folds only ASCII letters, as keys are matched with columns. */
export function fold(key: string): string {
  return /[A-Z]/.test(key) ? key.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : key;
}
