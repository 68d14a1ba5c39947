/** Rows as a table for people. */
import { require } from "../require.js";
import type { Output } from "./output.js";

export interface TableColumn {
  name: string;
  /** To the right, and never cut. */
  isNumber?: boolean;
  /** Never cut, such as an hour. */
  isWhole?: boolean;
}

/** Fitted to a terminal; whole where it is read by a program. Returns how many of the columns are shown. */
export function showTable(columns: TableColumn[], rows: unknown[][], output: Output): number {
  const { isTTY, columns: width } = output.stdout;
  const fitted = fitToWidth(columns, rows, isTTY ? width : undefined);
  output.line(table(fitted.columns, fitted.rows, output.colors.bold));
  return fitted.columns.length;
}

function table(columns: TableColumn[], rows: string[][], paint: (header: string) => string): string {
  const Table = require("cli-table3") as typeof import("cli-table3");
  const made = new Table({
    head: columns.map(({ name }) => paint(name)),
    colAligns: columns.map(({ isNumber }) => (isNumber ? "right" : "left")),
    style: { head: [], border: [], compact: true },
    chars: FRAME,
  });
  for (const row of rows) made.push(row);
  return made.toString();
}

/** A text in a terminal is not cut shorter than this. */
const CELL_CHARS_MIN = 8;
/** A border and two spaces. */
const BETWEEN = 3;

/**
 * The longest texts cut until a table is no wider than the terminal, and where that does not help the first columns
 * alone. All as it is where no width is given.
 */
function fitToWidth(
  columns: TableColumn[],
  rows: unknown[][],
  width: number | undefined,
): { columns: TableColumn[]; rows: string[][] } {
  const charsMax = width === undefined ? PIPED_CELL_CHARS_MAX : CELL_CHARS_MAX;
  const texts = rows.map((row) => row.map((cell) => cut(cellText(cell), charsMax)));
  if (width === undefined) return { columns, rows: texts };
  const natural = columns.map(({ name }, i) =>
    texts.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), name.length),
  );
  const charsAt = (most: number, i: number) =>
    columns[i]?.isNumber || columns[i]?.isWhole ? (natural[i] ?? 0) : Math.min(natural[i] ?? 0, most);
  const widthOf = (shown: number, most: number) =>
    natural.slice(0, shown).reduce((sum, _, i) => sum + charsAt(most, i) + BETWEEN, 1);
  let shown = columns.length;
  while (shown > 1 && widthOf(shown, CELL_CHARS_MIN) > width) shown--;
  let most = Math.max(CELL_CHARS_MIN, ...natural);
  while (most > CELL_CHARS_MIN && widthOf(shown, most) > width) most--;
  return {
    columns: columns
      .slice(0, shown)
      .map((column, i) => ({ ...column, name: cut(column.name, charsAt(most, i)) })),
    rows: texts.map((row) => row.slice(0, shown).map((text, i) => cut(text, charsAt(most, i)))),
  };
}

function cut(text: string, chars: number): string {
  return text.length > chars ? `${text.slice(0, chars - 1)}…` : text;
}

const FRAME = {
  top: "─",
  "top-mid": "┬",
  "top-left": "┌",
  "top-right": "┐",
  bottom: "─",
  "bottom-mid": "┴",
  "bottom-left": "└",
  "bottom-right": "┘",
  left: "│",
  "left-mid": "├",
  mid: "─",
  "mid-mid": "┼",
  right: "│",
  "right-mid": "┤",
  middle: "│",
};

const CELL_CHARS_MAX = 80;
/** All lines are as long as the longest, which may be a record of megabytes. */
const PIPED_CELL_CHARS_MAX = 1_000;

/** A cell's control characters are shown, not sent. */
function cellText(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  const text =
    typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, escaped);
}

function escaped(char: string): string {
  const code = char.charCodeAt(0);
  return code < 0x20 ? JSON.stringify(char).slice(1, -1) : `\\u${code.toString(16).padStart(4, "0")}`;
}
