/**
 * What hourpack needs of the stores: each permission, tried by a harmless call, and the promise of
 * conditional writes.
 */
import { rmdir } from "node:fs/promises";
import { ulid } from "ulid";
import { initText } from "../../command-text.js";
import type { Components } from "../../components.js";
import { type Dataset, LOOK_BACK_HOURS, type Settings } from "../../config/settings.js";
import { EXIT, HourpackError, isHourpackError } from "../../errors.js";
import type { Hour } from "../../hour.js";
import { RawFolders } from "../../hours/discovery.js";
import { olderHours, olderText } from "../../hours/older.js";
import { isSkippedKey, ownPrefix, probePrefix, rawBasePrefix, uriOf } from "../../layout.js";
import { currentSchema } from "../../schema/pinned.js";
import { codeOf, statusOf } from "../../sdk-errors.js";
import { missingRawDirectory } from "../../stages/list.js";
import type { ObjectInfo, Store } from "../../store/store.js";
import { firstOf } from "../../streams.js";
import { newestPublishedHour, publishedPart } from "../../tier1/published.js";
import { readPinned, requirePinnable } from "../../tier1/schema-file.js";
import { counted } from "../../words.js";
import { type Checks, type Verdict, verdictOf } from "./check.js";

export interface StoreContext {
  components: Components;
  checks: Checks;
  signal: AbortSignal | undefined;
}

/** Refusals that concern who asks, whatever is asked for. The first is this side's own. */
const NOT_KNOWN =
  /^(UnsendableCredentials|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|CredentialsProviderError|NoCredentials|InvalidClientTokenId|ExpiredTokenException)$/;
/** Refusals of a store that knows who asks. */
const KNOWN = /^(AccessDenied|AllAccessDisabled|NoSuchBucket|Forbidden)$/;

/** Whether S3 answers and knows these credentials. If not, nothing more need be tried there. */
export async function checkCredentials(
  { components, checks, signal }: StoreContext,
  dataset: Dataset,
): Promise<boolean> {
  const isRaw = dataset.raw.location.scheme === "s3";
  const store = await (isRaw ? components.raw(dataset) : components.tier1(dataset));
  const prefix = isRaw ? rawBasePrefix(dataset.raw) : dataset.tier1.prefix;
  try {
    await store.listPrefixes(prefix, { signal });
  } catch (error) {
    const code = refusalOf(error);
    if (!KNOWN.test(code)) {
      const isAnswered = NOT_KNOWN.test(code);
      // What is wrong on this side, such as a missing region, is found before anything is sent.
      const why = isHourpackError(error, "unavailable") ? "S3 did not answer" : "S3 could not be asked";
      if (!isAnswered) await checks.skip("credentials", undefined, why);
      return checks.make(isAnswered ? "credentials" : "reach S3", undefined, async () => {
        throw error;
      });
    }
  }
  return checks.make("credentials", undefined, async () => ({
    status: "ok",
    message: `known at ${store.uri}${prefix}`,
  }));
}

function refusalOf(error: unknown): string {
  return error instanceof HourpackError ? codeOf(error.cause) : "";
}

/** Does the task. If it is denied, the hint names the very right that is missing. */
async function granted(rights: string, on: string, task: () => Promise<Verdict>): Promise<Verdict> {
  try {
    return await task();
  } catch (error) {
    const isDenied = error instanceof HourpackError && statusOf(error.cause) === 403;
    if (!isDenied || NOT_KNOWN.test(refusalOf(error))) throw error;
    const resource = on.replace(/^s3:\/\//, "arn:aws:s3:::").replace(/\/$/, "");
    return { ...verdictOf(error), hint: `Grant ${rights} on ${resource}.` };
  }
}

/** Lists the newest raw hour and reads one object of it. Returns the hour's size, as far as its first page shows it. */
export async function checkRaw(
  { components, checks, signal }: StoreContext,
  dataset: Dataset,
): Promise<number> {
  const store = await components.raw(dataset);
  let page: ObjectInfo[] = [];
  const isListed = await checks.make("list raw", dataset.name, () =>
    granted("s3:ListBucket", store.uri, async () => {
      const prefix = await new RawFolders(store, signal).newestPrefix(dataset.raw);
      if (prefix === undefined) return noHour(store, dataset, components.settings, signal);
      const first = await firstOf(store.list(prefix, { signal }));
      page = first?.filter(({ key }) => !isSkippedKey(key)) ?? [];
      const count = counted(page.length, "object") + (page.length >= PAGE_OBJECTS ? " or more" : "");
      return { status: "ok", message: `the newest hour is ${store.uri}${prefix} with ${count}` };
    }),
  );
  const object = page.find(({ sizeBytes }) => sizeBytes > 0);
  if (!isListed || !object) {
    await checks.skip(
      "read raw",
      dataset.name,
      isListed ? "there is no object now" : "raw could not be listed",
    );
    return 0;
  }
  const everything = `${store.uri}${rawBasePrefix(dataset.raw)}*`;
  await checks.make("read raw", dataset.name, () =>
    granted("s3:GetObject", everything, async () => {
      const range = { start: 0, end: Math.min(object.sizeBytes, SAMPLE_BYTES) };
      const bytes = await store.get(object.key, { etag: object.etag, range, signal });
      return { status: "ok", message: `${bytes.length} bytes of ${store.uri}${object.key}` };
    }),
  );
  return page.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Not a fault. Reported only if there are older hours and nobody said how far back a run is to look. */
export async function checkOlder(
  { components, checks, signal }: StoreContext,
  dataset: Dataset,
): Promise<void> {
  if (components.settings.run.lookBackHours !== LOOK_BACK_HOURS) return;
  const older = await olderHours({ components, dataset, signal }).catch(() => undefined);
  if (!older) return;
  const { found: message, hint } = olderText(older, { components, dataset });
  await checks.make("older hours", dataset.name, async () => ({
    status: "warning",
    message,
    hint: `${hint}.`,
  }));
}

const PAGE_OBJECTS = 1000;
const SAMPLE_BYTES = 1024;

async function noHour(
  store: Store,
  dataset: Dataset,
  settings: Settings,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  const base = rawBasePrefix(dataset.raw);
  const [other] = (await firstOf(store.list(base, { signal }))) ?? [];
  if (!other) {
    // Throws if the directory is missing, because a run then fails.
    missingRawDirectory(dataset, undefined);
    return {
      status: "warning",
      message: `nothing lies under ${store.uri}${base} yet`,
      hint: "If there should be objects, compare raw with where they are written.",
    };
  }
  return {
    status: "warning",
    message: `objects lie under ${store.uri}${base}, but in no hour of ${dataset.rawUri}`,
    hint: `Compare raw with a key such as ${other.key}; ${initText(store.uri + base, settings)} finds out the layout.`,
  };
}

/** Checks that what is published and pinned can be read and is ours. */
export async function checkTier1(
  { components, checks, signal }: StoreContext,
  dataset: Dataset,
): Promise<boolean> {
  const { name, tier1, columns } = dataset;
  const store = await components.tier1(dataset);
  let newest: Hour | undefined;
  const isRead = await checks.make("read tier 1", name, () =>
    granted("s3:ListBucket and s3:GetObject", `${uriOf(tier1)}*`, async () => {
      const published = await newestPublishedHour(store, dataset, components.nowMs(), signal);
      newest = published.newest;
      const hour = newest ?? published.ahead;
      if (!hour) return { status: "ok", message: `no part under ${uriOf(tier1)} yet` };
      const part = await publishedPart({ dataset, hour, components, signal });
      const rows = counted(part?.rows ?? 0, "row");
      return { status: "ok", message: `the newest part is ${hour} with ${rows}, under ${uriOf(tier1)}` };
    }),
  );
  if (!isRead) return false;
  return checks.make("schema", name, () =>
    granted("s3:GetObject", `${uriOf(tier1)}*`, async () => {
      // A run of what is due asks this before it begins.
      await requirePinnable({ components, dataset, signal }, { newest });
      const pinned = await readPinned(store, tier1.prefix, signal);
      if (!pinned)
        return { status: "ok", message: columns ? "configured, not pinned yet" : "not pinned yet" };
      const schema = currentSchema(pinned);
      return {
        status: "ok",
        message: `version ${schema.version}, ${counted(schema.columns.length, "column")}`,
      };
    }),
  );
}

/** Writes a probe under `_hourpack/probe/`, reads it and deletes it. */
export async function checkWriting(context: StoreContext, dataset: Dataset): Promise<boolean> {
  const { components, checks, signal } = context;
  const store = await components.tier1(dataset);
  const key = `${probePrefix(dataset.tier1.prefix)}${ulid()}`;
  const body = Buffer.from("hourpack doctor");
  const uri = store.uri + key;
  const make = (name: string, right: string, on: string, task: () => Promise<string>) =>
    checks.make(name, dataset.name, () =>
      granted(right, on, async () => ({ status: "ok", message: await task() })),
    );
  const isWritten = await make("write tier 1", "s3:PutObject", `${uriOf(dataset.tier1)}*`, async () => {
    await store.put(key, body, { signal });
    return `wrote ${uri}`;
  });
  if (!isWritten) {
    for (const name of ["read back", "delete"])
      await checks.skip(name, dataset.name, "nothing could be written");
    return false;
  }
  const isRead = await make("read back", "s3:GetObject", `${uriOf(dataset.tier1)}*`, async () => {
    const read = await store.get(key, { signal });
    if (read.equals(body)) return "the probe's bytes are those that were written";
    throw new HourpackError("unavailable", `read ${uri}: its bytes are not those that were written`, {
      hint: "Something between this machine and the store changes objects: find it before packing anything.",
    });
  });
  const ours = `${store.uri}${ownPrefix(dataset.tier1.prefix)}*`;
  const isDeleted = await make("delete", "s3:DeleteObject", ours, async () => {
    await store.delete(key, { signal });
    if (!(await store.head(key, { signal }))) return "the probe is gone";
    throw new HourpackError("unavailable", `delete ${uri}: it is still there`, {
      hint: "A legal hold or an object lock keeps it: leave _hourpack/ out of that.",
    });
  });
  await dropEmptyFolder(store, dataset);
  return isRead && isDeleted;
}

const RACES = 3;

/** Lets two creators and then two replacers meet at one key, and checks that one of each wins. */
export async function checkConditions(context: StoreContext, dataset: Dataset): Promise<boolean> {
  const { components, checks, signal } = context;
  const store = await components.tier1(dataset);
  const isVouchedFor = components.settings.run.singleWriter;
  return checks.make("conditional writes", dataset.name, async () => {
    for (let race = 0; race < RACES; race++) {
      // A directory keeps an empty lock file for each key that was ever replaced, so there all races use one
      // key.
      const key = probePrefix(dataset.tier1.prefix) + (store.kind === "local" ? "doctor" : ulid());
      const wrong = await raceAt(store, key, signal).finally(async () => {
        await store.delete(key, { signal });
        await dropEmptyFolder(store, dataset);
      });
      if (wrong === undefined) continue;
      return {
        status: isVouchedFor ? "warning" : "failed",
        message: `${uriOf(dataset.tier1)} does not enforce them: ${wrong}`,
        hint: isVouchedFor
          ? "See to it that only one worker ever writes there: run.singleWriter says so."
          : "Use a store that honours If-Match and If-None-Match, or set run.singleWriter if only one worker ever writes.",
        exitCode: isVouchedFor ? undefined : EXIT.invalid,
      };
    }
    return {
      status: "ok",
      message: `one winner in each of ${RACES} races of two creators and two replacers`,
    };
  });
}

/** What went wrong in a race, or undefined. */
async function raceAt(
  store: Store,
  key: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const contend = async (condition: { absent: true } | { etag: string }, names: [string, string]) => {
    const puts = await Promise.all(
      names.map(async (name) => ({
        name,
        ...(await store.put(key, Buffer.from(name), { condition, signal })),
      })),
    );
    return puts.flatMap((put) => (put.outcome === "written" ? [put] : []));
  };
  const isThere = async (name: string) => (await store.get(key, { signal })).toString() === name;

  const created = await contend({ absent: true }, ["creator a", "creator b"]);
  const [creator] = created;
  if (!creator || created.length > 1) return `${created.length} of two creators won`;
  if (!(await isThere(creator.name))) return "the creator that lost had its bytes written";
  const replaced = await contend({ etag: creator.etag }, ["replacer a", "replacer b"]);
  const [replacer] = replaced;
  if (!replacer || replaced.length > 1) return `${replaced.length} of two replacers won`;
  if (!(await isThere(replacer.name))) return "the replacer that lost had its bytes written";
  const late = await store.put(key, Buffer.from("late"), { condition: { etag: creator.etag }, signal });
  return late.outcome === "refused" ? undefined : "a version that was there no longer could be replaced";
}

/** Removes the folder that a deleted file leaves in a directory. A folder in use stays. */
async function dropEmptyFolder(store: Store, dataset: Dataset): Promise<void> {
  if (store.kind === "local") await rmdir(store.uri + probePrefix(dataset.tier1.prefix)).catch(() => {});
}
