/** hourpack restore: an hour's records back as NDJSON, from tier 1 alone. */
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Components } from "../components.js";
import type { Dataset } from "../config/settings.js";
import { EXIT, HourpackError, kindOfSystemError, reasonOf } from "../errors.js";
import type { Hour } from "../hour.js";
import { makeFolders } from "../make-folders.js";
import { datasetsOf } from "../run.js";
import { publishedHours } from "../tier1/published.js";
import { openRestoration, type Restoration } from "../upkeep/restore.js";
import { count, counted } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import { hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";
import { Unpublished } from "./unpublished.js";

export const command: Command = {
  options: {
    ...hourOptions,
    out: {
      type: "string",
      describe:
        "Folder for <dataset>-<hour>.ndjson and, where there is some, .quarantine.ndjson; else records go to standard output",
    },
    "dry-run": { type: "boolean", describe: "Only show which hours would be written" },
    ...settingsOptions,
  },
  examples: [
    ["$0 restore --hour 2022-07-26T00 | head", "look at an hour's records"],
    ["$0 restore --from 2022-07-26 --to 2022-07-27 --out ./restored", "a day, a file an hour"],
  ],
  async handler(args, context) {
    const range = hoursOf(args);
    if (!range) {
      throw new HourpackError("invalid", "no hour is named", {
        location: "--hour",
        hint: "Name one with --hour 2022-07-26T00, or a range with --from and --to.",
      });
    }
    const out = args["out"] as string | undefined;
    return withComponents(await settingsOf(args), async (components) => {
      const dryRun = args["dry-run"] === true;
      const totals = { hours: 0, records: 0, quarantined: 0 };
      const unpublished = new Unpublished("restore", range, components.settings);
      const datasets = datasetsOf(components.settings, datasetNames(args));
      const isApart = out !== undefined || context.output.json || dryRun;
      if (!isApart && datasetNames(args) === undefined) requireOne(datasets);
      for (const dataset of datasets) {
        const tier1 = await components.tier1(dataset);
        const hours = await publishedHours(tier1, dataset, range, context.signal);
        unpublished.add(dataset, hours);
        for (const hour of hours) {
          if (dryRun) {
            context.output.line(`${dataset.name} ${hour}`);
            context.output.record({ type: "planned", dataset: dataset.name, hour });
            totals.hours++;
            continue;
          }
          const written = await restoreOne(components, dataset, hour, out, context);
          if (!written) return EXIT.done;
          totals.hours++;
          totals.records += written.records;
          totals.quarantined += written.quarantined;
        }
      }
      unpublished.tell(context.output);
      if (dryRun) {
        context.output.note(`${counted(totals.hours, "hour")} would be written`);
        context.output.result({ dryRun, hours: totals.hours });
        return EXIT.done;
      }
      const text = `${counted(totals.hours, "hour")}: ${counted(totals.records, "record")}, ${count(totals.quarantined)} quarantined`;
      const unwritten =
        totals.quarantined > 0 && out === undefined ? "; quarantined bytes are written with --out" : "";
      context.output.note(text + unwritten);
      context.output.result({ dryRun, ...totals });
      return EXIT.done;
    });
  },
};

/** On standard output nothing tells one dataset's records from another's. */
function requireOne(datasets: Dataset[]): void {
  if (datasets.length < 2) return;
  const names = datasets.map(({ name }) => name).join(", ");
  throw new HourpackError("invalid", `restore to standard output: the records of ${names} would be mixed`, {
    hint: "Name one with --dataset, or a folder with --out; with --json each record has its dataset.",
  });
}

/** Undefined where nobody reads on. */
async function restoreOne(
  components: Components,
  dataset: Dataset,
  hour: Hour,
  out: string | undefined,
  { output, signal }: CommandContext,
): Promise<{ records: number; quarantined: number } | undefined> {
  const restoration = await openRestoration({ components, dataset, hour, signal });
  try {
    const { published, unchecked } = restoration;
    const { quarantined } = published;
    if (unchecked !== undefined) {
      const text = `${dataset.name} ${hour}: whether these are the records that were packed is not known (${unchecked})`;
      output.notice(text, { dataset: dataset.name, hour });
    }
    if (out !== undefined) {
      // A name such as mmp/android is a folder: with another separator two datasets could have one file.
      const base = join(out, `${dataset.name}-${hour}`);
      await makeFolders(dirname(base)).catch((error) => {
        throw unwritten(error, out);
      });
      const records = await writeLines(`${base}.ndjson`, restoration.records(), signal);
      const pieces = `${base}.quarantine.ndjson`;
      if (quarantined > 0) await writeLines(pieces, piecesOf(restoration), signal);
      // An earlier restore may have left one.
      else
        await rm(pieces, { force: true }).catch((error) => {
          throw unwritten(error, pieces);
        });
      output.line(`${base}.ndjson: ${counted(records, "record")}`);
      output.record({
        type: "restored",
        dataset: dataset.name,
        hour,
        path: `${base}.ndjson`,
        records,
        quarantined,
      });
      return { records, quarantined };
    }
    let records = 0;
    const place = JSON.stringify({ type: "record", dataset: dataset.name, hour }).slice(0, -1);
    for await (const batch of batched(restoration.records(), signal)) {
      records += batch.length;
      const lines = batch
        .map((text) => (output.json ? `${place},"record":${text}}\n` : `${text}\n`))
        .join("");
      if (!(await output.write(lines))) return undefined;
    }
    return { records, quarantined };
  } finally {
    await restoration.close();
  }
}

async function* piecesOf(restoration: Restoration): AsyncGenerator<string> {
  for await (const entry of restoration.quarantined()) yield JSON.stringify(entry);
}

/** Under another name until it is whole, so that a file that is there is one that was finished. */
async function writeLines(path: string, lines: AsyncIterable<string>, signal: AbortSignal): Promise<number> {
  // Its own: two restores may be at work on one folder.
  const aside = `${path}.${process.pid}.new`;
  const writing = <T>(step: Promise<T>) =>
    step.catch((error) => {
      throw unwritten(error, path);
    });
  let written = 0;
  try {
    const file = await writing(open(aside, "w"));
    try {
      for await (const batch of batched(lines, signal)) {
        written += batch.length;
        await writing(file.appendFile(`${batch.join("\n")}\n`));
      }
    } finally {
      await writing(file.close());
    }
    await writing(rename(aside, path));
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {});
    throw error;
  }
  return written;
}

function unwritten(error: unknown, path: string): HourpackError {
  return new HourpackError(kindOfSystemError(error), `write ${path}: ${reasonOf(error)}`, {
    location: path,
    cause: error,
    hint: "Choose another folder with --out.",
  });
}

/** A batch is written as one string, and JavaScript's strings have half a billion characters at most. */
const BATCH_LINES = 500;
const BATCH_CHARS = 8 << 20;

async function* batched(lines: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<string[]> {
  let batch: string[] = [];
  let chars = 0;
  for await (const line of lines) {
    batch.push(line);
    chars += line.length;
    if (batch.length < BATCH_LINES && chars < BATCH_CHARS) continue;
    if (signal.aborted) throw new HourpackError("interrupted", "restore: interrupted");
    yield batch;
    batch = [];
    chars = 0;
  }
  if (batch.length > 0) yield batch;
}
