/** The doctor: looks at everything that a run rests on, and says what is wrong and what to do. Leaves nothing behind. */
import { machineOf } from "../../capacity.js";
import { lookAtCatalog } from "../../catalog/look.js";
import { type ComponentOptions, openComponents } from "../../components.js";
import type { Dataset, Settings } from "../../config/settings.js";
import { EXIT, HourpackError } from "../../errors.js";
import { datasetsOf } from "../../run.js";
import { tablesIn, tablesOf } from "../../tables.js";
import { type Check, Checks, type Verdict } from "./check.js";
import { checkClock } from "./clock.js";
import { checkDisk, checkMemory, checkNode } from "./machine.js";
import {
  checkConditions,
  checkCredentials,
  checkOlder,
  checkRaw,
  checkTier1,
  checkWriting,
  type StoreContext,
} from "./stores.js";

export interface DoctorOptions extends ComponentOptions {
  datasets?: string[];
  signal?: AbortSignal;
  /** Told of each check as it is made. */
  tell?: (check: Check) => void;
}

/** The checks in the order in which they were made. Throws `interrupted`, and `invalid` for an unknown dataset. */
export async function diagnose(settings: Settings, options: DoctorOptions = {}): Promise<Check[]> {
  const { signal, tell = () => {}, nowMs = Date.now } = options;
  const datasets = datasetsOf(settings, options.datasets);
  const checks = new Checks(tell);
  await checks.make("configuration", undefined, async () => configurationOf(settings, datasets));
  await checks.make("node", undefined, async () => checkNode(process.versions.node));
  await checks.make("memory", undefined, async () => checkMemory(settings.run, machineOf()));
  const components = openComponents(withShortLimits(settings), { nowMs });
  try {
    const hourBytes = await checkStores({ components, checks, signal }, datasets, nowMs);
    await checkTables(checks, settings, datasets, signal);
    await checks.make("disk", undefined, () => checkDisk(settings.run, hourBytes));
  } finally {
    await components.close();
  }
  return checks.all;
}

/** That of the first failure; 0 where nothing failed. */
export function exitCodeOfChecks(checks: Check[]): number {
  const failed = checks.find(({ status }) => status === "failed");
  return failed ? (failed.exitCode ?? EXIT.bug) : EXIT.done;
}

/** A person waits for the answer: what does not answer within seconds is told as it is. */
function withShortLimits(settings: Settings): Settings {
  const { timeoutMs, retryBudgetMs } = settings.s3;
  return {
    ...settings,
    s3: {
      ...settings.s3,
      timeoutMs: Math.min(timeoutMs, 10_000),
      retryBudgetMs: Math.min(retryBudgetMs, 2_000),
    },
  };
}

function configurationOf(settings: Settings, datasets: Dataset[]): Verdict {
  const names = datasets.map(({ name }) => name).join(", ");
  return {
    status: "ok",
    message: `${settings.file ?? "flags and variables"}: ${names}; catalog ${settings.catalog.type}`,
  };
}

/** Returns the size of the largest newest hour, as far as it was seen. */
async function checkStores(context: StoreContext, datasets: Dataset[], nowMs: () => number): Promise<number> {
  const { checks, components } = context;
  const { s3, run } = components.settings;
  const usesS3 = ({ raw, tier1 }: Dataset) => raw.location.scheme === "s3" || tier1.scheme === "s3";
  const inS3 = datasets.find(usesS3);
  if (inS3) {
    const region = process.env["AWS_REGION"] ?? process.env["AWS_DEFAULT_REGION"];
    await checks.make("clock", undefined, () => checkClock(s3, { settleMs: run.settleMs, nowMs, region }));
  }
  const isKnown = !inS3 || (await checkCredentials(context, inS3));
  let hourBytes = 0;
  for (const dataset of datasets) {
    if (!isKnown && usesS3(dataset)) {
      await checks.skip("stores", dataset.name, "S3 could not be asked");
      continue;
    }
    const newestBytes = await checkRaw(context, dataset);
    hourBytes = Math.max(hourBytes, newestBytes);
    if ((await checkTier1(context, dataset)) && newestBytes > 0) await checkOlder(context, dataset);
    if (await checkWriting(context, dataset)) await checkConditions(context, dataset);
    else
      await checks.skip("conditional writes", dataset.name, "a probe could not be written, read and deleted");
  }
  return hourBytes;
}

/** Both tables of each dataset, in one look. */
async function checkTables(
  checks: Checks,
  settings: Settings,
  datasets: Dataset[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const { catalog } = settings;
  if (catalog.type === "none") return;
  await checks.make("catalog", undefined, async () => {
    const wanted = datasets.flatMap((dataset) =>
      tablesIn(tablesOf(dataset, [], settings), settings).toReversed(),
    );
    const known = await lookAtCatalog(
      catalog,
      wanted.map(({ name }) => name),
      signal,
    );
    const withoutSlash = (location: string) => location.replace(/\/+$/, "");
    for (const [i, { name, location }] of known.entries()) {
      const ours = wanted[i]?.location ?? "";
      if (catalog.type !== "glue" || location === undefined || withoutSlash(location) === withoutSlash(ours))
        continue;
      throw new HourpackError(
        "invalid",
        `${catalog.database}.${name} is there already, and lies at ${location}`,
        {
          hint: `It should lie at ${ours}: drop it, or give the dataset another table name.`,
        },
      );
    }
    const there = known.filter(({ location }) => location !== undefined).map(({ name }) => name);
    const missing = known.filter(({ location }) => location === undefined).map(({ name }) => name);
    const words = [
      ...(there.length > 0 ? [`readable: ${there.join(", ")}`] : []),
      ...(missing.length > 0 ? [`not there yet, made by the first run: ${missing.join(", ")}`] : []),
    ];
    return { status: "ok", message: `${catalog.type} database ${catalog.database}, ${words.join("; ")}` };
  });
}
