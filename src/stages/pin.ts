/** Stage 4, before any hour converts: pins the columns of the first hour, and those that later hours add. */
import { commandText, initText } from "../command-text.js";
import { HourpackError } from "../errors.js";
import { schemaKey } from "../layout.js";
import { type FrameLimits, frameObject } from "../record/frame.js";
import { Shape } from "../record/inference.js";
import { appendColumns } from "../schema/evolution.js";
import { hiveType } from "../schema/hive.js";
import type { RecordPath } from "../schema/path.js";
import { currentSchema, type Pinned } from "../schema/pinned.js";
import type { Column, Schema } from "../schema/types.js";
import type { Batch } from "../spool/batch.js";
import type { HourTask } from "../task.js";
import { pinColumns, readPinned, rebuildOf, requireTable, withConfigured } from "../tier1/schema-file.js";
import { Turn } from "../turn.js";
import { counted, listed } from "../words.js";

/**
 * Returns the schema version that this hour is converted against, pinned before any hour converts. If nothing is pinned or
 * configured, the columns are inferred over the whole hour, so all batches are gathered first. Otherwise the batches pass
 * through untouched. Throws `invalid` if the hour is too large for that (`spoolBytesMax`).
 */
export async function pinSchema(
  task: HourTask,
  batches: AsyncIterable<Batch>,
  attempt: string,
): Promise<{ schema: Schema; batches: AsyncIterable<Batch> | Batch[] }> {
  const { dataset, components, signal } = task;
  const store = await components.tier1(dataset);
  const again = rebuildOf(components.settings, dataset);
  const options = { attempt, nowMs: components.nowMs(), signal, again };
  const pin = async (inferred: Column[] | undefined) =>
    currentSchema(
      await pinColumns(
        store,
        dataset.tier1.prefix,
        dataset.table,
        (pinned) => withConfigured(pinned, dataset) ?? inferred ?? [],
        // A rebuild needs none of the columns that are gone.
        { ...options, rebuild: task.request.rebuild },
      ),
    );
  if (dataset.columns) return { schema: await pin(undefined), batches };
  const pinned = await readPinned(store, dataset.tier1.prefix, signal);
  if (pinned) {
    requireTable(pinned, dataset.table, store.uri + dataset.tier1.prefix);
    return { schema: currentSchema(pinned), batches };
  }
  const gathered: Batch[] = [];
  const shape = new Shape();
  const limits = { maxRecordBytes: components.settings.run.maxRecordBytes };
  let gatheredBytes = 0;
  const { spoolBytesMax } = components.settings.run;
  for await (const batch of batches) {
    gathered.push(batch);
    gatheredBytes += batch.sizeBytes;
    await observeBatch(batch, shape, dataset.records, limits).finally(() => batch.store());
    if (gatheredBytes > spoolBytesMax) throw tooMuchToInfer(task, spoolBytesMax);
  }
  const inferred = shape.columns();
  // An hour without a single record says nothing about the columns; the next hour decides them.
  if (inferred.length === 0) return { schema: { version: 0, columns: [] }, batches: gathered };
  const schema = await pin(inferred);
  const location = store.uri + schemaKey(dataset.tier1.prefix);
  task.observe({ type: "pinned", dataset: dataset.name, hour: task.hour, location, columns: schema.columns });
  tellList(task, schema);
  return { schema, batches: gathered };
}

/** Reports a single list column, as in CloudTrail objects: the user probably wants a row for each element. */
function tellList({ dataset, hour, observe }: HourTask, { columns: [column, ...others] }: Schema): void {
  if (column?.type.kind !== "array" || others.length > 0 || dataset.records.keys.length > 0) return;
  const text = `its one column is a list: to have a row for each of its elements, delete the dataset's tier 1 and say records: ${column.path[0]}[*]`;
  observe({ type: "notice", dataset: dataset.name, hour, text });
}

function tooMuchToInfer(task: HourTask, spoolBytesMax: number): HourpackError {
  return new HourpackError(
    "invalid",
    `pack ${task.dataset.name} ${task.hour}: its columns are inferred over the whole hour, which is more than the spool's ${spoolBytesMax} bytes`,
    {
      stage: "pin",
      location: "run.spoolMax",
      hint: `Raise --spool-max, or say the columns (\`columns:\`, --columns): ${initText(task.dataset.rawUri, task.components.settings)} finds them from a sample.`,
    },
  );
}

/** Appends a column for each member that had none, of the type that all its values in the hour share. */
export async function growSchema(task: HourTask, unknown: Shape, attempt: string): Promise<Schema> {
  const { dataset, components, signal } = task;
  const store = await components.tier1(dataset);
  // Only the columns that this hour adds: another hour in work may have added the same members, and more.
  let added: Column[] = [];
  const grow = (pinned: Pinned | undefined) => {
    const schema = pinned ? currentSchema(pinned) : { version: 0, columns: [] };
    const { columns } = appendColumns(schema, unknown.columns(schema));
    added = columns.slice(schema.columns.length);
    return columns;
  };
  const again = rebuildOf(components.settings, dataset);
  const options = { attempt, nowMs: components.nowMs(), signal, again };
  const pinned = await pinColumns(store, dataset.tier1.prefix, dataset.table, grow, options);
  if (added.length > 0) tellAdded(task, added);
  return currentSchema(pinned);
}

/** Reported because new columns are permanent, types included. */
function tellAdded({ dataset, hour, components, observe }: HourTask, added: Column[]): void {
  const named = added.map(({ name, type }) => `${name} ${hiveType(type)}`);
  const text = `${counted(added.length, "new column")} (unknown: add): ${listed(named, ADDED_NAMED)}`;
  const schema = commandText("schema", components.settings, { dataset: dataset.name });
  const alike = `new columns (${schema} shows all)`;
  observe({ type: "notice", dataset: dataset.name, hour, text, alike });
}

const ADDED_NAMED = 10;

/** Observes every record of a batch, not a sample. */
async function observeBatch(
  batch: Batch,
  shape: Shape,
  records: RecordPath,
  limits: FrameLimits,
): Promise<void> {
  const bytes = await batch.bytes();
  const turn = new Turn();
  for (const segment of batch.segments) {
    if (segment.damage !== undefined) continue;
    const piece = bytes.subarray(segment.offset, segment.offset + segment.sizeBytes);
    for (const framed of frameObject(piece, records, limits, segment)) {
      if (framed.kind === "record") shape.observe(framed.value);
      if (turn.isOver()) await turn.next();
    }
  }
}
