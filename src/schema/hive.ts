/** Column types in Hive's notation, as Athena and Glue write them: `struct<a:string,b:array<bigint>>`. */
import { HourpackError } from "../errors.js";
import { isValidName, TAKEN_NAMES } from "./names.js";
import { type Column, type Field, NESTING_MAX, type Type } from "./types.js";

export function hiveType(type: Type): string {
  switch (type.kind) {
    case "decimal":
      return `decimal(${type.precision},${type.scale})`;
    case "array":
      return `array<${hiveType(type.element)}>`;
    case "map":
      return `map<string,${hiveType(type.value)}>`;
    case "struct":
      return `struct<${type.fields.map((field) => `${field.name}:${hiveType(field.type)}`).join(",")}>`;
    default:
      return type.kind;
  }
}

/** Reads a type. Throws `invalid` for a type that Athena lacks or that no column here can have. */
export function parseHiveType(text: string): Type {
  const reader = new TypeReader(text);
  const type = reader.type();
  reader.end();
  return type;
}

/** Reads `id:bigint,name:string,st:struct<a:string>`, the form used on a command line. */
export function parseColumnList(text: string): Column[] {
  const reader = new TypeReader(text);
  const columns = reader.fields(undefined).map((field) => plainColumn(field.name, field.type));
  reader.end();
  return columns;
}

export function plainColumn(name: string, type: Type): Column {
  if (!isValidName(name)) throw badName(name);
  if (TAKEN_NAMES.includes(name)) {
    throw new HourpackError("invalid", `the column name "${name}" is taken`, {
      hint: `Partition keys and rescued data have the names ${TAKEN_NAMES.join(", ")}; write { from: ${name} } under another name.`,
    });
  }
  return { name, type, path: [name], derived: false };
}

const ALIASES: Record<string, Type> = {
  boolean: { kind: "boolean" },
  int: { kind: "int" },
  integer: { kind: "int" },
  bigint: { kind: "bigint" },
  double: { kind: "double" },
  string: { kind: "string" },
  timestamp: { kind: "timestamp" },
  date: { kind: "date" },
};

const ADVICE: Record<string, string> = {
  bool: "boolean",
  int16: "int",
  int32: "int",
  int64: "bigint",
  float32: "double",
  float64: "double",
  varchar: "string",
  char: "string",
  text: "string",
  json: "string",
  uuid: "string",
  float: "double",
  real: "double",
  long: "bigint",
  tinyint: "int",
  smallint: "int",
  hugeint: "decimal(38,0)",
  ubigint: "decimal(20,0)",
  uint: "bigint",
  number: "double or decimal(p,s)",
  datetime: "timestamp",
  time: "string",
  binary: "string",
  object: "struct<…>",
  list: "array<…>",
};

class TypeReader {
  private position = 0;
  private depth = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  type(): Type {
    if (this.depth > NESTING_MAX) {
      const hint = "Make it a string from some level on: it takes the JSON text of what lies below.";
      this.fail(`it nests deeper than ${NESTING_MAX} levels`, hint);
    }
    this.depth++;
    const type = this.typeOf(this.word().toLowerCase());
    this.depth--;
    return type;
  }

  private typeOf(word: string): Type {
    switch (word) {
      case "decimal":
        return this.decimal();
      case "array": {
        this.expect("<");
        const element = this.type();
        this.expect(">");
        return { kind: "array", element };
      }
      case "map": {
        this.expect("<");
        const key = this.type();
        if (key.kind !== "string")
          this.fail("the key of a map must be string, since a JSON member's key is one");
        this.expect(",");
        const value = this.type();
        this.expect(">");
        return { kind: "map", value };
      }
      case "struct": {
        this.expect("<");
        const fields = this.fields(">");
        this.expect(">");
        return { kind: "struct", fields };
      }
      default: {
        const type = ALIASES[word];
        if (type) return { ...type };
        const advice = ADVICE[word];
        return this.fail(
          `"${word}" is no type that Athena has for Parquet here`,
          advice && `Write ${advice}.`,
        );
      }
    }
  }

  /** `name:type` separated by commas, up to the closing character or the end. */
  fields(close: string | undefined): Field[] {
    const fields: Field[] = [];
    do {
      const name = this.word();
      if (!isValidName(name)) throw badName(name);
      if (fields.some((field) => field.name === name)) this.fail(`the name "${name}" stands twice`);
      this.expect(":");
      fields.push({ name, key: name, type: this.type() });
    } while (this.skip(",") && this.peek() !== close);
    return fields;
  }

  end(): void {
    if (this.peek() !== undefined) this.fail("the type should end here");
  }

  private decimal(): Type {
    if (!this.skip("(")) return { kind: "decimal", precision: 10, scale: 0 };
    const precision = Number(this.word());
    const scale = this.skip(",") ? Number(this.word()) : 0;
    this.expect(")");
    const areWhole = Number.isInteger(precision) && Number.isInteger(scale);
    if (!(areWhole && precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision)) {
      this.fail("a decimal has 1 to 38 digits, and no more of them after the point");
    }
    return { kind: "decimal", precision, scale };
  }

  private word(): string {
    this.peek();
    const match = /^[^\s<>(),:]+/.exec(this.text.slice(this.position));
    if (!match) this.fail("a name was expected");
    this.position += (match as RegExpExecArray)[0].length;
    return (match as RegExpExecArray)[0];
  }

  private peek(): string | undefined {
    while (/\s/.test(this.text[this.position] ?? "")) this.position++;
    return this.text[this.position];
  }

  private skip(char: string): boolean {
    if (this.peek() !== char) return false;
    this.position++;
    return true;
  }

  private expect(char: string): void {
    if (!this.skip(char)) this.fail(`"${char}" was expected`);
  }

  private fail(reason: string, hint?: string): never {
    throw new HourpackError(
      "invalid",
      `read the type "${this.text}" at character ${this.position + 1}: ${reason}`,
      {
        hint:
          hint ??
          "Types are boolean, int, bigint, double, decimal(p,s), string, timestamp, date, array<…>, map<string,…>, struct<name:…>.",
      },
    );
  }
}

function badName(name: string): HourpackError {
  return new HourpackError("invalid", `"${name}" is no column name`, {
    hint: "Names are lower case letters, digits and underscores, at most 255; take a member of another name with `from:`.",
  });
}
