/** Rows as a table for people. */
import { require } from "../require.js";
import { counted } from "../words.js";
import type { Output } from "./output.js";
import { padded, screenWidth, startWithin } from "./width.js";

export interface TableColumn {
  name: string;
  /** Aligned to the right, and never cut. */
  isNumber?: boolean;
  /** Never cut, such as an hour. */
  isWhole?: boolean;
  /** Never cut either: it continues on further lines. */
  isWrapped?: boolean;
  /**
   * A narrow terminal leaves out columns with this rank first, the lowest before the others, then the last
   * columns.
   */
  spare?: number;
}

interface TableOptions {
  /** Columns that do not fit go into further tables, beside the first column, and nothing is left out. */
  goesOn?: boolean;
}

/** Fits a table to a terminal, and says what it does not show. For a program the table is whole. */
export function showTable(
  columns: TableColumn[],
  rows: unknown[][],
  output: Output,
  { goesOn = false }: TableOptions = {},
): void {
  const { isTTY, columns: terminalChars } = output.stdout;
  const width = isTTY ? terminalChars : undefined;
  const charsMaxOf = ({ isWrapped }: TableColumn) =>
    width === undefined || isWrapped ? PIPED_CELL_CHARS_MAX : CELL_CHARS_MAX;
  let left = columns.map((column, i) => laidOut(column, rows, i, charsMaxOf(column)));
  for (;;) {
    const shown = width === undefined ? left : fitting(left, width);
    output.line(table(width === undefined ? left.map(piped) : narrowed(shown, width), output.colors.bold));
    const others = left.filter((column) => !shown.includes(column));
    if (others.length === 0) return;
    if (!goesOn || shown.length === 1) {
      const words = `${shown.length} of ${counted(left.length, "column")} fit the terminal; --json has all`;
      output.line(output.colors.dim(words));
      return;
    }
    left = [...left.slice(0, 1), ...others];
  }
}

/**
 * Cuts nothing and leaves nothing out. If a table would not fit the terminal, each row is a record with a
 * line per column, like psql's `\x auto`. The terminal breaks the lines, so that what is copied from it is
 * whole. A program gets records, too, if a value would make every line of a table as long as itself.
 */
export function showWhole(columns: TableColumn[], rows: unknown[][], output: Output): void {
  const { isTTY, columns: terminalChars } = output.stdout;
  const { bold, dim } = output.colors;
  const whole = columns.map((column, i) => laidOut(column, rows, i, Number.POSITIVE_INFINITY));
  const fits =
    isTTY && terminalChars !== undefined
      ? widthOf(whole, Number.POSITIVE_INFINITY) <= terminalChars
      : whole.every(({ chars }) => chars <= PIPED_CELL_CHARS_MAX);
  if (fits) {
    output.dataLine(table(whole, bold));
    return;
  }
  const nameChars = Math.min(NAME_CHARS_MAX, Math.max(...columns.map(({ name }) => screenWidth(name))));
  for (const i of rows.keys()) {
    output.line(dim(`─[ row ${i + 1} ]`.padEnd(RULE_CHARS, "─")));
    for (const { name, cells } of whole) output.dataLine(`${bold(padded(name, nameChars))} │ ${cells[i]}`);
  }
}

/** A longer name moves only its own line. */
const NAME_CHARS_MAX = 30;
const RULE_CHARS = 40;

interface LaidOut extends TableColumn {
  cells: string[];
  /** The length of the longest of its name and its cells. */
  chars: number;
}

function laidOut(column: TableColumn, rows: unknown[][], i: number, charsMax: number): LaidOut {
  const cells = rows.map((row) => cut(cellText(row[i]), charsMax));
  const chars = cells.reduce((most, cell) => Math.max(most, screenWidth(cell)), screenWidth(column.name));
  return { ...column, cells, chars };
}

function table(columns: LaidOut[], paint: (header: string) => string): string {
  const Table = require("cli-table3") as typeof import("cli-table3");
  const made = new Table({
    head: columns.map(({ name }) => paint(name)),
    colAligns: columns.map(({ isNumber }) => (isNumber ? "right" : "left")),
    style: { head: [], border: [], compact: true },
    chars: FRAME,
  });
  for (const i of columns[0]?.cells.keys() ?? []) made.push(columns.map(({ cells }) => cells[i] ?? ""));
  return made.toString();
}

/** A text in a terminal is not cut shorter than this. */
const CELL_CHARS_MIN = 8;
/** Nor is it broken into lines that are shorter than a range of hours needs. */
const WRAPPED_CHARS_MIN = "2022-07-26T00 to".length;
/** A border and two spaces. */
const BETWEEN = 3;

/** The columns that a terminal has room for if all texts are cut as short as can be; at least one. */
function fitting(columns: LaidOut[], width: number): LaidOut[] {
  const shown = [...columns];
  while (shown.length > 1 && widthOf(shown, CELL_CHARS_MIN) > width) {
    const ranks = shown.map(({ spare }) => spare ?? Number.POSITIVE_INFINITY);
    shown.splice(ranks.lastIndexOf(Math.min(...ranks)), 1);
  }
  return shown;
}

/** Cuts the longest texts, or breaks them into lines, until the table is no wider than the terminal. */
function narrowed(columns: LaidOut[], width: number): LaidOut[] {
  let most = Math.max(CELL_CHARS_MIN, ...columns.map(({ chars }) => chars));
  while (most > CELL_CHARS_MIN && widthOf(columns, most) > width) most--;
  return columns.map((column) => {
    const chars = charsAt(column, most);
    const within = column.isWrapped ? wrapped : cut;
    return {
      ...column,
      name: cut(column.name, chars),
      cells: column.cells.map((text) => within(text, chars)),
    };
  });
}

/** Breaks sentences here, too: otherwise each line of the table would be as long as the longest. */
function piped(column: LaidOut): LaidOut {
  if (!column.isWrapped) return column;
  return { ...column, cells: column.cells.map((text) => wrapped(text, PIPED_WRAPPED_CHARS)) };
}

function widthOf(columns: LaidOut[], most: number): number {
  return columns.reduce((sum, column) => sum + charsAt(column, most) + BETWEEN, 1);
}

function charsAt({ isNumber, isWhole, isWrapped, chars }: LaidOut, most: number): number {
  if (isNumber || isWhole) return chars;
  return Math.min(chars, isWrapped ? Math.max(most, WRAPPED_CHARS_MIN) : most);
}

/** Breaks between words; inside a word only if it alone is longer. */
function wrapped(text: string, chars: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (screenWidth(longer) <= chars) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    for (line = word; screenWidth(line) > chars; ) {
      const start = startWithin(line, chars);
      lines.push(start);
      line = line.slice(start.length);
    }
  }
  return [...lines, line].join("\n");
}

function cut(text: string, chars: number): string {
  return startWithin(text, chars) === text ? text : `${startWithin(text, chars - 1)}…`;
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
const PIPED_WRAPPED_CHARS = 60;

/** Shows a cell's control characters instead of sending them. */
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
