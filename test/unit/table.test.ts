import { describe, expect, it } from "vitest";
import { Output } from "../../src/commands/output.js";
import { type Answer, showRows } from "../../src/commands/query.js";

const NAMES = Array.from({ length: 12 }, (_, i) => `column_with_a_long_name_${i}`);
const WIDE = {
  columns: [{ name: "id", type: "BIGINT" }, ...NAMES.map((name) => ({ name, type: "VARCHAR" }))],
  rows: [{ id: 1234567890123, ...Object.fromEntries(NAMES.map((name) => [name, "x".repeat(60)])) }],
};
const TWO = { columns: WIDE.columns.slice(0, 3), rows: WIDE.rows };

/** What is printed, line by line. */
function printed(
  answer: Pick<Answer, "columns" | "rows">,
  terminal: { columns?: number } | undefined,
): string[] {
  let text = "";
  const write = (piece: string | Uint8Array) => {
    text += piece;
    return true;
  };
  const stdout = { write, ...(terminal ? { isTTY: true, ...terminal } : {}) };
  showRows({ ...answer, rowCount: answer.rows.length }, new Output({ json: false, stdout }));
  return text
    .replace(/\x1b\[\d+m/g, "")
    .trimEnd()
    .split("\n");
}

describe("a table of rows", () => {
  it("is as wide as its cells where no terminal shows it", () => {
    const lines = printed(WIDE, undefined);
    expect(lines[3]).toContain("x".repeat(60));
    expect(lines[1]).toContain(NAMES.at(-1));
    expect(lines.at(-1)).toBe("1 row");
  });

  it("shows a long text whole to a program, and does not let one of a megabyte make every line as long", () => {
    const long = (chars: number) => ({ columns: [{ name: "type" }], rows: [{ type: "x".repeat(chars) }] });
    expect(printed(long(900), undefined)[3]).toBe(`│ ${"x".repeat(900)} │`);
    expect(printed(long(1_000_000), undefined)[3]?.length).toBe(1_004);
    expect(printed(long(900), { columns: 200 })[3]?.length).toBe(84);
  });

  it("has its texts cut to a terminal's width, and its numbers whole", () => {
    const lines = printed(TWO, { columns: 70 });
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(70);
    expect(lines[0]?.length).toBeGreaterThanOrEqual(68);
    expect(lines[3]).toContain("1234567890123");
    expect(lines[3]).toMatch(/x+… │ x+…/);
    expect(lines.at(-1)).toBe("1 row");
  });

  it("leaves out the last columns where even that is too wide, and says so", () => {
    const lines = printed(WIDE, { columns: 70 });
    for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(70);
    expect(lines.at(-1)).toBe("1 row; 5 of 13 columns fit the terminal; --json has all");
  });

  it("has one column at least, however narrow the terminal", () => {
    expect(printed(WIDE, { columns: 5 })[3]).toContain("1234567890123");
  });
});
