/** hourpack verify: checks whether published hours are what they say. */

import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { EXIT, HourpackError } from "../errors.js";
import { addHours, type Hour, hoursBetween, hoursText, startMs } from "../hour.js";
import { keysOf } from "../named.js";
import { datasetsOf } from "../run.js";
import type { Store } from "../store/store.js";
import {
  allPublishedHours,
  attemptedHours,
  expiredHours,
  publishedHours,
  tracesOf,
} from "../tier1/published.js";
import { readPinned } from "../tier1/schema-file.js";
import { type HourVerification, hasExpired, verifyHour } from "../upkeep/verification.js";
import { agreeing, count, counted } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import { Failures } from "./failures.js";
import { quarantinedWords, skippedWords } from "./figures.js";
import { HourLines } from "./hour-lines.js";
import type { Output } from "./output.js";
import { looksOf } from "./progress.js";
import { hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";
import { tellTraces, traceOf, Unpublished } from "./unpublished.js";

export const command: Command = {
  options: {
    deep: { type: "boolean", describe: "Read all raw objects and the part again and compare every record" },
    ...hourOptions,
    ...settingsOptions,
  },
  examples: [
    ["$0 verify", "footers, manifests and counts of the newest day that is published"],
    ["$0 verify --hour 2022-07-26T00 --deep", "every record of one hour"],
  ],
  async handler(args, { output, signal }) {
    const range = hoursOf(args);
    const deep = args["deep"] === true;
    return withComponents(await settingsOf(args), async (components) => {
      const verified: HourVerification[] = [];
      const empty: Dataset[] = [];
      let published = 0;
      const datasets = datasetsOf(components.settings, datasetNames(args));
      const named = range && new Unpublished("verify", range, components.settings);
      const failures = new Failures("verify", { output, signal });
      const verifyDataset = async (dataset: Dataset) => {
        const tier1 = await components.tier1(dataset);
        const all = range
          ? new Set(await publishedHours(tier1, dataset, range, signal))
          : await allPublishedHours(tier1, dataset, signal);
        const asked = range ?? newestDay(all, components.nowMs());
        const inRange = asked ? hoursBetween(asked.from, asked.to) : [];
        const hours = [...all].filter((hour) => asked && hour >= asked.from).sort();
        // If no hour is named, adds all hours that had a part which cannot be made again, and later ones that may have had one.
        const others = range ? [] : await expiredHours(tier1, dataset, signal);
        const attempted = range ? [] : await hoursAfter(asked?.to, tier1, dataset, signal);
        const expected = [...inRange, ...others, ...attempted];
        const missing = [...new Set(expected)].filter((hour) => !all.has(hour)).sort();
        const lost = await lostHours(components, dataset, missing, output, signal);
        const unpublished = named ?? (asked && new Unpublished("verify", asked, components.settings));
        unpublished?.add(dataset, [...hours, ...lost.map(({ hour }) => hour)]);
        if (!named) unpublished?.tell(output);
        verified.push(...lost);
        for (const hour of lost) {
          output.record({ type: "verified", ...hour });
          tell([hour], deep, components.settings, output);
        }
        if (!range && hours.length + lost.length === 0) empty.push(dataset);
        published += all.size;
        verified.push(...(await verifyHours(components, dataset, hours, deep, failures, { output, signal })));
      };
      for (const dataset of datasets)
        await failures.past({ dataset: dataset.name }, () => verifyDataset(dataset));
      if (verified.length + failures.count === 0) await requireTables(components, datasets, signal);
      for (const { name } of empty) output.line(`no published hour in ${name}`);
      if (failures.count === 0) named?.tell(output);
      failures.tell();
      return conclude(verified, failures, range ? undefined : published, deep, components.settings, output);
    });
  },
};

/** Hours from this one on, or all, that an attempt began to publish. */
async function hoursAfter(
  from: Hour | undefined,
  tier1: Store,
  dataset: Dataset,
  signal: AbortSignal,
): Promise<Hour[]> {
  const attempted = [...(await attemptedHours(tier1, dataset, signal))];
  return from === undefined ? attempted : attempted.filter((hour) => hour >= from);
}

async function verifyHours(
  components: Components,
  dataset: Dataset,
  hours: Hour[],
  deep: boolean,
  failures: Failures,
  { output, signal }: Pick<CommandContext, "output" | "signal">,
): Promise<HourVerification[]> {
  const verified: HourVerification[] = [];
  const lines = new HourLines<HourVerification>(hours.length, (alike) =>
    tell(alike, deep, components.settings, output),
  );
  const tellLooks = lines.isEach ? () => {} : looksOf(output);
  for (const [i, hour] of hours.entries()) {
    tellLooks(i, hours.length);
    const context = { dataset, hour, components, signal };
    const verifying = () => verifyHour(context, { deep });
    const result = await failures.past({ dataset: dataset.name, hour }, verifying, () => lines.end());
    if (!result || result.state === "unpublished") continue;
    verified.push(result);
    output.record({ type: "verified", ...result });
    lines.add(result, isPlain(result) ? result.state : undefined);
  }
  lines.end();
  return verified;
}

/** Whether there is nothing to report but its figures and, if all its raw objects were deleted, when. */
function isPlain({ state, deep, objects }: HourVerification): boolean {
  const isWhole = state === "sound" || (state === "expired" && deep?.expired.count === objects);
  return isWhole && !deep?.late.count && !deep?.replaced.count && !deep?.skipped;
}

/**
 * The newest hour that has begun and the 23 before it, but none from before the oldest: an hour without a
 * part among them is a hole.
 */
function newestDay(published: Set<Hour>, nowMs: number): { from: Hour; to: Hour } | undefined {
  const hours = [...published].sort();
  const oldest = hours[0];
  const newest = hours.findLast((hour) => startMs(hour) <= nowMs) ?? hours.at(-1);
  if (!oldest || !newest) return undefined;
  const [, from = oldest] = [oldest, addHours(newest, -23)].sort();
  return { from, to: addHours(newest, 1) };
}

/**
 * Hours that should have a part and do not. They are wrong if raw objects were deleted because the part had
 * their records, and if an attempt that must have ended left a manifest. While it may still publish, that is
 * only noted.
 */
async function lostHours(
  components: Components,
  dataset: Dataset,
  missing: Hour[],
  output: Output,
  signal: AbortSignal,
): Promise<HourVerification[]> {
  const tier1 = await components.tier1(dataset);
  const traces = await tracesOf(tier1, dataset, missing, { nowMs: components.nowMs(), signal });
  const { name } = dataset;
  for (const hour of missing)
    if (traces.get(hour) === "expired" && !(await hasExpired({ components, dataset, hour, signal })))
      traces.set(hour, "manifest");
  const atWork = new Map([...traces].filter(([, trace]) => trace === "recent"));
  tellTraces(dataset, atWork, components.settings, output);
  const problemOf = (hour: Hour) =>
    traces.get(hour) === "expired"
      ? "its part is missing, and raw objects were deleted because it had their records: bring it back from a backup or an older version"
      : traceOf(dataset, [hour], "manifest", components.settings);
  return missing
    .filter((hour) => traces.has(hour) && !atWork.has(hour))
    .map((hour) => ({
      dataset: name,
      hour,
      state: "wrong",
      rows: 0,
      quarantined: 0,
      quarantinedBytes: 0,
      objects: 0,
      problems: [problemOf(hour)],
    }));
}

/**
 * Called when nothing was found. Throws `invalid` if tier 1 has nothing of a table at all, for example
 * because one of the two is mistyped.
 */
async function requireTables(
  components: Components,
  datasets: Dataset[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const dataset of datasets) {
    const { table, tier1, name } = dataset;
    const store = await components.tier1(dataset);
    const pinned = await readPinned(store, tier1.prefix, signal);
    if (pinned?.table === table) continue;
    const what = pinned ? `it holds the table ${pinned.table}` : "hourpack has not written there";
    throw new HourpackError(
      "invalid",
      `verify ${name}: ${store.uri}${tier1.prefix} has nothing of the table ${table}: ${what}`,
      {
        location: store.uri + tier1.prefix,
        hint: "Check tier1 and table of the dataset (`--tier1`, `--table`); before the first run there is nothing to verify.",
      },
    );
  }
}

/** `published`: the number of all published hours, if none was named. */
function conclude(
  verified: HourVerification[],
  failures: Failures,
  published: number | undefined,
  deep: boolean,
  settings: Settings,
  output: Output,
): number {
  const inState = (wanted: HourVerification["state"]) =>
    verified.filter(({ state }) => state === wanted).length;
  const [wrong, expired] = [inState("wrong"), inState("expired")];
  const rows = verified.reduce((sum, result) => sum + result.rows, 0);
  const { green, red } = output.colors;
  const hours = counted(verified.length, "hour");
  if (failures.count > 0) output.line(red(`${count(failures.count)} failed`));
  if (wrong > 0) output.line(red(`${count(wrong)} of ${hours} wrong`));
  else if (verified.length === 0) {
    if (failures.count === 0)
      output.note(
        `nothing to verify: ${commandText("plan", settings)} shows what is due, and with --from and --to any other hours`,
      );
  } else if (!deep) {
    output.line(green(`${hours}: footer, manifest and counts agree (${counted(rows, "row")})`));
    output.note("no row was read: `--deep` reads raw and rows again and compares every record");
  } else {
    output.line(green(`${hours} ${proofOf(verified, rows)}`));
  }
  const withPart = verified.filter(({ etag }) => etag !== undefined).length;
  if (published !== undefined && published > withPart) {
    const looked = `${count(withPart)} of ${counted(published, "published hour")}`;
    output.line(`${looked} looked at (the newest day); name others with --from and --to`);
  }
  output.result({
    hours: verified.length,
    ...(published === undefined ? {} : { published }),
    wrong,
    expired,
    failed: failures.count,
    rows,
    deep,
  });
  return failures.exitCodeWith(wrong > 0 ? EXIT.data : EXIT.done);
}

/** Reports one hour, or several that have nothing but figures to report. */
function tell(alike: HourVerification[], deep: boolean, settings: Settings, output: Output): void {
  const [result] = alike as [HourVerification];
  const { green, red, dim } = output.colors;
  const mark = result.state === "wrong" ? red("wrong") : green(deep ? result.state : "agrees");
  const sum = (pick: (hour: HourVerification) => number) =>
    alike.reduce((total, one) => total + pick(one), 0);
  const figures = [
    counted(
      sum(({ objects }) => objects),
      "object",
    ),
    counted(
      sum(({ rows }) => rows),
      "row",
    ),
  ];
  const quarantinedBytes = sum((one) => one.quarantinedBytes);
  figures.push(
    ...quarantinedWords(
      sum(({ quarantined }) => quarantined),
      quarantinedBytes,
    ),
  );
  const hours = hoursText(alike.map(({ hour }) => hour));
  const expiry = result.state === "expired" ? expiryOf(alike) : "";
  output.line(`${result.dataset} ${hours}  ${mark}  ${figures.join(", ")}${expiry}`);
  for (const problem of result.problems) output.line(`  ${problem}`);
  for (const { kind, detail, object, offset, row, record } of result.deep?.differences ?? []) {
    const place = [object, offset !== undefined && `byte ${offset}`, row !== undefined && `row ${row}`];
    output.line(`  ${kind}: ${detail}`);
    if (place.some(Boolean)) output.line(dim(`    at ${place.filter(Boolean).join(", ")}`));
    if (record) output.line(dim(`    ${record}`));
  }
  const late = result.deep?.late.count ?? 0;
  if (late > 0) {
    const run = commandText("run", settings, { dataset: result.dataset, hours: result.hour });
    output.line(
      `  ${counted(late, "late object")}, not in the part: ${run} packs ${agreeing(late, "it")}, or says why not`,
    );
  }
  tellReplaced(result, settings, output);
  const skipped = result.deep?.skipped ?? 0;
  if (skipped > 0) output.line(`  ${skippedWords(skipped)}`);
}

/**
 * The part is what it should be. These objects are in no part, and somebody has to decide what becomes of
 * them.
 */
function tellReplaced({ dataset, hour, deep }: HourVerification, settings: Settings, output: Output): void {
  if (!deep || deep.replaced.count === 0) return;
  const plan = commandText("plan", settings, { dataset, hours: hour });
  const [lie, them] = deep.replaced.count === 1 ? ["lies", "it"] : ["lie", "them"];
  output.line(
    `  ${counted(deep.replaced.count, "other object")} ${lie} under the name of what expired (${keysOf(deep.replaced)}), and no row of ${them} is in the part: a run refuses the hour until somebody decides, and ${plan} says what can be done`,
  );
}

function proofOf(verified: HourVerification[], rows: number): string {
  const expired = verified.reduce((sum, { deep }) => sum + (deep?.expired.rows ?? 0), 0);
  if (expired === 0) return `sound: ${counted(rows, "row")}, every record compared`;
  const agree = verified.length === 1 ? "agrees" : "agree";
  return `${agree}: ${counted(rows, "row")}, of which ${count(expired)} were proved before their raw objects expired`;
}

/** What could be checked although raw objects were deleted. For several hours, all objects of each were. */
function expiryOf(alike: HourVerification[]): string {
  const [{ deep, objects }] = alike as [HourVerification];
  const { count: expired, rows } = deep?.expired ?? { count: 0, rows: 0 };
  const minutes = alike.map(({ expiredAt = "" }) => `${expiredAt.slice(0, 16)}Z`).sort();
  const [first, last] = [minutes[0], minutes.at(-1)];
  const when = first === last ? `on ${first}` : `from ${first} to ${last}`;
  if (expired === objects) return `; raw was proved and deleted ${when}`;
  return `; raw of ${counted(expired, "object")} with ${counted(rows, "row")} was proved and deleted ${when}, the others' records were compared`;
}
