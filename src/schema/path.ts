import { HourpackError } from "../errors.js";

/**
 * Where the records are in an object's JSON values. With `$`, each value is a record. With `Records[*]`, the
 * elements of that array are. Segments can be quoted: `"a.b"[*]`.
 */
export interface RecordPath {
  /** As configured: `$` or `Records[*]`. */
  text: string;
  /** Keys to walk before the array; empty for `$`. */
  keys: string[];
}

export const ROOT_PATH: RecordPath = { text: "$", keys: [] };

/** Reads `$`, `Records[*]`, `detail.items[*]` or `"a.b"[*]`. Throws `invalid`. */
export function parseRecordPath(text: string): RecordPath {
  if (text.trim() === "$") return ROOT_PATH;
  const path = /^(?:\$\.)?(.+)\[\*\]$/s.exec(text.trim());
  const keys = path && segmentsOf(path[1] as string);
  if (keys) return { text: text.trim(), keys };
  throw new HourpackError("invalid", `"${text}" is no record path`, {
    hint: 'Write $ where each JSON value is a record, or the array that holds them: Records[*], detail.items[*], "a.b"[*].',
  });
}

/**
 * Reads where a derived column's value is: `event_value.comic_id`, `"a.b".c`, or `^.logGroup` in the
 * envelope. Throws `invalid` for anything else.
 */
export function parseFromPath(text: string): { path: string[]; envelope: boolean } {
  const envelope = text.trim().startsWith("^.");
  const path = segmentsOf(envelope ? text.trim().slice(2) : text.trim());
  if (path) return { path, envelope };
  throw new HourpackError("invalid", `"${text}" is no path into a record`, {
    hint: 'Write keys with dots between them, quoted where they hold one: event_value.comic_id, "a.b".c, ^.logGroup.',
  });
}

/** Writes a path as `parseFromPath` reads it. */
export function fromPathText(path: readonly string[], envelope = false): string {
  const segments = path.map((key) => (/^[^".[\]\s^]+$/.test(key) ? key : JSON.stringify(key)));
  return (envelope ? "^." : "") + segments.join(".");
}

/** Keys separated by dots, each bare or a JSON string; undefined if the text is something else. */
function segmentsOf(text: string): string[] | undefined {
  const segment = /"((?:[^"\\]|\\.)*)"|([^".[\]\s]+)/y;
  const keys: string[] = [];
  for (let position = 0; ; position++) {
    segment.lastIndex = position;
    const match = segment.exec(text);
    if (!match) return undefined;
    const key = match[2] ?? stringOf(`"${match[1]}"`);
    if (key === undefined) return undefined;
    keys.push(key);
    position = segment.lastIndex;
    if (position === text.length) return keys;
    if (text[position] !== ".") return undefined;
  }
}

function stringOf(json: string): string | undefined {
  try {
    return JSON.parse(json) as string;
  } catch {
    return undefined;
  }
}
