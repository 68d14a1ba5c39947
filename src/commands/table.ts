/** Rows as a table for people. */
import Table from "cli-table3";

export interface TableColumn {
  name: string;
  isNumber?: boolean;
}

/** Light rules in the terminal's width are left to the terminal; a cell's control characters are shown, not sent. */
export function table(
  columns: TableColumn[],
  rows: unknown[][],
  paint: (header: string) => string = String,
): string {
  const made = new Table({
    head: columns.map(({ name }) => paint(name)),
    colAligns: columns.map(({ isNumber }) => (isNumber ? "right" : "left")),
    style: { head: [], border: [], compact: true },
    chars: FRAME,
  });
  for (const row of rows) made.push(row.map(cellText));
  return made.toString();
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

function cellText(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  const text =
    typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
  const plain = text.replace(/[\x00-\x1f\x7f-\x9f]/g, escaped);
  return plain.length > CELL_CHARS_MAX ? `${plain.slice(0, CELL_CHARS_MAX - 1)}…` : plain;
}

function escaped(char: string): string {
  const code = char.charCodeAt(0);
  return code < 0x20 ? JSON.stringify(char).slice(1, -1) : `\\u${code.toString(16).padStart(4, "0")}`;
}
