/** The way back: an hour's records, and what was quarantined, from tier 1 alone. */
import { ulid } from "ulid";
import { commandText } from "../command-text.js";
import { HourpackError, isHourpackError } from "../errors.js";
import { partKey } from "../layout.js";
import { Day, Instant, type Json, Num, Obj } from "../proof/json.js";
import { openPart, type Row } from "../proof/part.js";
import { restoreRecord } from "../record/restore.js";
import type { Schema, Type, Value } from "../schema/types.js";
import { inSpool, Spool } from "../spool/spool.js";
import type { HourContext } from "../task.js";
import { download, otherBytes, quarantineEntries, readManifest, remedyOf } from "../tier1/download.js";
import type { ManifestHeader, Published } from "../tier1/manifest.js";
import { publishedPart } from "../tier1/published.js";
import type { QuarantineEntry } from "../tier1/quarantine.js";
import { schemaOf } from "../tier1/schema-file.js";

export interface Restoration {
  published: Published;
  /** Why the part's bytes could not be checked against those that were published: its manifest is missing or damaged. */
  unchecked?: string | undefined;
  /** The records as compact JSON texts, in the order of the part's rows. */
  records(): AsyncGenerator<string>;
  quarantined(): AsyncGenerator<QuarantineEntry>;
  /** Removes the local copy of the part. */
  close(): Promise<void>;
}

/**
 * Opens a published hour to read it back. Throws `invalid` if the hour has no part, `data` if the part or its schema is
 * damaged, and `conflict` if the part is replaced meanwhile.
 */
export async function openRestoration(task: HourContext): Promise<Restoration> {
  const { components, dataset, hour, signal } = task;
  const tier1 = await components.tier1(dataset);
  const published = await publishedPart(task);
  if (!published) {
    throw new HourpackError("invalid", `read ${dataset.name} ${hour}: the hour has no part`, {
      location: tier1.uri + partKey(dataset.tier1.prefix, dataset.table, hour),
      hint: `${commandText("status", components.settings, { dataset: dataset.name })} shows which hours are packed.`,
    });
  }
  const { header, unchecked } = await vouchedFor(task, published);
  const schema = await schemaOf(task, published, header?.schemaDigest);
  const spool = await Spool.open(components.settings.run.spoolDir, ulid(components.nowMs()));
  const close = () => spool.close();
  try {
    const path = spool.path("part.parquet");
    const sha256 = await inSpool(spool, "copy a part", () => download(tier1, published, path, signal));
    if (header && header.partSha256 !== sha256) throw otherBytes(task, tier1, published);
    return {
      published,
      unchecked,
      records: () => withRemedy(recordsOf(path, schema, tier1.uri + published.key), task),
      async *quarantined() {
        if (published.quarantined === 0) return;
        yield* quarantineEntries(task, published, header);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The manifest's header, or why it cannot be read. Records can be restored without it, but not checked. */
async function vouchedFor(
  task: HourContext,
  published: Published,
): Promise<{ header?: ManifestHeader; unchecked?: string }> {
  try {
    const { header } = await readManifest(task, published);
    return { header };
  } catch (error) {
    if (!isHourpackError(error, "data")) throw error;
    return { unchecked: error.message };
  }
}

async function* recordsOf(path: string, schema: Schema, location: string): AsyncGenerator<string> {
  const part = await openPart(path, schema, location);
  try {
    yield* part.readAs((row) => recordOf(schema, row));
  } finally {
    await part.close();
  }
}

/** Throws `data` if a row gives no record: rows were verified before publication, so this one is not what was written. */
function recordOf(schema: Schema, { values, rescued }: Row): string {
  const typed = schema.columns.map(({ type }, i) => toValue(values[i] ?? null, type));
  return restoreRecord(schema, typed, rescued);
}

async function* withRemedy<T>(records: AsyncGenerator<T>, task: HourContext): AsyncGenerator<T> {
  try {
    yield* records;
  } catch (error) {
    if (!isHourpackError(error, "data") || error.hint) throw error;
    throw error.with({ hint: remedyOf(task) });
  }
}

/** Converts a column's value from the part's reader to the form of the exact way. */
function toValue(json: Json, type: Type): Value {
  if (json === null || typeof json === "boolean" || typeof json === "string") return json;
  if (json instanceof Instant) return json.ms;
  if (json instanceof Day) return json.days;
  if (json instanceof Num) {
    if (type.kind === "bigint") return BigInt(json.text);
    return type.kind === "decimal" ? BigInt(json.text.replace(/e.*$/, "")) : Number(json.text);
  }
  if (Array.isArray(json) && type.kind === "array")
    return json.map((element) => toValue(element, type.element));
  if (json instanceof Obj && type.kind === "map") {
    return json.keys.map((key, i): [string, Value] => [key, toValue(json.values[i] ?? null, type.value)]);
  }
  if (json instanceof Obj && type.kind === "struct") {
    return type.fields.map((field) => toValue(json.values[json.keys.indexOf(field.key)] ?? null, field.type));
  }
  throw new Error(`a value of the part is no ${type.kind}`);
}
