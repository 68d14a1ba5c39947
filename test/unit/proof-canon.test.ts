import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Canon } from "../../src/proof/canon.js";
import { Damage, Obj, Reader, Unread } from "../../src/proof/json.js";
import { parseJson, writeJson } from "../../src/proof/text.js";
import type { Column, Schema, Type } from "../../src/schema/types.js";

const bigint: Type = { kind: "bigint" };
const double: Type = { kind: "double" };
const string: Type = { kind: "string" };
const boolean: Type = { kind: "boolean" };
const timestamp: Type = { kind: "timestamp" };
const struct = (fields: Record<string, Type>): Type => ({
  kind: "struct",
  fields: Object.entries(fields).map(([name, type]) => ({ name, key: name, type })),
});

function plain(name: string, type: Type, more: Partial<Column> = {}): Column {
  return { name, type, path: [name], derived: false, ...more };
}

function schemaOf(...columns: Column[]): Schema {
  return { version: 1, columns };
}

function textOf(schema: Schema, json: string, options = {}): string | undefined {
  const record = new Reader(Buffer.from(json).toString("latin1")).value() as Obj;
  return new Canon(schema, { zone: "UTC", path: [], ...options }).text(record);
}

/** The canonical text of `{"v": value}` with a column v of this type. */
function canon(type: Type, value: string, zone = "UTC"): string | undefined {
  return textOf(schemaOf(plain("v", type)), `{"v":${value}}`, { zone });
}

const decimal = (precision: number, scale: number): Type => ({ kind: "decimal", precision, scale });

describe("a large value of which no tree is made", () => {
  const item = (i: number) =>
    `{"n":${i}.50,"s":"a \\u00e9 ${i}","l":[${i},null,[{}]],"N${i % 3}":{"b":1e${i % 9},"a":"x"}}`;
  const items = Array.from({ length: 3000 }, (_, i) => item(i));
  const list = `[${items.join(" ,\n")}]`;
  const object = (keys: (i: number) => string) =>
    `{${items.map((text, i) => `"${keys(i)}":${i % 1500 === 7 ? list : text}`).join(",")}}`;
  const element = struct({ n: { kind: "double" }, s: { kind: "string" } });

  it.each([
    ["a list", list, undefined],
    ["members, in any order", object((i) => `k${(i * 7919) % 3000}`), undefined],
    ["members that collide", object((i) => `k${i % 2900}`), undefined],
    ["a list in a list", `[1,${list},${list}]`, undefined],
    [
      "a list under an array",
      `[${items.map((_, i) => `${i}.0`).join(",")},null]`,
      { kind: "array", element: { kind: "bigint" } },
    ],
    ["a list that an array does not hold", list, { kind: "array", element }],
    ["members under a map", object((i) => `k${i}`), { kind: "map", value: { kind: "string" } }],
    ["members that a struct does not hold", object((i) => `k${i}`), element],
    ["a list under a string", list, { kind: "string" }],
  ] as [string, string, Type | undefined][])("%s: its text is that of the tree", (_, json, type) => {
    const schema = type ? schemaOf(plain("v", type)) : schemaOf(plain("other", { kind: "string" }));
    const read = (options: object) => new Reader(`{"v":${json},"w":${list}}`, options).value() as Obj;
    const canon = new Canon(schema, { zone: "UTC", path: [] });
    const unread = read({ unreadChars: 2 ** 16 });
    expect(unread.values.map((value) => value instanceof Unread)).toEqual([json.length > 2 ** 16, true]);
    expect(canon.text(unread)).toBe(canon.text(read({})));
    expect(writeJson(unread)).toBe(writeJson(read({})));
  });

  it.each(["[1,2", '[{"a":1},{"b" 2}]', '["\\x"]', '["\t"]', "[01]", "[}", `${"[".repeat(1001)}`])(
    "damage in it is found: %s",
    (end) => {
      const text = `{"v":[${list},${end}`;
      const read = (options: object) => () => new Reader(text, options).value();
      expect(read({ unreadChars: 100 })).toThrow(Damage);
      expect(read({})).toThrow(Damage);
    },
  );

  it("what a strict reader refuses is found", () => {
    for (const spare of [",", ""]) {
      const text = `{"v":[${list}${spare}]}`;
      expect(parseJson(text, { isStrict: true, unreadChars: 100 }) === undefined).toBe(spare === ",");
      expect(parseJson(text, { isStrict: true }) === undefined).toBe(spare === ",");
    }
  });
});

describe("equal under a type", () => {
  it.each([
    ["double", double, ["1.50", "1.5", "15e-1", '"1.5"', "0.15E+1"]],
    ["double of 17 digits", double, ["0.30000000000000004", "3.0000000000000004e-1"]],
    ["double, zeros", double, ["0", "-0", "0.0", "-0e5"]],
    ["double, NaN", double, ["NaN", "NaN"]],
    ["bigint", bigint, ["12", '"12"', "12.0", "1.2e1", "120e-1"]],
    ["the least bigint", bigint, ["-9223372036854775808", '"-9223372036854775808"']],
    [
      "decimal",
      decimal(38, 20),
      ["0.12345678901234567890", '"0.1234567890123456789"', "1234567890123456789e-19"],
    ],
    ["boolean", boolean, ["true", '"true"']],
    ["string", string, ["5", '"5"']],
    ["string of a number", string, ["1E5", '"1E5"']],
    ["string of an object", string, ['{ "b" : 1.10, "a" : null }', '"{\\"b\\":1.10,\\"a\\":null}"']],
    [
      "timestamp",
      timestamp,
      [
        '"2022-07-26T09:00:01+09:00"',
        '"2022-07-26 00:00:01"',
        '"2022-07-26T00:00:01.000000Z"',
        '"2022-07-25 19:00:01.0-0500"',
      ],
    ],
    [
      "timestamp by epoch",
      { kind: "timestamp", epoch: "s" },
      ["1658793601.5", '"2022-07-26T00:00:01.5Z"', "16587936015e-1"],
    ],
    [
      "timestamp by epoch ms",
      { kind: "timestamp", epoch: "ms" },
      ["1658793601500", '"2022-07-26T00:00:01.5Z"'],
    ],
    [
      "struct",
      struct({ a: bigint, b: string }),
      ['{"a":1,"b":"x"}', '{"B":"x","A":"1.0"}', '{"b":"x","c":null,"a":1}'],
    ],
    ["array", { kind: "array", element: double }, ["[1.0,null]", '["1",null]']],
    ["map", { kind: "map", value: double }, ['{"x":1.0,"y":2}', '{"y":2,"x":1,"z":null}']],
    ["date", { kind: "date" }, ['"2022-07-26"', '"2022-07-26"']],
  ] as [string, Type, string[]][])("%s", (_, type, values) => {
    const texts = new Set(values.map((value) => canon(type, value)));
    expect([...texts]).toHaveLength(1);
    expect([...texts][0]).toContain('"v":');
  });
});

describe("different under a type", () => {
  it.each([
    [
      "double",
      double,
      [
        "0.1",
        "0.10000000000000001",
        "0.10000000000000002",
        "53010852746782630",
        "53010852746782632",
        "0.1000000000000000055",
        '"NaN"',
        "NaN",
        "1e400",
        "1e401",
        '"01"',
        '" 1"',
        "true",
        '"true"',
      ],
    ],
    [
      "double against its nearest",
      double,
      ["123456789.123456789", "123456789.12345679", "123456789.123456788"],
    ],
    [
      "bigint",
      bigint,
      [
        "9223372036854775807",
        "9223372036854775808",
        "9223372036854775809",
        "1.5",
        "true",
        '"+5"',
        "5",
        '"0x5"',
        '"05"',
        '"1_000"',
        '"x"',
      ],
    ],
    ["int", { kind: "int" }, ["2147483647", "2147483648"]],
    ["decimal", decimal(4, 2), ["99.99", "99.98", "99.991", "100", '"epoch"']],
    ["boolean", boolean, ["true", "false", '"yes"', "1", '"TRUE"']],
    [
      "string",
      string,
      ["7", "7.0", "70e-1", "1.10", "1.1", "11e-1", '"1.10 "', '"é"', '"e\\u0301"', '"\\u0000"', '""'],
    ],
    [
      "string of objects",
      string,
      ['{"a":1}', '{"a":1.0}', '["1"]', "[1]", "[1.0]", '{"a":2}', '"{\\"a\\": 1}"', "[]", "{}"],
    ],
    [
      "timestamp",
      timestamp,
      [
        '"2022-07-26T00:00:01Z"',
        '"2022-07-26T00:00:01.001Z"',
        '"2022-07-26T00:00:01.0001Z"',
        '"2022-07-26T00:00:01.0002Z"',
        '"2022-07-26t00:00:01Z"',
        '"2022-07-26"',
        '"0000-01-01 00:00:00"',
        '"2022-02-30 00:00:00"',
        "1658793601",
        '"epoch"',
        '"infinity"',
        '"2022-07-26T00:00:01+00:01"',
      ],
    ],
    [
      "date",
      { kind: "date" },
      ['"2022-07-26"', '"2022-07-27"', '"2022-07-26 00:00:00"', '"2022-7-26"', '"2022-02-30"'],
    ],
    [
      "struct",
      struct({ a: string }),
      ["{}", '{"a":"x"}', '{"a":"x","b":1}', '{"a":"x","A":"x"}', '"x"', "[1]", '{"a":"y"}'],
    ],
    [
      "array",
      { kind: "array", element: bigint },
      ["[]", "[null]", "[1]", "[1,1]", "[1,null]", "[null,1]", "1", '[1,"x"]'],
    ],
    [
      "map",
      { kind: "map", value: bigint },
      ["{}", '{"a":1}', '{"A":1}', '{"a":1,"a":1}', '{"a":2,"a":1}', '{"a":1,"a":2}', '{"a":"x"}'],
    ],
  ] as [string, Type, string[]][])("%s", (_, type, values) => {
    const texts = values.map((value) => canon(type, value));
    for (const [i, text] of texts.entries()) expect([values[i], texts.indexOf(text)]).toEqual([values[i], i]);
  });

  it("every digit of a number without a column counts", () => {
    const digits = "123456789.1234567890123456789";
    const seen = new Set([textOf(schemaOf(), `{"x":${digits}}`)]);
    for (let i = 0; i < digits.length; i++) {
      if (digits[i] === ".") continue;
      const changed = digits.slice(0, i) + ((Number(digits[i]) + 1) % 10) + digits.slice(i + 1);
      seen.add(textOf(schemaOf(), `{"x":${changed.replace(/^0/, "9")}}`));
    }
    expect(seen.size).toBe(digits.length);
  });
});

describe("members without a column", () => {
  const same = (a: string, b: string, schema = schemaOf()) => textOf(schema, a) === textOf(schema, b);

  it("are plain JSON: order and escapes do not count, types and digits do", () => {
    expect(same('{"a":1.50,"b":{"y":[1e2],"x":"\\u0041"}}', '{"b":{"x":"A","y":[1e2]},"a":1.50}')).toBe(true);
    expect(same('{"a":1.50}', '{"a":1.5}')).toBe(false);
    expect(same('{"a":[1e2]}', '{"a":[100]}')).toBe(false);
    expect(same('{"a":-0}', '{"a":0}')).toBe(false);
    expect(same('{"a":1}', '{"a":"1"}')).toBe(false);
    expect(same('{"a":true}', '{"a":"true"}')).toBe(false);
    expect(same('{"a":1}', '{"A":1}')).toBe(false);
    expect(same('{"a":[1,2]}', '{"a":[2,1]}')).toBe(false);
  });

  it("a null member is dropped, what is null within a member is kept", () => {
    expect(same('{"a":null,"b":{"c":null}}', '{"b":{"c":null}}')).toBe(true);
    expect(same('{"b":{"c":null}}', '{"b":{}}')).toBe(false);
    expect(same('{"b":[{"e":null}]}', '{"b":[{}]}')).toBe(false);
    expect(same('{"b":{"c":1,"c":null}}', '{"b":{"c":null,"c":1}}')).toBe(false);
    expect(same('{"a":{}}', "{}")).toBe(false);
    expect(same('{"a":[null]}', '{"a":[]}')).toBe(false);
    expect(same('{"a":null,"A":1}', '{"A":1}', schemaOf(plain("a", bigint)))).toBe(true);
  });

  it("repeated keys keep their order", () => {
    expect(same('{"a":1,"a":2}', '{"a":2,"a":1}')).toBe(false);
    expect(same('{"a":1,"a":1}', '{"a":1}')).toBe(false);
    expect(same('{"x":{"a":1,"a":2}}', '{"x":{"a":2,"a":1}}')).toBe(false);
  });

  it("keys of columns fold in ASCII only", () => {
    const schema = schemaOf(plain("tag", bigint), plain("k", bigint));
    expect(same('{"TAG":1}', '{"tag":"1"}', schema)).toBe(true);
    expect(same('{"\u212a":1}', '{"k":1}', schema)).toBe(false);
    expect(same('{"Tag":1,"tag":2}', '{"tag":2,"Tag":1}', schema)).toBe(false);
    expect(same('{"Tag":1,"tag":2}', '{"tag":2}', schema)).toBe(false);
  });

  it("NaN outside of a double column makes it no record", () => {
    const schema = schemaOf(plain("d", double), plain("s", string), plain("m", struct({ d: double })));
    expect(textOf(schema, '{"x":NaN}')).toBeUndefined();
    expect(textOf(schema, '{"s":[Infinity]}')).toBeUndefined();
    expect(textOf(schema, '{"d":NaN,"d":1}')).toBeUndefined();
    expect(textOf(schema, '{"m":{"d":NaN,"other":1}}')).toBeUndefined();
    expect(textOf(schema, '{"d":-Infinity,"m":{"d":NaN}}')).toBe('"d":-Infinity\n"m":{"d":NaN}');
  });
});

describe("json: string", () => {
  const schema = schemaOf(plain("v", struct({ a: bigint, b: string }), { jsonString: true }));
  const of = (value: unknown) => textOf(schema, JSON.stringify({ v: value }));

  it("its text is compared as it stands", () => {
    expect(of('{"a":1,"b":"x"}')).not.toBe(of('{"b":"x","a":1}'));
    expect(of('{"a":1}')).not.toBe(of('{"a":1,"b":null}'));
    expect(of('{"a":1}')).not.toBe(of('{"a":2}'));
    expect(of('{"a":1}')).not.toBe(of('{"a": 1}'));
    expect(of('{"a": 1}')).not.toBe(of('{"a":  1}'));
    expect(of('{"a":1}')).not.toBe(of({ a: 1 }));
    expect(of("oops")).toBe('"v":"oops"');
  });
});

describe("derived columns", () => {
  const derived = (name: string, type: Type, ...path: string[]) => plain(name, type, { path, derived: true });
  const schema = schemaOf(
    derived("x", bigint, "e", "x"),
    derived("y", timestamp, "e", "in.ner", "y"),
    derived("t", bigint, "t"),
  );
  const same = (a: string, b: string) => textOf(schema, a) === textOf(schema, b);

  it("hold a member where they cover every leaf of it", () => {
    expect(same('{"e":{"x":1.0}}', '{"E":{"X":"1"}}')).toBe(true);
    expect(same('{"t":1.0}', '{"T":"1"}')).toBe(true);
    expect(
      same(
        '{"e":{"x":1,"in.ner":{"y":"2022-01-01 00:00:00"}}}',
        '{"e":{"x":1,"in.ner":{"y":"2022-01-01T00:00:00Z"}}}',
      ),
    ).toBe(true);
  });

  it("else hold nothing of it", () => {
    expect(same('{"e":{"x":1.0,"z":1}}', '{"e":{"x":"1","z":1}}')).toBe(false);
    expect(same('{"e":{"x":"1","in.ner":{}}}', '{"e":{"x":1,"in.ner":{}}}')).toBe(false);
    expect(same('{"e":{}}', "{}")).toBe(false);
    expect(same('{"e":{"x":1,"X":2}}', '{"e":{"x":2}}')).toBe(false);
  });

  it("a column of the member itself goes first", () => {
    const both = schemaOf(derived("x", bigint, "e", "x"), plain("e", struct({ x: string })));
    expect(textOf(both, '{"e":{"x":1.0}}')).not.toBe(textOf(both, '{"e":{"x":"1"}}'));
  });
});

describe("an envelope", () => {
  it("is compared member by member, with the columns that are taken from it", () => {
    const schema = schemaOf(plain("g", bigint, { path: ["group"], derived: true, envelope: true }));
    const canonical = new Canon(schema, { zone: "UTC", path: ["Records"] });
    const text = (record: string, envelope?: string) =>
      canonical.text(
        parseJson(record) as Obj,
        envelope === undefined ? undefined : (parseJson(envelope) as Obj),
      );
    expect(text('{"a":1}', '{"Group":5.0,"o":"x"}')).toBe(text('{"_envelope":{"o":"x","group":5},"a":1}'));
    expect(text('{"a":1}', '{"o":"x"}')).not.toBe(text('{"a":1}', '{"o":"y"}'));
    expect(text('{"a":1,"o":"x"}', "{}")).not.toBe(text('{"a":1}', '{"o":"x"}'));
    expect(text('{"a":1}', "{}")).toBe(text('{"a":1}'));
  });
});

describe("zones", () => {
  it("a timestamp without an offset is in the dataset's zone", () => {
    expect(canon(timestamp, '"2022-07-26 09:00:01"', "Asia/Tokyo")).toBe(
      canon(timestamp, '"2022-07-26 00:00:01Z"'),
    );
    expect(canon({ ...timestamp, zone: "+09:00" } as Type, '"2022-07-26 09:00:01"')).toBe(
      canon(timestamp, '"2022-07-26 00:00:01Z"'),
    );
    expect(canon(timestamp, '"2022-07-26T09:00:01+02:00"', "Asia/Tokyo")).toBe(
      canon(timestamp, '"2022-07-26 07:00:01"'),
    );
  });

  it("a clock that goes back shows an hour twice, one that goes forward skips it", () => {
    const zone = "America/New_York";
    expect(canon(timestamp, '"2022-11-06 01:30:00"', zone)).toBe(canon(timestamp, '"2022-11-06 05:30:00Z"'));
    expect(canon(timestamp, '"2022-03-13 02:30:00"', zone)).toBe('"v":"2022-03-13 02:30:00"');
    expect(canon(timestamp, '"2022-03-13 03:30:00"', zone)).toBe(canon(timestamp, '"2022-03-13 07:30:00Z"'));
  });
});

it("an object is an object however its keys are called", () => {
  const text = '{"__proto__":1,"constructor":2,"":3}';
  expect(textOf(schemaOf(), text)).toBe('"":3\n"__proto__":1\n"constructor":2');
  expect(parseJson(text)).toBeInstanceOf(Obj);
});

describe("any JSON", () => {
  const members = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 3 }));
  const columns = schemaOf(
    plain("a", string),
    plain("b", double),
    plain("c", { kind: "map", value: string }),
  );

  it("is the same however it is laid out, and in any order of its members", () => {
    const record = fc.tuple(
      members,
      fc.jsonValue(),
      fc.jsonValue(),
      fc.dictionary(fc.string(), fc.jsonValue()),
    );
    fc.assert(
      fc.property(record, ([more, a, b, c]) => {
        const object = { ...more, a, b, c };
        const turned = Object.fromEntries(Object.entries(object).reverse());
        const folded = new Set(Object.keys(object).map((key) => key.toLowerCase()));
        fc.pre(folded.size === Object.keys(object).length);
        const text = textOf(columns, JSON.stringify(object));
        expect(textOf(columns, JSON.stringify(turned, null, 2))).toBe(text);
        expect(text?.split("\n").length).toBe(
          Object.values(object).filter((value) => value !== null).length || 1,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("a changed digit anywhere changes the text", () => {
    fc.assert(
      fc.property(members, fc.nat(), fc.integer({ min: 1, max: 9 }), (object, place, shift) => {
        const json = JSON.stringify({ ...object, a: "n1", b: 2, c: { k: "3" } });
        // Members that are null are dropped, whatever their keys.
        fc.pre(!json.includes("null"));
        const digits = [...json.matchAll(/(?<=[":[,a-z])[1-9](?=["},\]])/g)].map((match) => match.index);
        const at = digits[place % digits.length] ?? 0;
        const digit = String((Number(json[at]) + shift) % 10);
        const changed = json.slice(0, at) + digit + json.slice(at + 1);
        expect([changed, textOf(columns, changed) === textOf(columns, json)]).toEqual([changed, false]);
      }),
      { numRuns: 300 },
    );
  });
});
