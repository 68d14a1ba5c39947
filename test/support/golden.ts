/** Reads and compares the folders of `fixtures/cases`. Their format is in fixtures/README.md. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { addHours, type Hour } from "../../src/hour.js";
import type { Cell, Row } from "./readers.js";

const CASES_DIR = fileURLToPath(new URL("../../fixtures/cases", import.meta.url));
export const FIRST_HOUR = "2022-07-26T00" as Hour;

interface ExpectedPiece {
  /** Relative to the hour's prefix. */
  key: string;
  offset: number;
  sizeBytes: number;
  /** A case-insensitive regular expression; any reason matches if absent. */
  reason?: string;
  text?: string;
  base64?: string;
}

export interface CaseHour {
  /** `00`, `01`, … */
  name: string;
  hour: Hour;
  objectsDir: string;
  rows: Row[];
  quarantine: ExpectedPiece[];
  /** `name type` in Hive's notation, without `_rescued_data`. */
  schema?: string[];
  /** Receives wrong output, for a person to compare with what is expected. */
  actualDir: string;
}

export interface GoldenCase {
  name: string;
  dir: string;
  rule: string;
  /** The dataset's options: records, unknown, zone, columns. */
  dataset: Record<string, unknown>;
  hours: CaseHour[];
}

export function caseNames(): string[] {
  return readdirSync(CASES_DIR, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Reads a case. Throws if the folder is incomplete: a case without expected rows shows nothing. */
export function readCase(name: string): GoldenCase {
  const dir = join(CASES_DIR, name);
  const { rule, dataset } = parse(readFileSync(join(dir, "case.yaml"), "utf8")) as {
    rule?: string;
    dataset?: Record<string, unknown>;
  };
  if (!rule || !dataset) throw new Error(`${dir}/case.yaml must have a rule and a dataset`);
  const entries = readdirSync(join(dir, "objects"), { withFileTypes: true });
  const isSplit = entries.every((entry) => entry.isDirectory() && /^\d\d$/.test(entry.name));
  const names = isSplit ? entries.map((entry) => entry.name).sort() : ["00"];
  const hours = names.map((hourName, i) => {
    const at = (folder: string) => join(dir, folder, isSplit ? hourName : "");
    const schemaPath = join(at("expected"), "schema.json");
    return {
      name: hourName,
      hour: addHours(FIRST_HOUR, i),
      objectsDir: at("objects"),
      rows: readRows(join(at("expected"), "rows.ndjson")),
      quarantine: existsSync(join(at("expected"), "quarantine.ndjson"))
        ? readNdjson<ExpectedPiece>(join(at("expected"), "quarantine.ndjson"))
        : [],
      schema: existsSync(schemaPath) ? (JSON.parse(readFileSync(schemaPath, "utf8")) as string[]) : undefined,
      actualDir: at("actual"),
    };
  });
  return { name, dir, rule, dataset, hours };
}

export interface ActualPiece extends ExpectedPiece {
  reason: string;
  etag: string;
}

/** What is missing and what is unexpected, compared as multisets. */
export function differences<T>(expected: T[], actual: T[], textOf: (item: T) => string): string[] {
  const counts = new Map<string, number>();
  for (const item of expected) counts.set(textOf(item), (counts.get(textOf(item)) ?? 0) + 1);
  for (const item of actual) counts.set(textOf(item), (counts.get(textOf(item)) ?? 0) - 1);
  return [...counts].flatMap(([text, count]) => [
    ...Array<string>(Math.max(0, count)).fill(`- ${text}`),
    ...Array<string>(Math.max(0, -count)).fill(`+ ${text}`),
  ]);
}

/** A row as text that does not depend on the order of its columns or of a map's keys. */
export function textOfRow(row: Row): string {
  return JSON.stringify(sorted(row));
}

function sorted(cell: Cell): Cell {
  if (cell === null || typeof cell !== "object") return cell;
  if (Array.isArray(cell)) return cell.map(sorted);
  return Object.fromEntries(
    Object.keys(cell)
      .sort()
      .map((key) => [key, sorted(cell[key] ?? null)]),
  );
}

/** A quarantined piece without its ETag, and without its reason, which is compared as a pattern. */
export function textOfPiece({ key, offset, sizeBytes, text, base64 }: ExpectedPiece): string {
  return JSON.stringify({ key, offset, sizeBytes, text, base64 });
}

/** Pieces whose reason is empty or not the expected one. */
export function wrongReasons(expected: ExpectedPiece[], actual: ActualPiece[]): string[] {
  return actual.flatMap((piece) => {
    const wanted = expected.find((candidate) => textOfPiece(candidate) === textOfPiece(piece))?.reason ?? ".";
    return new RegExp(wanted, "i").test(piece.reason)
      ? []
      : [`${textOfPiece(piece)}: "${piece.reason}" does not match /${wanted}/`];
  });
}

/** Writes an hour's output beside what was expected, in the expected order as far as the two agree. */
export function writeActual(hour: CaseHour, rows: Row[], quarantine: ActualPiece[], schema: string[]): void {
  mkdirSync(hour.actualDir, { recursive: true });
  const write = (name: string, text: string) => writeFileSync(join(hour.actualDir, name), text);
  write("rows.ndjson", ndjson(inOrderOf(hour.rows, rows, textOfRow)));
  write("quarantine.ndjson", ndjson(inOrderOf(hour.quarantine, quarantine, textOfPiece)));
  write("schema.json", `${JSON.stringify(schema, null, 2)}\n`);
}

export function clearActual(golden: GoldenCase): void {
  rmSync(join(golden.dir, "actual"), { recursive: true, force: true });
}

function inOrderOf<T, U extends T>(expected: T[], actual: U[], textOf: (item: T) => string): U[] {
  const places = new Map(expected.map((item, i) => [textOf(item), i]));
  const placeOf = (item: U) => places.get(textOf(item)) ?? expected.length;
  return [...actual].sort((a, b) => placeOf(a) - placeOf(b));
}

/** Reads expected rows. Each must name every column and `_rescued_data`: a forgotten one would weaken the case. */
function readRows(path: string): Row[] {
  const rows = readNdjson<Row>(path);
  const columnsOf = (row: Row) => Object.keys(row).sort().join();
  for (const row of rows) {
    if (row["_rescued_data"] === undefined || columnsOf(row) !== columnsOf(rows[0] ?? row)) {
      throw new Error(`${path}: a row lacks a column, or _rescued_data: ${JSON.stringify(row)}`);
    }
  }
  return rows;
}

function readNdjson<T>(path: string): T[] {
  return linesOf(readFileSync(path, "utf8")).map((line) => JSON.parse(line) as T);
}

export function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function ndjson(items: unknown[]): string {
  return items.map((item) => `${JSON.stringify(item)}\n`).join("");
}
