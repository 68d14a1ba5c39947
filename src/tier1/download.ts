/** Downloads what was published. Parts and quarantine files come in ranges, since they may be larger than memory. */
import { createHash, type Hash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { remedyText, runText } from "../command-text.js";
import { HourpackError, isHourpackError, reasonOf } from "../errors.js";
import { manifestKey, quarantineKey } from "../layout.js";
import { inRanges, PART_RANGE_BYTES } from "../ranges.js";
import type { ObjectInfo, Store } from "../store/store.js";
import { linesOf } from "../streams.js";
import type { HourContext } from "../task.js";
import {
  differingFact,
  type Manifest,
  type ManifestHeader,
  openManifest,
  type PartFacts,
  type Published,
} from "./manifest.js";
import { headPart } from "./published.js";
import type { QuarantineEntry } from "./quarantine.js";

/** Downloads a part to a local file. Returns the SHA-256 of its bytes, to be compared with the one in its manifest. */
export async function download(
  store: Store,
  part: ObjectInfo,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash("sha256");
  await writeFile(path, hashed(inRanges(store, part, { rangeBytes: PART_RANGE_BYTES, signal }), hash));
  return hash.digest("hex");
}

/** The manifest that a part names; invariant 1 says that it exists. Throws `data` if it is missing or damaged. */
export async function readManifest(task: HourContext, published: Published): Promise<Manifest> {
  const tier1 = await task.components.tier1(task.dataset);
  const key = manifestKey(task.dataset.tier1.prefix, task.hour, published.attempt);
  // A run with `--rebuild` alone would need the manifest too.
  const fromRemainder = runText(task, "--rebuild --from-remainder");
  try {
    const bytes = await tier1.get(key, { signal: task.signal });
    const of = { hour: task.hour, attempt: published.attempt, again: fromRemainder };
    const manifest = await openManifest(bytes, tier1.uri + key, of);
    const fact = differingFact(published, manifest.header);
    if (fact !== undefined) throw otherFact(task, tier1, published, manifest.header, fact);
    return manifest;
  } catch (error) {
    if (!isHourpackError(error, "conflict")) throw error;
    // Another attempt may have replaced the part, and deleted or swept the old one's files.
    const now = await headPart(tier1, published.key, task.signal);
    if (now?.attempt !== published.attempt) throw error;
    throw new HourpackError(
      "data",
      `read ${tier1.uri}${key}: the part names this manifest, and it is missing`,
      {
        stage: "plan",
        location: tier1.uri + key,
        hint: `Bring it back from a backup or an older version; or give up rows of raw objects that are gone: ${fromRemainder} rebuilds the part from those that are there.`,
        cause: error,
      },
    );
  }
}

/** The error for a damaged part. Our Parquet pages have no checksum, so such a part may still be readable, as other rows. */
export function otherBytes(task: HourContext, store: Store, { key }: Published): HourpackError {
  return new HourpackError(
    "data",
    `read the part ${store.uri}${key}: its bytes are not those that were published`,
    {
      location: store.uri + key,
      hint: remedyOf(task),
    },
  );
}

/** Somebody has changed the metadata of the part, or put another manifest under its name. */
function otherFact(
  task: HourContext,
  store: Store,
  published: Published,
  header: ManifestHeader,
  fact: keyof PartFacts,
): HourpackError {
  const says = `it says ${fact} ${published[fact]}, and its manifest ${header[fact]}`;
  return new HourpackError("data", `read the part ${store.uri}${published.key}: ${says}`, {
    location: store.uri + published.key,
    hint: remedyOf(task),
  });
}

/** The hint for a damaged part. */
export function remedyOf({ dataset, hour, components }: HourContext): string {
  return remedyText({ dataset: dataset.name, hour, settings: components.settings });
}

/**
 * The decompressed bytes of the quarantine file that a part names. Throws `data` if the file is missing or damaged. If the
 * manifest's header is given, also throws `data` at the end if the bytes are not those that it vouches for.
 */
export async function* readQuarantine(
  task: HourContext,
  published: Published,
  { quarantineSha256: sha256 }: Partial<ManifestHeader> = {},
): AsyncGenerator<Buffer> {
  const { dataset, components, signal } = task;
  const store = await components.tier1(dataset);
  const head = await store.head(quarantineKeyOf(task, published), { signal });
  if (!head) throw await unreadable(task, published, "missing");
  const plain = createGunzip();
  const hash = createHash("sha256");
  // An error of either stream reaches whoever reads `plain`.
  const bytes = inRanges(store, head, { rangeBytes: PART_RANGE_BYTES, signal });
  pipeline(hashed(bytes, hash), plain).catch(() => {});
  try {
    for await (const chunk of plain) yield chunk;
  } catch (error) {
    throw isHourpackError(error)
      ? error
      : await unreadable(task, published, `damaged (${reasonOf(error)})`, error);
  }
  if (sha256 !== undefined && hash.digest("hex") !== sha256)
    throw await unreadable(task, published, "damaged (its bytes are not those that were published)");
}

/** The entries of the quarantine file. Throws as `readQuarantine` does, and `data` if a line is not JSON. */
export async function* quarantineEntries(
  task: HourContext,
  published: Published,
  header?: ManifestHeader,
): AsyncGenerator<QuarantineEntry> {
  let count = 0;
  for await (const line of linesOf(readQuarantine(task, published, header))) {
    count++;
    let entry: QuarantineEntry;
    try {
      entry = JSON.parse(line);
    } catch (error) {
      throw await unreadable(task, published, `damaged (line ${count}: ${reasonOf(error)})`, error);
    }
    yield entry;
  }
}

function quarantineKeyOf({ dataset, hour }: HourContext, { attempt }: Published): string {
  return quarantineKey(dataset.tier1.prefix, hour, attempt);
}

async function unreadable(
  task: HourContext,
  published: Published,
  why: string,
  cause?: unknown,
): Promise<HourpackError> {
  const store = await task.components.tier1(task.dataset);
  const location = store.uri + quarantineKeyOf(task, published);
  return new HourpackError(
    "data",
    `read ${location}: the part names this quarantine file, and it is ${why}`,
    {
      location,
      hint: `Bring it back from a backup or an older version; or ${runText(task, "--rebuild")} rebuilds the part while its raw objects are there.`,
      cause,
    },
  );
}

async function* hashed(pieces: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const bytes of pieces) {
    hash.update(bytes);
    yield bytes;
  }
}
