/**
 * The doctor: looks at everything that a run rests on, and says what is wrong and what to do. Leaves nothing
 * behind.
 */
import { machineOf } from "../../capacity.js";
import { type ComponentOptions, openComponents } from "../../components.js";
import type { Dataset, Settings } from "../../config/settings.js";
import { EXIT } from "../../errors.js";
import { datasetsOf } from "../../run.js";
import { checkCatalog } from "./catalog.js";
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

interface DoctorOptions extends ComponentOptions {
  datasets?: string[];
  signal?: AbortSignal;
  /** Receives each check as it is made. */
  tell?: (check: Check) => void;
}

/**
 * Returns the checks in the order in which they were made. Throws `interrupted`, and `invalid` for an unknown
 * dataset.
 */
export async function diagnose(settings: Settings, options: DoctorOptions = {}): Promise<Check[]> {
  const { signal, tell = () => {}, nowMs = Date.now } = options;
  const datasets = datasetsOf(settings, options.datasets);
  const checks = new Checks(tell);
  await checks.make("configuration", undefined, async () => configurationOf(settings, datasets));
  await checks.make("node", undefined, async () => checkNode(process.versions.node));
  await checks.make("memory", undefined, async () => checkMemory(settings.run, machineOf()));
  const components = openComponents(withShortLimits(settings), { nowMs });
  try {
    const context = { components, checks, signal };
    const { hourBytes, readable } = await checkStores(context, datasets, nowMs);
    await checkCatalog(context, datasets, readable);
    await checks.make("disk", undefined, () => checkDisk(settings.run, hourBytes));
  } finally {
    await components.close();
  }
  return checks.all;
}

/** The exit code of the first failure; 0 if nothing failed. */
export function exitCodeOfChecks(checks: Check[]): number {
  const failed = checks.find(({ status }) => status === "failed");
  return failed ? (failed.exitCode ?? EXIT.bug) : EXIT.done;
}

/** A person waits for the answer: if something does not answer within seconds, that is reported as it is. */
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

/** Returns the size of the largest newest hour, as far as it was seen, and the datasets whose tier 1 is in order. */
async function checkStores(
  context: StoreContext,
  datasets: Dataset[],
  nowMs: () => number,
): Promise<{ hourBytes: number; readable: Dataset[] }> {
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
  const readable: Dataset[] = [];
  for (const dataset of datasets) {
    if (!isKnown && usesS3(dataset)) {
      await checks.skip("stores", dataset.name, "S3 could not be asked");
      continue;
    }
    const newestBytes = await checkRaw(context, dataset);
    hourBytes = Math.max(hourBytes, newestBytes);
    const isReadable = await checkTier1(context, dataset);
    if (isReadable) readable.push(dataset);
    if (isReadable && newestBytes > 0) await checkOlder(context, dataset);
    if (await checkWriting(context, dataset)) await checkConditions(context, dataset);
    else
      await checks.skip("conditional writes", dataset.name, "a probe could not be written, read and deleted");
  }
  return { hourBytes, readable };
}
