/**
 * Sifting: which lines of an object the engine may read as they are (the fast way), which records must be
 * converted value by value (the exact way), and which bytes are no record (quarantine). Each object's bytes
 * decide. Only an object with anything but accepted lines pays for it, and mostly for those lines alone.
 */
import { isUtf8 } from "node:buffer";
import { knownMembers } from "../schema/evolution.js";
import { fold } from "../schema/names.js";
import type { RecordPath } from "../schema/path.js";
import type { Schema } from "../schema/types.js";
import { type CompiledSchema, compileSchema } from "./convert.js";
import { type Enclosing, type Framed, type FrameLimits, frameObject, type Within } from "./frame.js";
import { Grammar } from "./grammar.js";
import type { Shape } from "./inference.js";
import { JsonObject, parseRescued } from "./json.js";
import { MemberCounts } from "./members.js";
import { writeRow } from "./rows.js";
import { Stretches } from "./stretches.js";

export interface Sifted {
  /**
   * Whole lines that the engine may read as they are. The last may end one past the bytes, at the newline
   * that the spool adds.
   */
  accepted: Stretches;
  acceptedRows: number;
  /** The exact way's rows, one line each. */
  exact: string[];
  /** The length of those lines together, in characters. */
  exactChars: number;
  /** How many of the exact rows have rescued data. */
  rescued: number;
  /** The members that were rescued from them. */
  members: MemberCounts;
  quarantine: Piece[];
  /** The longest accepted or exact line, in bytes (in characters for exact ones). */
  maxLineBytes: number;
}

interface Piece {
  offset: number;
  sizeBytes: number;
  reason: string;
  within?: Enclosing | undefined;
}

export class Sifter {
  private readonly schema: Schema;
  private readonly compiled: CompiledSchema;
  private readonly grammar: Grammar | undefined;
  private readonly records: RecordPath;
  private readonly limits: FrameLimits;
  private readonly unknown: Shape | undefined;
  private readonly known: Set<string>;

  /** `unknown` sees the members that no column knows: the census for `unknown: add`. */
  constructor(schema: Schema, records: RecordPath, zone: string, limits: FrameLimits, unknown?: Shape) {
    this.schema = schema;
    this.records = records;
    this.limits = limits;
    this.unknown = unknown;
    this.known = knownMembers(schema);
    this.compiled = compileSchema(schema, zone);
    this.grammar = records.keys.length === 0 ? new Grammar(schema, zone) : undefined;
  }

  /**
   * Sifts one object's decompressed bytes, in chunks of a bounded number of exact rows, so that a large
   * object does not hold up everything else. Never throws on data.
   */
  *chunks(bytes: Buffer, within?: Within): Generator<Sifted> {
    const isTried = this.grammar && !within?.inArray && isUtf8(bytes);
    const lines = isTried && this.grammar ? this.siftLines(bytes, this.grammar) : undefined;
    if (lines) yield lines;
    else yield* this.exactChunks(bytes, within);
  }

  /**
   * The same, with every value going the exact way: for objects that are not lines, and when the fast way is
   * not to be trusted. `isCounted`: the census has seen these bytes already.
   */
  *exactChunks(bytes: Buffer, within?: Within, { isCounted } = { isCounted: false }): Generator<Sifted> {
    let sifted = nothing();
    for (const framed of frameObject(bytes, this.records, this.limits, within)) {
      const rescued = this.convert(framed, 0, sifted, false);
      if (rescued !== null && !isCounted) this.census(rescued);
      const pieces = sifted.exact.length + sifted.quarantine.length;
      if (pieces < EXACT_CHUNK_PIECES && sifted.exactChars < EXACT_CHUNK_CHARS) continue;
      // A value of which no record is a row so far is never cut in two: it may become one piece of quarantine.
      if (framed.within?.rows === 0) continue;
      yield withEnvelopes(sifted);
      sifted = nothing();
    }
    yield withEnvelopes(sifted);
  }

  /** Line by line. Undefined if the object must be seen as a whole, as when a line is not whole values. */
  private siftLines(bytes: Buffer, grammar: Grammar): Sifted | undefined {
    const sifted = nothing();
    const text = endWithNewline(bytes.toString("latin1"));
    // Counted at the end: if this gives up, the exact way counts them.
    const rescued: string[] = [];
    const maxBytes = Math.min(LINE_BYTES_MAX, this.limits.maxRecordBytes);
    let position = 0;
    while (position < text.length) {
      const end = grammar.accept(text, position);
      if (end >= 0 && end - position <= maxBytes) {
        sifted.accepted.add(position, end);
        sifted.acceptedRows++;
        if (end - position > sifted.maxLineBytes) sifted.maxLineBytes = end - position;
        position = end;
        continue;
      }
      const newline = text.indexOf("\n", position);
      const lineEnd = newline < 0 ? text.length : newline + 1;
      // An array, for example, or records without a newline: their rows must not be held all at once.
      if (position === 0 && lineEnd > LINE_BYTES_MAX) return undefined;
      if (sifted.exact.length === EXACT_LINES_MAX) return undefined;
      if (!this.convertLine(bytes.subarray(position, lineEnd), position, sifted, rescued)) return undefined;
      position = lineEnd;
    }
    for (const text of rescued) this.census(text);
    return sifted;
  }

  /**
   * False if some of the bytes are no record, or if the line leaves an array open and does not stand alone.
   */
  private convertLine(bytes: Buffer, offset: number, sifted: Sifted, rescued: string[]): boolean {
    const framing = frameObject(bytes, this.records, this.limits);
    let next = framing.next();
    for (; !next.done; next = framing.next()) {
      const text = this.convert(next.value, offset, sifted, true);
      if (text !== null) rescued.push(text);
    }
    return sifted.quarantine.length === 0 && !next.value;
  }

  /** Returns its rescued data, or null. */
  private convert(framed: Framed, offset: number, sifted: Sifted, isLine: boolean): string | null {
    const { sizeBytes, within } = framed;
    const quarantine = (reason: string) =>
      sifted.quarantine.push({ offset: offset + framed.offset, sizeBytes, reason, within });
    if (framed.kind !== "record") {
      quarantine(framed.reason);
      return null;
    }
    const row = this.compiled.convert(framed.value, framed.envelope);
    if (!("values" in row)) {
      quarantine(row.reason);
      return null;
    }
    const line = writeRow(this.schema.columns, row.values, row.rescued);
    sifted.exact.push(line);
    sifted.exactChars += line.length;
    if (within) within.rows++;
    if (row.rescued !== null) {
      sifted.rescued++;
      for (const [member, isTextAlone] of row.members) sifted.members.add(member, isTextAlone);
    } else if (isLine) {
      this.grammar?.learn(framed.value.keys);
    }
    if (line.length > sifted.maxLineBytes) sifted.maxLineBytes = line.length;
    return row.rescued;
  }

  private census(rescued: string): void {
    if (!this.unknown) return;
    const { keys, values } = parseRescued(rescued);
    const isUnknown = keys.map((key) => !this.known.has(fold(key)));
    this.unknown.observe(
      new JsonObject(
        keys.filter((_, i) => isUnknown[i]),
        values.filter((_, i) => isUnknown[i]),
      ),
    );
  }
}

/** Longer lines go the exact way, so that the engine's line buffers stay small. */
const LINE_BYTES_MAX = 1 << 20;

/** Rows and pieces of quarantine. */
const EXACT_CHUNK_PIECES = 1000;
/** Under a record path, each row has the whole envelope. */
const EXACT_CHUNK_CHARS = 4 << 20;
/** If an object has more, all its lines go the exact way, in chunks: their rows are then not held all at once. */
const EXACT_LINES_MAX = 20_000;

/** If none of a value's records is a row, no row has what is beside them: the whole value is quarantined. */
function withEnvelopes(sifted: Sifted): Sifted {
  const quarantine: Piece[] = [];
  let last: Enclosing | undefined;
  for (const { within, ...piece } of sifted.quarantine) {
    if (!within || within.rows > 0) quarantine.push(piece);
    else if (within !== last) {
      const { offset, sizeBytes, reason } = within;
      quarantine.push({ offset, sizeBytes, reason: `${reason}: ${piece.reason}` });
    }
    last = within;
  }
  return { ...sifted, quarantine };
}

function endWithNewline(text: string): string {
  return text.endsWith("\n") || text === "" ? text : `${text}\n`;
}

function nothing(): Sifted {
  return {
    accepted: new Stretches(),
    acceptedRows: 0,
    exact: [],
    exactChars: 0,
    rescued: 0,
    members: new MemberCounts(),
    quarantine: [],
    maxLineBytes: 0,
  };
}
