/**
 * Thrift's compact protocol, as far as a Parquet footer needs it. A footer is read into a tree that knows
 * field numbers and types but no names, and is written back the same. So it can change in a few places and
 * keep everything else. Source: "Thrift Compact protocol encoding", apache/thrift
 * doc/specs/thrift-compact-protocol.md.
 */
const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const SET = 10;
const STRUCT = 12;

interface List {
  elementType: number;
  items: Value[];
}

/** Integers of all widths are bigints. */
type Value = boolean | bigint | Buffer | List | Struct;

interface Field {
  id: number;
  type: number;
  value: Value;
}

/** Fields in the order in which they were written. */
export class Struct {
  readonly fields: Field[];

  constructor(fields: Field[]) {
    this.fields = fields;
  }

  get(id: number): Value | undefined {
    return this.fields.find((field) => field.id === id)?.value;
  }

  /** The items of a list; none if the field is absent. */
  list(id: number): Value[] {
    return (this.get(id) as List | undefined)?.items ?? [];
  }

  /** Replaces a field's value; an absent field stays absent. */
  change(id: number, change: (value: Value) => Value): void {
    const field = this.fields.find((candidate) => candidate.id === id);
    if (field) field.value = change(field.value);
  }

  /** Sets or adds a list of structs, as they are or encoded. */
  setStructs(id: number, items: (Struct | Buffer)[]): void {
    const value: List = { elementType: STRUCT, items };
    const field = this.fields.find((candidate) => candidate.id === id);
    if (field) field.value = value;
    else this.fields.push({ id, type: LIST, value });
    this.fields.sort((a, b) => a.id - b.id);
  }
}

export function binaryField(id: number, text: string): Field {
  return { id, type: BINARY, value: Buffer.from(text) };
}

/** Throws an ordinary error if the bytes are not such a struct. */
export function readStruct(bytes: Buffer): Struct {
  return new Reader(bytes).struct();
}

class Reader {
  private readonly bytes: Buffer;
  private position = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  struct(): Struct {
    const fields: Field[] = [];
    let id = 0;
    for (;;) {
      const head = this.byte();
      if (head === 0) return new Struct(fields);
      const type = head & 0x0f;
      const delta = head >> 4;
      id = delta === 0 ? Number(this.integer()) : id + delta;
      fields.push({ id, type, value: this.value(type, true) });
    }
  }

  private value(type: number, isField: boolean): Value {
    switch (type) {
      case TRUE:
      case FALSE:
        // A field's type is its value. In a list, each is a byte.
        return isField ? type === TRUE : this.byte() === TRUE;
      case BYTE:
        return this.slice(1);
      case DOUBLE:
        return this.slice(8);
      case BINARY:
        return this.slice(Number(this.varint()));
      case LIST:
      case SET:
        return this.list();
      case STRUCT:
        return this.struct();
      default:
        if (type >= 4 && type <= 6) return this.integer();
        throw new Error(`thrift type ${type} is not expected in a footer`);
    }
  }

  private list(): List {
    const head = this.byte();
    const elementType = head & 0x0f;
    const size = head >> 4 === 15 ? Number(this.varint()) : head >> 4;
    const items: Value[] = [];
    for (let i = 0; i < size; i++) items.push(this.value(elementType, false));
    return { elementType, items };
  }

  /** Zigzag. */
  private integer(): bigint {
    const number = this.varint();
    return number & 1n ? -(number >> 1n) - 1n : number >> 1n;
  }

  private varint(): bigint {
    let number = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      number |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
  }

  private byte(): number {
    const byte = this.bytes[this.position++];
    if (byte === undefined) throw new Error("a footer ends too early");
    return byte;
  }

  private slice(sizeBytes: number): Buffer {
    const end = this.position + sizeBytes;
    if (end > this.bytes.length) throw new Error("a footer ends too early");
    const slice = this.bytes.subarray(this.position, end);
    this.position = end;
    return slice;
  }
}

export function writeStruct(struct: Struct): Buffer {
  const chunks: Buffer[] = [];
  writeTo(chunks, struct);
  return Buffer.concat(chunks);
}

function writeTo(chunks: Buffer[], struct: Struct): void {
  let last = 0;
  for (const { id, type, value } of struct.fields) {
    const written = typeof value === "boolean" ? (value ? TRUE : FALSE) : type;
    const delta = id - last;
    chunks.push(
      delta > 0 && delta <= 15
        ? Buffer.of((delta << 4) | written)
        : Buffer.concat([Buffer.of(written), zigzag(BigInt(id))]),
    );
    last = id;
    if (typeof value !== "boolean") writeValue(chunks, type, value);
  }
  chunks.push(Buffer.of(0));
}

function writeValue(chunks: Buffer[], type: number, value: Value): void {
  if (typeof value === "bigint") chunks.push(zigzag(value));
  else if (typeof value === "boolean") chunks.push(Buffer.of(value ? TRUE : FALSE));
  else if (value instanceof Struct) writeTo(chunks, value);
  else if (!Buffer.isBuffer(value)) writeList(chunks, value);
  else if (type === BINARY) chunks.push(varint(BigInt(value.length)), value);
  else chunks.push(value);
}

function writeList(chunks: Buffer[], { elementType, items }: List): void {
  if (items.length < 15) chunks.push(Buffer.of((items.length << 4) | elementType));
  else chunks.push(Buffer.of(0xf0 | elementType), varint(BigInt(items.length)));
  for (const item of items) writeValue(chunks, elementType, item);
}

function zigzag(number: bigint): Buffer {
  return varint(number < 0n ? -number * 2n - 1n : number * 2n);
}

function varint(number: bigint): Buffer {
  const bytes: number[] = [];
  let rest = number;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
