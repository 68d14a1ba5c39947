/** Stage 4: converts each batch to a Parquet file while later objects still download. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { digestOfAll, type RowsDigest } from "../engine/digest.js";
import type { Engine, Merge } from "../engine/engine.js";
import { HourpackError, isHourpackError } from "../errors.js";
import { Limiter } from "../limiter.js";
import { compareUtf8, type Listing } from "../listing.js";
import type { Within } from "../record/frame.js";
import { MemberCounts } from "../record/members.js";
import type { Sifted, Sifter } from "../record/sift.js";
import { Stretches } from "../record/stretches.js";
import type { Schema } from "../schema/types.js";
import type { Batch } from "../spool/batch.js";
import type { Segment } from "../spool/segments.js";
import { spoolError } from "../spool/spool.js";
import { PLACES_MAX, type QuarantinePlace, quarantineEntry } from "../tier1/quarantine.js";
import { Turn } from "../turn.js";
import { counted } from "../words.js";

/** The schema version pinned at the start of the hour, and the sifter that works (and learns) against it. */
interface Conversion {
  schema: Schema;
  sifter: Sifter;
  /** The objects that were read. A segment names its object by the position in this listing. */
  fetched: Listing;
  /** Once aborted, no further batch begins. */
  signal?: AbortSignal | undefined;
}

/** The result of one batch. */
export interface Converted {
  batch: Batch;
  /** Parquet file with the schema's columns; absent if the batch has no rows. */
  path: string | undefined;
  /** Digest of the rows as they were written; absent if the engine gave none, or the schema has more columns by now. */
  digest: RowsDigest | undefined;
  rows: number;
  rescued: number;
  /** The rescued members, with their counts. */
  members: MemberCounts;
  /** NDJSON of QuarantineEntry, in the order of the batch's segments; absent if nothing was quarantined. */
  quarantinePath: string | undefined;
  quarantined: number;
  quarantinedBytes: number;
  /** The first quarantined pieces. */
  places: QuarantinePlace[];
}

/** The result of all batches of an hour. */
export interface ConvertedHour {
  schema: Schema;
  /** The merge that already has the batches' rows; absent if they are not merged yet. */
  merge: Merge | undefined;
  batches: Converted[];
  rows: number;
  rescued: number;
  members: MemberCounts;
  quarantined: number;
  quarantinedBytes: number;
  places: QuarantinePlace[];
}

/**
 * Converts batches as they come, a few at a time, so that the download goes on beside it. With `keepBatches` the raw batch
 * files stay, in case the schema grows and they must be converted again. `merge` receives the Parquet files in the order of
 * the batches.
 */
export async function convertBatches(
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  conversion: Conversion,
  engine: Engine,
  options: { keepBatches: boolean; merge?: Merge | undefined },
): Promise<ConvertedHour> {
  const limiter = new Limiter(BATCHES_AT_WORK);
  const working: Promise<Converted>[] = [];
  const merging: Promise<void>[] = [];
  const { signal } = conversion;
  let failure: { error: unknown } | undefined;
  const mergeAfter = async (before: Promise<void> | undefined, work: Promise<Converted>) => {
    const [{ path }] = await Promise.all([work, before]);
    if (path !== undefined) await options.merge?.add(path);
  };
  try {
    for await (const batch of batches) {
      const give = await limiter.take();
      if (failure || signal?.aborted) {
        batch.release();
        break;
      }
      const work = convertBatch(batch, conversion, engine, { keepBatch: options.keepBatches }).finally(give);
      const merged = mergeAfter(merging.at(-1), work);
      merged.catch((error) => {
        failure ??= { error };
      });
      working.push(work);
      merging.push(merged);
    }
  } finally {
    // Nothing may still write into the spool when it is removed.
    await Promise.allSettled([...working, ...merging]);
  }
  const [converted] = await Promise.all([Promise.all(working), Promise.all(merging)]);
  signal?.throwIfAborted();
  return { schema: conversion.schema, merge: options.merge, batches: converted, ...totals(converted) };
}

/**
 * Converts the batches with rescued data again, against a schema that has grown. If a derived column was added it converts
 * all batches, since no row rescued its values. The other batches stay as they are.
 */
export async function convertAgain(
  hour: ConvertedHour,
  conversion: Conversion,
  engine: Engine,
): Promise<ConvertedHour> {
  const before = new Set(hour.schema.columns.map(({ name }) => name));
  const addsDerived = conversion.schema.columns.some(({ name, derived }) => derived && !before.has(name));
  const isDone = (converted: Converted) => converted.rescued === 0 && !addsDerived;
  const done = hour.batches.filter(isDone).map((converted) => ({ ...converted, digest: undefined }));
  const again = hour.batches.filter((converted) => !isDone(converted)).map((converted) => converted.batch);
  const renewed = await convertBatches(again, conversion, engine, { keepBatches: false });
  const batches = [...done, ...renewed.batches];
  return { schema: conversion.schema, merge: undefined, batches, ...totals(batches) };
}

/** One is sifted while the other is written. */
const BATCHES_AT_WORK = 2;

/** Sums the batches. Throws `internal` if their rows and quarantine differ from the counts by object (invariant 6). */
function totals(batches: Converted[]): Omit<ConvertedHour, "schema" | "merge" | "batches"> {
  // Batches come in the order in which objects are fetched; places are reported in the order of the listing.
  const places = batches
    .flatMap((batch) => batch.places)
    .sort((a, b) => compareUtf8(a.key, b.key) || a.offset - b.offset)
    .slice(0, PLACES_MAX);
  const sum = {
    rows: 0,
    rescued: 0,
    members: new MemberCounts(),
    quarantined: 0,
    quarantinedBytes: 0,
    places,
  };
  for (const batch of batches) {
    let rows = 0;
    let quarantined = 0;
    for (const count of batch.batch.segments.counts()) {
      rows += count.rows;
      quarantined += count.quarantined;
    }
    if (rows !== batch.rows || quarantined !== batch.quarantined) {
      throw new HourpackError("internal", `convert: ${rows} rows counted by object, ${batch.rows} written`, {
        stage: "convert",
      });
    }
    sum.rows += rows;
    sum.rescued += batch.rescued;
    sum.members.addAll(batch.members);
    sum.quarantined += quarantined;
    sum.quarantinedBytes += batch.quarantinedBytes;
  }
  return sum;
}

/** Never fails on data: bytes that are no record come back as quarantine. Removes the batch file unless it is kept. */
async function convertBatch(
  batch: Batch,
  conversion: Conversion,
  engine: Engine,
  options: { keepBatch: boolean },
): Promise<Converted> {
  const { sifter } = conversion;
  let converted: Converted;
  try {
    converted = await attempt(batch, conversion, engine, (bytes, within) => sifter.chunks(bytes, within));
  } catch (error) {
    // The engine refused lines that the grammar accepted, or counted other rows: the exact way needs no such trust.
    if (!isHourpackError(error, "internal")) throw error;
    // Read into extra memory: the batches that hold the shared memory may be waiting for this one.
    await batch.readBesides();
    converted = await attempt(batch, conversion, engine, (bytes, within) =>
      sifter.exactChunks(bytes, within, { isCounted: true }),
    );
  }
  if (!options.keepBatch) await batch.remove();
  return converted;
}

type Sift = (bytes: Buffer, within: Within) => Iterable<Sifted>;

async function attempt(batch: Batch, conversion: Conversion, engine: Engine, sift: Sift): Promise<Converted> {
  const rows = await RowsWriter.open(batch, conversion.fetched);
  let files: { accepted?: string; exact?: string };
  try {
    const turn = new Turn();
    for (const segment of batch.segments) {
      for (const _ of rows.add(segment, sift)) {
        const isOver = turn.isOver();
        if (isOver || rows.pendingChars > PENDING_CHARS_MAX) await rows.flush();
        // The exact way is long work that must not hold up the sockets.
        if (isOver) await turn.next();
      }
    }
    files = await rows.finish();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw spoolError(error, `write rows of ${batch.path}`, batch.path);
  } finally {
    batch.release();
    await rows.close();
  }
  const outPath = `${batch.base}.parquet`;
  let path: string | undefined;
  let digest: RowsDigest | undefined = digestOfAll([]);
  if (rows.expectedRows > 0) {
    const written = await engine.writeRows(
      {
        schema: conversion.schema,
        accepted: files.accepted,
        exact: files.exact,
        maxLineBytes: rows.maxLineBytes,
      },
      outPath,
    );
    if (written.rows !== rows.expectedRows) {
      throw new HourpackError(
        "internal",
        `convert ${batch.path}: ${counted(written.rows, "row")} of ${rows.expectedRows}`,
        {
          stage: "convert",
        },
      );
    }
    ({ path, digest } = written);
  }
  if (files.exact !== undefined) await rm(files.exact, { force: true });
  return { batch, path, digest, ...rows.summary() };
}

/** Lines are written as one string, and a JavaScript string has half a billion characters at most. */
const PENDING_CHARS_MAX = 16 << 20;

/** Writes the sifted rows and quarantine to the files that the engine and `assemble` read. */
class RowsWriter {
  expectedRows = 0;
  maxLineBytes = 0;
  /** What the next flush writes. */
  pendingChars = 0;
  private rescued = 0;
  private readonly members = new MemberCounts();
  private quarantined = 0;
  private quarantinedBytes = 0;
  private readonly places: QuarantinePlace[] = [];
  /** Number of segments that are done. */
  private done = 0;
  /** Accepted lines: the engine reads them from the batch file itself. */
  private readonly accepted = new Stretches();
  private readonly bytes: Buffer;
  private readonly batch: Batch;
  private readonly fetched: Listing;
  private readonly handles = new Map<string, FileHandle>();
  private readonly pending = { exact: [] as string[], quarantine: [] as string[] };

  private constructor(batch: Batch, fetched: Listing, bytes: Buffer) {
    this.batch = batch;
    this.fetched = fetched;
    this.bytes = bytes;
  }

  static async open(batch: Batch, fetched: Listing): Promise<RowsWriter> {
    return new RowsWriter(batch, fetched, await batch.bytes());
  }

  /** Sifts a segment. Yields at each point where the caller may pause. */
  *add(segment: Segment, sift: Sift): Generator<void> {
    const bytes = this.bytes.subarray(segment.offset, segment.offset + segment.sizeBytes);
    if (segment.damage !== undefined) {
      this.quarantine(segment, [{ offset: 0, sizeBytes: bytes.length, reason: segment.damage }], bytes);
      this.batch.segments.setCounts(this.done++, 0, 1);
      return;
    }
    let segmentRows = 0;
    let segmentQuarantined = 0;
    for (const sifted of sift(bytes, segment)) {
      this.accepted.addAll(sifted.accepted, segment.offset);
      const rows = sifted.acceptedRows + sifted.exact.length;
      segmentRows += rows;
      segmentQuarantined += sifted.quarantine.length;
      this.expectedRows += rows;
      this.rescued += sifted.rescued;
      this.members.addAll(sifted.members);
      this.maxLineBytes = Math.max(this.maxLineBytes, sifted.maxLineBytes);
      for (const line of sifted.exact) this.pending.exact.push(line);
      this.pendingChars += sifted.exactChars;
      this.quarantine(segment, sifted.quarantine, bytes);
      yield;
    }
    this.batch.segments.setCounts(this.done++, segmentRows, segmentQuarantined);
  }

  /** Writes what has been gathered so far. */
  async flush(): Promise<void> {
    this.pendingChars = 0;
    for (const name of ["exact", "quarantine"] as const) {
      const lines = this.pending[name];
      if (lines.length === 0) continue;
      this.pending[name] = [];
      await (await this.handle(name)).appendFile(lines.join(""));
    }
  }

  /** Leaves everything in files, which the engine reads: the memory is for the next batch. */
  async finish(): Promise<{ accepted?: string; exact?: string }> {
    await this.flush();
    const hasAccepted = !this.accepted.isEmpty;
    await this.batch.store(hasAccepted ? this.accepted.othersIn(this.bytes) : undefined);
    return {
      accepted: hasAccepted ? this.batch.path : undefined,
      exact: this.handles.has("exact") ? this.name("exact") : undefined,
    };
  }

  summary(): Omit<Converted, "path" | "digest" | "batch"> {
    return {
      rows: this.expectedRows,
      rescued: this.rescued,
      members: this.members,
      quarantined: this.quarantined,
      quarantinedBytes: this.quarantinedBytes,
      places: this.places,
      quarantinePath: this.handles.has("quarantine") ? this.name("quarantine") : undefined,
    };
  }

  async close(): Promise<void> {
    for (const handle of this.handles.values()) await handle.close();
  }

  private quarantine(
    segment: Segment,
    pieces: { offset: number; sizeBytes: number; reason: string }[],
    bytes: Buffer,
  ): void {
    if (pieces.length === 0) return;
    const object = this.fetched.at(segment.index);
    for (const { offset, sizeBytes, reason } of pieces) {
      const piece = bytes.subarray(offset, offset + sizeBytes);
      const entry = quarantineEntry(object, segment.sourceOffset + offset, piece, reason);
      const line = `${JSON.stringify(entry)}\n`;
      this.pending.quarantine.push(line);
      this.pendingChars += line.length;
      this.quarantined++;
      this.quarantinedBytes += piece.length;
      if (this.places.length < PLACES_MAX)
        this.places.push({ key: object.key, offset: entry.offset, sizeBytes: piece.length, reason });
    }
  }

  private async handle(name: string): Promise<FileHandle> {
    let handle = this.handles.get(name);
    if (!handle) {
      handle = await open(this.name(name), "w");
      this.handles.set(name, handle);
    }
    return handle;
  }

  private name(kind: string): string {
    return `${this.batch.base}.${kind}.ndjson`;
  }
}
