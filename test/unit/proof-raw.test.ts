import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Obj } from "../../src/proof/json.js";
import { writeJson } from "../../src/proof/text.js";
import { type Reading, rawItems } from "../support/raw-items.js";

/** Records as compact JSON, what is none as `!bytes@offset`. */
async function read(stored: string | Buffer, path: string[] = [], reading: Reading = {}): Promise<string[]> {
  return (await rawItems(Buffer.from(stored), path, reading)).map((item) => {
    if (item.kind === "none") return `!${item.bytes.toString("latin1")}@${item.offset}`;
    const text = writeJson(item.value);
    return item.envelope ? `${text} in ${writeJson(item.envelope)}` : text;
  });
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

const AB = ['{"a":1}', '{"b":2}'];

describe("every shape of bytes", () => {
  it.each([
    ["lines", '{"a":1}\n{"b":2}\n'],
    ["no newline at the end", '{"a":1}\n{"b":2}'],
    ["CRLF", '{"a":1}\r\n{"b":2}\r\n'],
    ["CR alone", '{"a":1}\r{"b":2}\r'],
    ["a byte order mark", '\uFEFF{"a":1}\n{"b":2}'],
    ["blank lines and space around", ' \n\n\t{"a":1} \n \n {"b":2}\n\n'],
    ["concatenated", '{"a":1}{"b":2}'],
    ["several a line", '{"a":1} {"b":2}\n'],
    ["a top-level array", '[{"a":1},{"b":2}]'],
    ["an array over lines", '[\n{"a":1},\n{"b":2}\n]\n'],
    ["arrays, one after the other", '[{"a":1}]\n[]\n[{"b":2}]'],
    ["pretty-printed", '{\n  "a": 1\n}\n{\n  "b": 2\n}\n'],
    ["trailing commas", '{"a":1,}\n[{"b":2},]'],
    ["an array that does not end", '[{"a":1},{"b":2}'],
  ])("%s", async (_, text) => {
    expect(await read(text)).toEqual(AB);
    expect(await read(gzipSync(text))).toEqual(AB);
  });

  it("gzip of several members, with zeros as padding", async () => {
    const members = [gzipSync('{"a":1}\n{"b'), gzipSync('":2}\n'), Buffer.alloc(9)];
    expect(await read(Buffer.concat(members))).toEqual(AB);
  });

  it.each(["", " \n\r\n", "\uFEFF", "[]", gzipSync("")])("nothing in %j", async (text) => {
    expect(await read(text)).toEqual([]);
  });

  it("keeps numbers, repeated keys and order as they are written", async () => {
    const text = '{"z":1.50,"a":1E5,"z":-0,"A":123456789.123456789012345,"n":[1e400]}';
    expect(await read(text)).toEqual([text]);
  });

  it("strings: escapes, unicode, NUL", async () => {
    expect(await read('{"\\u0041\\ud83d\\ude00é😀":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000"}')).toEqual([
      '{"A😀é😀":"\\"\\\\/\\b\\f\\n\\r\\t\\u0000"}',
    ]);
  });

  it("100 deep, and not without end", async () => {
    const deep = `${'{"a":['.repeat(100)}1${"]}".repeat(100)}`;
    expect(await read(deep)).toEqual([deep]);
    expect(await read("[".repeat(1_000_000))).toEqual([`!${"[".repeat(1_000_000)}@0`]);
  });

  it("the first element of an array is far from its bracket, or longer than a window", async () => {
    const blanks = " \n\uFEFF".repeat(50);
    const long = `{"a":"${"x".repeat(500)}"}`;
    const text = `[${blanks}{"a":1}]\n[${blanks}]\n[${long},${long}]`;
    const open = `[${blanks}`;
    for (const [bytes, expected] of [
      [text, [AB[0], long, long]],
      [
        `${text}\n${open}oops`,
        [AB[0], long, long, `!${latin1(`${open}oops`)}@${Buffer.byteLength(text) + 1}`],
      ],
      [`${text}\n${open}`, [AB[0], long, long, `!${latin1(open)}@${Buffer.byteLength(text) + 1}`]],
      [`${text}\n${open}tru${blanks}`, [AB[0], long, long]],
    ] as [string, string[]][]) {
      const found = await read(bytes, [], { windowBytes: 64, pieceBytes: 7 });
      expect(found).toEqual(await read(bytes));
      expect(found.slice(0, expected.length)).toEqual(expected);
    }
  });

  it("a big object in windows: every line once", async () => {
    const line = (i: number) => `{"i":${i},"text":"${"x".repeat(i % 3_000)}"}`;
    const lines = Array.from({ length: 9_000 }, (_, i) => line(i));
    expect(await read(lines.join("\n"))).toEqual(lines);
  });
});

describe("bytes that are no record", () => {
  it.each([
    ["damage ends at its newline", '{"a":1}\n{"x":\n{"b":2}\n', [AB[0], '!{"x":@8', AB[1]]],
    [
      "good values before it stay",
      '{"a":1}\n{"b":2} oops {"c":3}\n{"d":4}',
      [...AB, '!oops {"c":3}@16', '{"d":4}'],
    ],
    ["in an array too", '{"a":1}\n[{"b":2},{"c" 3},{"d":4}]\n', [...AB, '!{"c" 3},{"d":4}]@17']],
    ["a first line that fails takes all", '{"x":\n{"a":1}\n', ['!{"x":\n{"a":1}\n@0']],
    [
      "a truncated pretty-printed record",
      '{\n "a": 1\n}\n{\n "b"\n{"c":3}\n',
      [AB[0], '!{\n "b"\n{"c":3}\n@12'],
    ],
    ["a value that goes over a newline among lines", '{"a":1}\n{"b":\n2}\n', [AB[0], AB[1]]],
    ["scalars", '{"a":1}\n5\n"x"\nnull\n[1,{"b":2}]', [AB[0], "!5@8", '!"x"@10', "!null@14", "!1@20", AB[1]]],
    [
      "an array that fails before its first element, from its bracket on",
      '{"a":1}\n[2022-07-26 10:00:00] started\n[ERROR] x\n[ [01]]\n[\n{"b" 2}\n{"b":2}',
      [
        AB[0],
        "![2022-07-26 10:00:00] started@8",
        "![ERROR] x@38",
        "![ [01]]@48",
        "![@56",
        '!{"b" 2}@58',
        AB[1],
      ],
    ],
    ["a first line that begins so", '[INFO] x\n{"a":1}', ['![INFO] x\n{"a":1}@0']],
    ["an array without an element or an end", '{"a":1}\n[\n', [AB[0], "![@8"]],
    ["a bracket alone", "[", ["![@0"]],
    [
      "a number or a word in an array, up to what is none of it",
      '{"a":1}\n[true]\n[5 6,7[]8"x"9{"b":2}]\n[5,6-]\n[null-]',
      [
        AB[0],
        "!true@9",
        "!5@16",
        "!6@18",
        "!7@20",
        "![]@21",
        "!8@23",
        '!"x"@24',
        "!9@27",
        AB[1],
        "!5@38",
        "!6-]@40",
        "![null-]@44",
      ],
    ],
    [
      "up to the end of the line, white space and all",
      '{"a":1}\n  oops \t\r\n[x \n{"b":2} , \n',
      [AB[0], "!oops \t@10", "![x @18", AB[1], "!, @30"],
    ],
    ["up to the end of the object", '{\n"a":1}\n oops \n\n', [AB[0], "!oops \n\n@10"]],
    ["all of an object that has no value before it", " \n\uFEFF [x \n", [`!${latin1(" \n\uFEFF [x \n")}@0`]],
    ["an empty array before it is a value", "[]\n oops \n", ["!oops @4"]],
    ["an array in an array", '[[{"a":1}],{"b":2}]', ['![{"a":1}]@1', AB[1]]],
    ["a log line", '{"a":1}\n2022-07-26 00:00:01 ERROR\n', [AB[0], "!2022-07-26 00:00:01 ERROR@8"]],
    ["a comment", '{"a":1}\n// {}\n', [AB[0], "!// {}@8"]],
    [
      "leading zeros, plus, bare fractions",
      '{"a":1}\n{"n":01}\n{"n":+1}\n{"n":.5}\n{"n":1.}',
      [AB[0], '!{"n":01}@8', '!{"n":+1}@17', '!{"n":.5}@26', '!{"n":1.}@35'],
    ],
    ["a control character", '{"a":1}\n{"s":"\t"}', [AB[0], '!{"s":"\t"}@8']],
    [
      "a bad escape",
      '{"a":1}\n{"s":"\\x"}\n{"s":"\\u12g4"}',
      [AB[0], '!{"s":"\\x"}@8', '!{"s":"\\u12g4"}@19'],
    ],
    [
      "a lone surrogate, its neighbours not",
      '{"a":1}{"s":"\\ud800"}{"b":2}',
      [AB[0], '!{"s":"\\ud800"}@7', AB[1]],
    ],
    ["a lone surrogate in a key", '{"\\udc00":1}', ['!{"\\udc00":1}@0']],
  ] as [string, string, string[]][])("%s", async (_, text, expected) => {
    expect(await read(text)).toEqual(expected);
  });

  it("bytes of no text, as they lie", async () => {
    for (const text of [
      "\x78\x9c\xff\n",
      " \n\x28\xb5\x2f\xfd \r\n",
      "\0{\0}\0\n",
      `${" \n".repeat(90)}\xff\n`,
    ]) {
      const bytes = Buffer.from(text, "latin1");
      for (const stored of [bytes, gzipSync(bytes)]) {
        expect(await read(stored)).toEqual([`!${text}@0`]);
        expect(await read(stored, [], { windowBytes: 32, pieceBytes: 7 })).toEqual([`!${text}@0`]);
      }
    }
  });

  it("invalid UTF-8, by line", async () => {
    const text = Buffer.concat([
      Buffer.from('{"a":1}\n{"s":"'),
      Buffer.from([0xc3]),
      Buffer.from('"}\n{"b":2}\n'),
    ]);
    expect(await read(text)).toEqual([AB[0], '!{"s":"\xc3"}@8', AB[1]]);
  });

  it.each([
    ["truncated", (gzip: Buffer) => gzip.subarray(0, -5)],
    ["a wrong checksum", (gzip: Buffer) => Buffer.from(gzip).fill(0, gzip.length - 8, gzip.length - 4)],
    ["garbage behind it", (gzip: Buffer) => Buffer.concat([gzip, Buffer.from("xyz")])],
  ])("a damaged gzip as it lies: %s", async (_, damage) => {
    const stored = damage(gzipSync('{"a":1}\n'));
    for (const pieceBytes of [undefined, 7]) {
      const items = await rawItems(stored, [], { pieceBytes });
      expect(items).toMatchObject([{ kind: "none", offset: 0, bytes: stored }]);
    }
  });

  it("a gzip that unpacks to more than the limit", async () => {
    const gzip = { maxBytes: 1_000, maxRatio: 10_000 };
    const items = await rawItems(gzipSync(" ".repeat(1_001)), [], { gzip });
    expect(items).toMatchObject([{ kind: "none", offset: 0 }]);
  });

  it("a record longer than the limit", async () => {
    const text = '{"a":1}\n{"b":"xxxxx"}\n{"c":3}';
    const kinds = (await rawItems(Buffer.from(text), [], { maxRecordBytes: 10 })).map((item) => item.kind);
    expect(kinds).toEqual(["record", "none", "record"]);
  });

  it("random bytes are read to the end, and nothing of them is lost", async () => {
    const bytes = Buffer.alloc(200_000);
    for (let at = 0, seed = 42; at < bytes.length; at++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      bytes[at] = seed >> 16;
    }
    const covered = (await rawItems(bytes, [])).reduce((sum, item) => sum + item.sizeBytes, 0);
    expect(covered).toBeGreaterThan(199_000);
  });
});

describe("a record path", () => {
  it("takes the elements and keeps the rest as their envelope", async () => {
    expect(await read('{"owner":"x","Records":[{"a":1},{"b":2}],"n":1.0}', ["Records"])).toEqual([
      '{"a":1} in {"owner":"x","n":1.0}',
      '{"b":2} in {"owner":"x","n":1.0}',
    ]);
    expect(await read('{"d":{"Records":[{"a":1}],"y":2},"x":1}', ["d", "Records"])).toEqual([
      '{"a":1} in {"x":1,"d":{"y":2}}',
    ]);
    expect(await read('{"d":{"Records":[{"a":1}]}}{"d":{"Records":[]}}', ["d", "Records"])).toEqual([
      '{"a":1} in {}',
    ]);
    expect(await read('[{"Records":[{"a":1}]},\n{"Records":[{"b":2}]}]', ["Records"])).toEqual([
      '{"a":1} in {}',
      '{"b":2} in {}',
    ]);
  });

  it.each(['{"x":1}', '{"Records":{"a":1}}', '{"Records":null}', "5", '{"Records":[{"a":1}],"Records":[]}'])(
    "%s has none",
    async (value) => {
      expect(await read(`{"Records":[]}\n${value}`, ["Records"])).toEqual([`!${value}@15`]);
    },
  );

  it("finds the same where no tree is made of the value, wherever in it the records are", async () => {
    const pad = JSON.stringify(Array.from({ length: 40 }, (_, i) => ({ i })));
    const records = `[{"a":1,"l":${pad}},5,{"b":{"s":"\\ud800","l":${pad}}},{"c":"é"}]`;
    for (const inner of [
      `"pad":${pad},"Records":${records}`,
      `"Records":${records},"pad":${pad}`,
      '"Records":[{"a":1}]',
    ]) {
      const text = `{"x":${pad},"d":{${inner}},"n":1.50}`;
      const whole = await read(text, ["d", "Records"]);
      expect(whole.length).toBeGreaterThan(0);
      expect(await read(text, ["d", "Records"], { windowBytes: 64, pieceBytes: 50 })).toEqual(whole);
    }
    const bad = `{"x":[${pad},"\\ud800"],"d":{"Records":${records}}}`;
    expect(await read(bad, ["d", "Records"], { windowBytes: 64 })).toEqual([
      `!${Buffer.from(bad).toString("latin1")}@0`,
    ]);
  });

  it("looks into a value that is longer than a record may be", async () => {
    const long = `{"Records":[{"a":1}],"x":"${"y".repeat(100)}"}`;
    const items = await rawItems(Buffer.from(`${long}\n{"Records":[{"b":2}]}`), ["Records"], {
      maxRecordBytes: 20,
      windowBytes: 64,
    });
    expect(items.map(({ kind, sizeBytes }) => [kind, sizeBytes])).toEqual([
      ["record", 7],
      ["record", 7],
    ]);
  });

  it("elements that are no object, or cannot be given back", async () => {
    expect(await read('{"Records":[5,{"a":1},{"s":"\\ud800"},[{}]]}', ["Records"])).toEqual([
      "!5@12",
      '{"a":1} in {}',
      '!{"s":"\\ud800"}@22',
      "![{}]@37",
    ]);
  });

  it("an envelope without a record is none, and one that is empty is nothing", async () => {
    expect(await read('{"x":1,"Records":[]}{"Records":[]}\n{"x":null,"Records":[5]}', ["Records"])).toEqual([
      '!{"x":1,"Records":[]}@0',
      '!{"x":null,"Records":[5]}@35',
    ]);
    const deep = '{"d":{"Records":[]}}{"d":{"y":2,"Records":[]}}{"d":{"y":3,"Records":[{"a":1}]}}';
    expect(await read(deep, ["d", "Records"])).toEqual([
      '!{"d":{"y":2,"Records":[]}}@20',
      '{"a":1} in {"d":{"y":3}}',
    ]);
    const long = `{"x":${JSON.stringify(Array.from({ length: 40 }, (_, i) => ({ i })))},"Records":[5,6]}`;
    expect(await read(long, ["Records"], { windowBytes: 64, pieceBytes: 50 })).toEqual([`!${long}@0`]);
  });

  it("NaN in its records: whether one is a record is asked", async () => {
    const value = '{"x":1,"Records":[{"a":NaN},{"b":NaN}]}';
    expect(await read(value, ["Records"])).toEqual([`!${value}@0`]);
    const isTaken = (record: Obj) => record.keys[0] === "b";
    expect(await read(value, ["Records"], { isTaken })).toHaveLength(2);
  });

  it("an envelope that cannot be given back takes its records along", async () => {
    const value = '{"Records":[{"a":1}],"s":"\\ud800"}';
    expect(await read(value, ["Records"])).toEqual([`!${value}@0`]);
  });
});
