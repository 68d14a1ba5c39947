/** JSON values to compact JSON. */
import { isBlank, skipBlank } from "./blank.js";
import { JsonDamage, JsonNumber, JsonText, type JsonValue } from "./json.js";

/** Numbers keep their own text. Throws JsonDamage for NaN and Infinity, which JSON cannot write. */
export function writeJson(value: JsonValue): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof JsonNumber) {
    if (!value.isFinite) throw notFinite(value.text);
    return value.text;
  }
  if (value instanceof JsonText) return compacted(value.text, value.span.start, value.span.end);
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  return `{${value.keys.map((key, i) => `${JSON.stringify(key)}:${writeJson(value.values[i] ?? null)}`).join(",")}}`;
}

function notFinite(text: string): JsonDamage {
  return new JsonDamage(`${text} outside a double column`);
}

/**
 * What `writeJson` makes of the value in this stretch, without parsing it. Drops white space and trailing
 * commas, rewrites strings that have escapes, and copies everything else.
 */
function compacted(text: string, start: number, end: number): string {
  const copy = new Copy(text, start);
  let position = start;
  while (position < end) {
    const unit = text.charCodeAt(position);
    if (unit === 0x22) position = string(copy, text, position);
    else if (unit === 0x2c) position = comma(copy, text, position);
    else if (isBlank(unit)) {
      const next = skipBlank(text, position);
      copy.replace(position, next, "");
      position = next;
    } else if (unit === 0x4e || unit === 0x49) throw notFinite(nonFiniteAt(text, position));
    else position++;
  }
  return copy.upTo(end);
}

/** Passes over the string that begins at `start`. Returns the place after it. */
function string(copy: Copy, text: string, start: number): number {
  let position = start + 1;
  let hasEscapes = false;
  for (let unit = text.charCodeAt(position); unit !== 0x22; unit = text.charCodeAt(position)) {
    if (unit === 0x5c) {
      hasEscapes = true;
      position++;
    }
    position++;
  }
  position++;
  if (hasEscapes) copy.replace(start, position, JSON.stringify(JSON.parse(text.slice(start, position))));
  return position;
}

/** Drops a comma before a closing bracket. */
function comma(copy: Copy, text: string, position: number): number {
  const next = skipBlank(text, position + 1);
  const close = text.charCodeAt(next);
  if (close === 0x5d || close === 0x7d) copy.replace(position, next, "");
  else copy.replace(position + 1, next, "");
  return next;
}

function nonFiniteAt(text: string, position: number): string {
  if (text[position] === "N") return "NaN";
  return text[position - 1] === "-" ? "-Infinity" : "Infinity";
}

/** A text that is copied in stretches, some of which are replaced. */
class Copy {
  private readonly text: string;
  private from: number;
  private pieces: string[] = [];
  private readonly joined: string[] = [];

  constructor(text: string, from: number) {
    this.text = text;
    this.from = from;
  }

  replace(start: number, end: number, piece: string): void {
    if (end === start) return;
    if (start > this.from) this.pieces.push(this.text.slice(this.from, start));
    if (piece !== "") this.pieces.push(piece);
    this.from = end;
    // Millions of small pieces would take more memory than the text.
    if (this.pieces.length < PIECES_MAX) return;
    this.joined.push(this.pieces.join(""));
    this.pieces = [];
  }

  upTo(end: number): string {
    this.pieces.push(this.text.slice(this.from, end));
    return [...this.joined, ...this.pieces].join("");
  }
}

const PIECES_MAX = 10_000;
