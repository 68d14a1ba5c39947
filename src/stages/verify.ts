/** Stage 6: reads the part back with two readers, before anything is public. */
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { areSameRows } from "../engine/digest.js";
import type { Engine } from "../engine/engine.js";
import { HourpackError } from "../errors.js";
import { footerTypes, parquetType } from "../schema/parquet.js";
import { RESCUED_COLUMN } from "../schema/types.js";
import { factsIn } from "../tier1/footer.js";
import { counted } from "../words.js";
import type { Assembled } from "./assemble.js";

export type PartFile = Pick<Assembled, "path" | "body" | "columns" | "facts" | "made">;

/**
 * Checks that the file has the rows of the batches, and of the replaced part if it is merged. DuckDB hashed those without
 * regard to order before it wrote them, and now hashes the rows of the file. hyparquet, an independent reader, checks the
 * footer and decodes a sample. Throws `internal` on any difference; nothing has been published then.
 */
export async function verifyPart(engine: Engine, part: PartFile): Promise<void> {
  const { made, facts } = part;
  const [read] = await Promise.all([
    engine.digest([part.path], part.columns, { complete: true }),
    verifyWithSecondReader(part, facts.rows),
  ]);
  if (made.rows !== facts.rows || !areSameRows(made, read)) {
    const [was, is] = [made, read].map(({ sums }) => sums.join("-"));
    refuse(
      part,
      `it has ${counted(read.rows, "row")} of ${facts.rows}, digest ${is} where ${was} was written`,
    );
  }
}

async function verifyWithSecondReader(part: PartFile, expectedRows: number): Promise<void> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const { body } = part;
  const file = body instanceof Uint8Array ? inMemory(body) : await asyncBufferFromFile(body.path);
  const footer = await parquetMetadataAsync(file);
  if (Number(footer.num_rows) !== expectedRows)
    refuse(part, `its footer counts ${counted(Number(footer.num_rows), "row")} of ${expectedRows}`);
  const written = footerTypes(footer.schema).map(({ name, type }) => `${name} ${type}`);
  const expected = part.columns.map(({ name, type }) => `${name} ${parquetType(type)}`);
  expected.push(`${RESCUED_COLUMN} ${parquetType({ kind: "string" })}`);
  const odd = expected.findIndex((column, index) => column !== written[index]);
  if (odd >= 0 || written.length !== expected.length)
    refuse(part, `column ${written[odd]} is there where ${expected[odd]} should be`);
  for (const group of footer.row_groups) {
    const odd = group.columns.find((chunk) => chunk.meta_data?.codec !== "SNAPPY");
    if (odd) refuse(part, `its codec is ${odd.meta_data?.codec}`);
  }
  const facts = factsIn(footer);
  if (!facts || facts.attempt !== part.facts.attempt || facts.rows !== expectedRows)
    refuse(part, "its footer names another attempt");
  const sample = sampleOf(footer, facts.attempt);
  if (!sample) return;
  const { columns, rowStart, rowEnd } = sample;
  const rows = await parquetReadObjects({ file, metadata: footer, columns, rowStart, rowEnd });
  if (rows.length !== rowEnd - rowStart) refuse(part, `a sample decodes to ${counted(rows.length, "row")}`);
}

function inMemory({ buffer, byteOffset, byteLength }: Uint8Array): AsyncBuffer {
  const slice = (start: number, end = byteLength) =>
    buffer.slice(byteOffset + start, byteOffset + end) as ArrayBuffer;
  return { byteLength, slice };
}

const SAMPLE_BYTES = 512 << 10;
/** Keeps the sample of a small hour a sample too: a month of small hours is a month of samples. */
const SAMPLE_SHARE = 1 / 8;

/**
 * Some columns of the last row group, up to `SAMPLE_BYTES` and different ones for each attempt. A reader decodes whole
 * column chunks, and decoding all of them would cost more than the conversion.
 */
function sampleOf(
  footer: FileMetaData,
  attempt: string,
): { columns: string[]; rowStart: number; rowEnd: number } | undefined {
  const group = footer.row_groups.at(-1);
  if (!group) return undefined;
  const sizes = new Map<string, number>();
  for (const { meta_data: chunk } of group.columns) {
    const name = chunk?.path_in_schema[0] ?? "";
    sizes.set(name, (sizes.get(name) ?? 0) + Number(chunk?.total_uncompressed_size ?? 0));
  }
  const names = [...sizes.keys()];
  const first = [...attempt].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % names.length;
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const shareBytes = totalBytes * SAMPLE_SHARE;
  const columns: string[] = [];
  let bytes = 0;
  for (const name of [...names.slice(first), ...names.slice(0, first)]) {
    const size = sizes.get(name) ?? 0;
    // In a large hour most columns are too large; smaller ones are decoded instead.
    if (size > SAMPLE_BYTES) continue;
    bytes += size;
    if (bytes > SAMPLE_BYTES || (bytes > shareBytes && columns.length > 0)) break;
    columns.push(name);
  }
  const rowEnd = Number(footer.num_rows);
  return columns.length > 0 ? { columns, rowStart: rowEnd - Number(group.num_rows), rowEnd } : undefined;
}

function refuse(part: PartFile, why: string): never {
  throw new HourpackError("internal", `verify ${part.path}: ${why}; nothing was published`, {
    stage: "verify",
    hint: "The raw objects are untouched; please report this with the version and the hour's log.",
  });
}
