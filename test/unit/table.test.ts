import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import { picture } from "../../src/commands/bars.js";
import { Output } from "../../src/commands/output.js";
import { type Answer, showRows } from "../../src/commands/query.js";
import { showTable, type TableColumn } from "../../src/commands/table.js";

const NAMES = Array.from({ length: 12 }, (_, i) => `column_with_a_long_name_${i}`);
const WIDE = {
  columns: [{ name: "id", type: "BIGINT" }, ...NAMES.map((name) => ({ name, type: "VARCHAR" }))],
  rows: [{ id: 1234567890123, ...Object.fromEntries(NAMES.map((name) => [name, "x".repeat(60)])) }],
};

function printed(
  answer: Pick<Answer, "columns" | "rows">,
  terminal: { columns?: number } | undefined,
): string[] {
  return linesOf(terminal, (output) => showRows({ ...answer, rowCount: answer.rows.length }, output));
}

/** What is printed, line by line. */
function linesOf(terminal: { columns?: number } | undefined, show: (output: Output) => void): string[] {
  let text = "";
  const write = (piece: string | Uint8Array) => {
    text += piece;
    return true;
  };
  const stdout = { write, ...(terminal ? { isTTY: true, ...terminal } : {}) };
  show(new Output({ json: false, stdout }));
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

  it("shows a long text whole, and does not let one of a megabyte make every line as long", () => {
    const columns = [{ name: "type" }, { name: "n", type: "BIGINT" }];
    const long = (chars: number) => ({ columns, rows: [{ type: "x".repeat(chars), n: 1 }, { n: 2 }] });
    expect(printed(long(900), undefined)[3]).toBe(`│ ${"x".repeat(900)} │ 1 │`);
    expect(printed(long(900), { columns: 908 })[3]).toBe(`│ ${"x".repeat(900)} │ 1 │`);
    for (const [chars, terminal] of [
      [900, { columns: 907 }],
      [1_000_000, undefined],
    ] as const)
      expect(printed(long(chars), terminal)).toEqual([
        "─[ row 1 ]──────────────────────────────",
        `type │ ${"x".repeat(chars)}`,
        "n    │ 1",
        "─[ row 2 ]──────────────────────────────",
        "type │ NULL",
        "n    │ 2",
        "2 rows",
      ]);
  });

  it("has neither rows nor records where there are none, and names that are longer than others move no other line", () => {
    const columns = [{ name: "a" }, { name: "b".repeat(80) }];
    expect(printed({ columns, rows: [] }, { columns: 70 })).toEqual(["0 rows"]);
    const lines = printed({ columns, rows: [{ a: 1 }] }, { columns: 70 });
    expect(lines.slice(1, 3)).toEqual([`${"a".padEnd(30)} │ 1`, `${"b".repeat(80)} │ NULL`]);
  });

  const { columns: heads } = WIDE;
  const cut = (count: number, columns: number) =>
    linesOf({ columns }, (output) => {
      const cells = WIDE.rows.map((row) => Object.values(row).slice(0, count));
      showTable(
        heads.slice(0, count).map(({ name, type }) => ({ name, isNumber: type === "BIGINT" })),
        cells,
        output,
      );
    });

  it("that is no answer has its texts cut to a terminal's width, and its numbers whole", () => {
    const lines = cut(3, 70);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(70);
    expect(lines[0]?.length).toBeGreaterThanOrEqual(68);
    expect(lines[3]).toContain("1234567890123");
    expect(lines[3]).toMatch(/x+… │ x+…/);
  });

  it("leaves out the last columns where even that is too wide, and says so", () => {
    const lines = cut(13, 70);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(70);
    expect(lines.at(-1)).toBe("5 of 13 columns fit the terminal; --json has all");
  });

  it("has one column at least, however narrow the terminal", () => {
    expect(cut(13, 5)[3]).toContain("1234567890123");
  });

  const COLUMNS: TableColumn[] = [
    { name: "hour", isWhole: true },
    { name: "why", isWrapped: true },
    { name: "objects", isNumber: true, spare: 2 },
    { name: "bytes", isNumber: true, spare: 1 },
  ];
  const WHY = "2 of its 3 objects are gone and others were overwritten a-name-that-is-longer-than-a-line";
  const ROWS = [["2022-07-26T00", WHY, "1,000", "123 MB"]];
  const shownAt = (columns: number, options = {}) =>
    linesOf({ columns }, (output) => showTable(COLUMNS, ROWS, output, options));

  it("leaves out what can be spared first, and says that, too", () => {
    expect(shownAt(60)[1]).toMatch(/ hour .* why .* objects .* bytes /);
    expect(shownAt(52)[1]).toMatch(/ hour .* why .* objects +│$/);
    expect(shownAt(52).at(-1)).toBe("3 of 4 columns fit the terminal; --json has all");
    expect(shownAt(40)[1]).toMatch(/ hour .* why +│$/);
    expect(shownAt(40).at(-1)).toBe("2 of 4 columns fit the terminal; --json has all");
  });

  it("breaks a text that must not be cut between its words, and a word where it alone is too long", () => {
    const lines = shownAt(40);
    for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(40);
    const pieces = lines.slice(3, -2).map((line) => line.split("│")[2]?.trim());
    expect(pieces).toEqual([
      "2 of its 3 objects",
      "are gone and others",
      "were overwritten",
      "a-name-that-is-longe",
      "r-than-a-line",
    ]);
  });

  it("breaks it where no terminal shows it, too: each line of the table would be as long", () => {
    const lines = linesOf(undefined, (output) => showTable(COLUMNS, ROWS, output));
    expect(lines.slice(3, -1).map((line) => line.split("│").map((cell) => cell.trim()))).toEqual([
      ["", "2022-07-26T00", "2 of its 3 objects are gone and others were overwritten", "1,000", "123 MB", ""],
      ["", "", "a-name-that-is-longer-than-a-line", "", "", ""],
    ]);
  });

  it("goes on in further tables where nothing is to be left out", () => {
    const lines = shownAt(52, { goesOn: true });
    const heads = lines.filter((line) => line.includes("hour"));
    expect(heads.map((head) => head.match(/\w+/g))).toEqual([
      ["hour", "why", "objects"],
      ["hour", "bytes"],
    ]);
    expect(lines.join()).not.toContain("fit the terminal");
  });
});

describe("letters that take two columns of a terminal, or none", () => {
  const WIDE_TEXT = "東京の時間";
  const COMBINED = "e\u0301te\u0301";

  it("are cut where the terminal ends, and make no column wider than they are", () => {
    const columns: TableColumn[] = [{ name: "a" }, { name: "b" }];
    const rows = [[WIDE_TEXT.repeat(10), COMBINED]];
    const lines = linesOf({ columns: 40 }, (output) => showTable(columns, rows, output));
    expect(lines.map((line) => stringWidth(line))).toEqual(lines.map(() => stringWidth(lines[0] ?? "")));
    expect(stringWidth(lines[0] ?? "")).toBeLessThanOrEqual(40);
    expect(lines[3]).toMatch(/^│ (東京の時間)+\S*… │ e\u0301te\u0301 │$/);
  });

  it("go on in further lines that are no longer than others", () => {
    const columns: TableColumn[] = [
      { name: "hour", isWhole: true },
      { name: "why", isWrapped: true },
    ];
    const why = `${WIDE_TEXT} ${WIDE_TEXT} ${WIDE_TEXT.repeat(4)} end`;
    const lines = linesOf({ columns: 40 }, (output) => showTable(columns, [["2022-07-26T00", why]], output));
    for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(40);
    const pieces = lines.slice(3, -1).map((line) => line.split("│")[2]?.trim());
    expect(pieces.join("").replaceAll(" ", "")).toBe(why.replaceAll(" ", ""));
  });

  it("make records of a row that would not fit, whose values stand below each other", () => {
    const columns = [{ name: WIDE_TEXT }, { name: "abc" }];
    const row = { [WIDE_TEXT]: WIDE_TEXT.repeat(5), abc: "x" };
    const lines = printed({ columns, rows: [row] }, { columns: 45 });
    expect(lines.slice(1, 3)).toEqual([`${WIDE_TEXT} │ ${WIDE_TEXT.repeat(5)}`, "abc        │ x"]);
  });

  it("are a million in one value, and shown at once", { timeout: 5_000 }, () => {
    const long = "東".repeat(1_000_000);
    const lines = printed({ columns: [{ name: "a" }], rows: [{ a: long }] }, { columns: 45 });
    expect(lines[1]).toBe(`a │ ${long}`);
  });

  it("move no bar, and are cut at the front of its name", () => {
    const bar = (name: string) => ({ name, fraction: 0.5, words: ["listing"] });
    for (const columns of [80, 40]) {
      const lines = picture([bar(WIDE_TEXT.repeat(3)), bar("short")], columns, (text) => text);
      const starts = lines.map((line) => stringWidth(line.slice(0, line.indexOf("█"))));
      expect(starts[0]).toBe(starts[1]);
      for (const line of lines) expect(stringWidth(line)).toBeLessThan(columns);
    }
    expect(picture([bar(WIDE_TEXT)], 10, (text) => text)).toEqual([expect.stringMatching(/^… +█/)]);
  });
});
