/**
 * hourpack demo: makes three hours of made-up events of two datasets in a directory, packs them, and shows
 * the result.
 */
import { hash } from "node:crypto";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { loadSettings } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import { makeHour, PLATFORMS } from "../demo/events.js";
import { EXIT, HourpackError, reasonOf } from "../errors.js";
import { addHours, type Hour, hoursBetween } from "../hour.js";
import { partitionPrefix } from "../layout.js";
import { makeFolders } from "../make-folders.js";
import { exitCodeOfRun, type RunResult, run } from "../run.js";
import type { HourResult } from "../task.js";
import { count, counted, listed } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import { size } from "./figures.js";
import type { Output } from "./output.js";
import { openProgress } from "./progress.js";
import { ask, showRows } from "./query.js";
import { summaryOf } from "./run.js";
import { withComponents } from "./settings.js";
import { showTable } from "./table.js";

const FIRST_HOUR = "2022-07-26T00" as Hour;
const HOURS = { from: FIRST_HOUR, to: addHours(FIRST_HOUR, 3) };

export const command: Command = {
  options: {
    dir: {
      type: "string",
      default: "./hourpack-demo",
      describe: "Where the demo is made",
    },
    seed: { type: "number", default: 1, describe: "The same seed makes the same events" },
  },
  examples: [["$0 demo --dir /tmp/demo", "somewhere else"]],
  async handler(args, context) {
    const dir = String(args["dir"]);
    const { output } = context;
    await clear(dir);
    const { made, settings, result } = await make(dir, Number(args["seed"]), context);
    for (const { error } of result.failures) output.error(error);
    output.line(output.colors.green(summaryOf(result)));
    const code = exitCodeOfRun(result);
    if (code === EXIT.done) await show(dir, settings, result, context);
    output.result({ dir, ...made, hours: result.hours });
    return code;
  },
};

async function make(dir: string, seed: number, context: CommandContext) {
  const { output, signal } = context;
  try {
    await writeFile(join(dir, "hourpack.yaml"), CONFIG);
    const made = await makeEvents(dir, seed, signal);
    output.line(
      `made ${counted(made.objects, "object")} of JSON (${size(made.rawBytes)}) in ${join(dir, "raw")}`,
    );
    const settings = await loadSettings({ file: join(dir, "hourpack.yaml"), env: {} });
    return { made, settings, result: await pack(settings, context) };
  } finally {
    // Also after an interruption: nothing else was there when the demo began.
    await noteWhatIsThere(dir);
  }
}

/**
 * Lists what a demo made, as `sha256sum` writes it. Anything else in its directory is somebody's, and stays.
 */
const MARK = ".hourpack-demo";

/** Deletes what an earlier demo made. If there is anything else, throws `invalid` and deletes nothing. */
async function clear(dir: string): Promise<void> {
  await makeFolders(dir).catch((error) => {
    throw new HourpackError("invalid", `make ${dir}: ${reasonOf(error)}`, { location: dir, hint: ELSEWHERE });
  });
  const mark = await readFile(join(dir, MARK), "utf8").catch(() => "");
  const made = new Map(mark.split("\n").map((line) => [line.slice(SUM_CHARS), line]));
  const files = await filesOf(dir);
  const others: string[] = [];
  for (const path of files) {
    const line = made.get(relative(dir, path));
    if (line === undefined ? !(await isLock(path)) : line !== (await lineOf(dir, path))) others.push(path);
  }
  if (others.length > 0) {
    throw new HourpackError(
      "invalid",
      `${dir} has files that the demo did not make, or that changed since: ${listed(others, 1)}`,
      { location: dir, hint: ELSEWHERE },
    );
  }
  for (const path of files) await rm(path);
}

/** Each command that writes to a lake, such as the doctor, leaves lock files there. They are empty. */
async function isLock(path: string): Promise<boolean> {
  return /\/_hourpack\/locks\/[^/]+\.lock$/.test(path) && (await stat(path)).size === 0;
}

const ELSEWHERE = "Name another directory with --dir. Nothing was deleted.";

async function noteWhatIsThere(dir: string): Promise<void> {
  const lines = await Promise.all((await filesOf(dir)).map((path) => lineOf(dir, path)));
  await writeFile(join(dir, MARK), `${lines.join("\n")}\n`);
}

/** All files but the mark. */
async function filesOf(dir: string): Promise<string[]> {
  return (await filesUnder(dir)).filter((path) => relative(dir, path) !== MARK);
}

const SUM_CHARS = 64 + "  ".length;

async function lineOf(dir: string, path: string): Promise<string> {
  return `${hash("sha256", await readFile(path))}  ${relative(dir, path)}`;
}

async function makeEvents(
  dir: string,
  seed: number,
  signal: AbortSignal,
): Promise<{ objects: number; rawBytes: number }> {
  let objects = 0;
  let rawBytes = 0;
  for (const platform of PLATFORMS) {
    for (const hour of hoursBetween(HOURS.from, HOURS.to)) {
      if (signal.aborted) throw new HourpackError("interrupted", "make events: interrupted");
      const folder = join(dir, "raw", platform, partitionPrefix(hour));
      await makeFolders(folder);
      const made = makeHour(platform, hour, seed);
      await Promise.all(made.map(({ name, body }) => writeFile(join(folder, name), body)));
      objects += made.length;
      rawBytes += made.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
    }
  }
  return { objects, rawBytes };
}

function pack(settings: Settings, { output, log, runId, signal }: CommandContext): Promise<RunResult> {
  return withComponents(settings, async (components) => {
    const progress = await openProgress(output, log, { tellsFailures: false });
    try {
      return await run(components, { hours: HOURS, signal, runId }, progress.observe);
    } finally {
      progress.stop();
    }
  });
}

async function show(
  dir: string,
  settings: Settings,
  result: RunResult,
  { output, signal }: CommandContext,
): Promise<void> {
  if (output.json) return;
  const { bold, dim } = output.colors;
  output.line(`\n${bold("Before and after")}  the hours of ${HOURS.from.slice(0, 10)}:`);
  showTable(HOUR_COLUMNS, result.hours.map(hourCells), output);

  output.line(`\n${bold("A query")}  ${dim(QUERY)}`);
  showRows(await ask(settings, QUERY, { rowsMax: 20, signal }), output);

  output.line(`\n${bold("Rescued and quarantined")}  nothing is lost:`);
  await showOdd(dir, settings, output, signal);

  output.line(`\n${bold("Where it lies")}`);
  for (const line of await places(dir)) output.line(line);

  const config = `--config ${join(dir, "hourpack.yaml")}`;
  output.line(`\n${bold("Next")}`);
  for (const [line, does] of [
    [`run ${config} --from 2022-07-26 --to 2022-07-27`, "again: every hour is up to date"],
    [`verify ${config} --deep`, "compare every raw record with its row"],
    [`query ${config} "from mmp_ios limit 5"`, "any SQL of DuckDB"],
    [`restore ${config} --dataset mmp/ios --hour 2022-07-26T00 | head -3`, "the records back as JSON lines"],
  ]) {
    output.line(`  ${dim(`# ${does}`)}`);
    output.line(`  ${invokedAs()} ${line}`);
  }
}

/** `hourpack` if it is on the PATH, else what was typed: `node bin/hourpack.js` in a checkout. */
function invokedAs(): string {
  const script = process.argv[1] ?? "hourpack";
  return script.endsWith(".js") ? `node ${relative(process.cwd(), script)}` : "hourpack";
}

const QUERY = `select event_name, count(*) as events, count(distinct customer_user_id) as users, round(sum(event_revenue), 2) as revenue from mmp_android group by 1 order by 2 desc`;

const HOUR_COLUMNS = [
  { name: "hour", isWhole: true },
  { name: "objects", isNumber: true, spare: 0 },
  { name: "JSON", isNumber: true },
  { name: "Parquet", isNumber: true },
  { name: "rows", isNumber: true },
  { name: "rescued", isNumber: true },
  { name: "quarantine", isNumber: true },
];

function hourCells(hour: HourResult): string[] {
  const { dataset, objects, rawBytes, part, rescued = 0, quarantined = 0 } = hour;
  return [
    `${dataset} ${hour.hour.slice(10)}`,
    count(objects),
    size(rawBytes),
    size(part?.sizeBytes ?? 0),
    count(part?.rows ?? 0),
    count(rescued),
    count(quarantined),
  ];
}

async function showOdd(dir: string, settings: Settings, output: Output, signal: AbortSignal): Promise<void> {
  const sql =
    "select customer_user_id, session_count, _rescued_data from mmp_android where _rescued_data is not null limit 3";
  showRows(await ask(settings, sql, { rowsMax: 3, signal }), output);
  const files = (await filesUnder(join(dir, "lake"))).sort();
  const quarantine = files.find((path) => path.includes("/quarantine/"));
  if (quarantine) output.line(output.colors.dim(`quarantined bytes:\nzcat ${quarantine} | head -1`));
}

/**
 * The raw objects, the parts of each dataset and what hourpack keeps beside them: a line each, however many
 * they are.
 */
async function places(dir: string): Promise<string[]> {
  const raw = await filesUnder(join(dir, "raw"));
  const lines = [`  ${join(dir, "raw")}/  ${counted(raw.length, "object")}`];
  for (const platform of PLATFORMS) {
    const tier1 = join(dir, "lake", platform);
    const parts = (await filesUnder(tier1)).filter((path) => path.endsWith(".parquet")).sort();
    const sizes = await Promise.all(parts.map(async (path) => (await stat(path)).size));
    const bytes = sizes.reduce((sum, one) => sum + one, 0);
    lines.push(`  ${tier1}/  ${counted(parts.length, "part")}, ${size(bytes)}, the first:`);
    lines.push(...parts.slice(0, 1).map((path) => `    ${relative(tier1, path)}`));
  }
  lines.push("    and _hourpack/ in each: manifests, quarantine, the pinned columns");
  return lines;
}

async function filesUnder(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

const CONFIG = `# Made by \`hourpack demo\`. Paths are relative to this file.
datasets:
  mmp:
    for: { platform: [android, ios] }
    raw: "./raw/{platform}/year={yyyy}/month={MM}/day={dd}/hour={HH}/"
    tier1: "./lake/{platform}/"
    table: "mmp_{platform}"
    columns:
      app_id: string
      app_version: string
      appsflyer_id: string
      city: string
      country_code: string
      customer_user_id: string
      device_download_time: timestamp
      device_type: string
      event_name: string
      event_revenue: decimal(10,2)
      event_time: timestamp
      event_value: struct<user_id:string,comic_id:string,screen_name:string>
      event_value_comic_id: { type: string, from: event_value.comic_id }
      is_retargeting: boolean
      language: string
      media_source: string
      os_version: string
      session_count: bigint
      wifi: boolean
catalog: { type: local, database: mmp_db, path: ./catalog.duckdb }
`;
