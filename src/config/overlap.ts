/** Which prefixes must not contain each other: two tier 1s, or raw and tier 1. */
import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HourpackError } from "../errors.js";
import { type Location, levelPattern, type RawTemplate, rawBasePrefix, uriOf } from "../layout.js";
import type { ConfigPath } from "./file.js";
import type { Locate } from "./problems.js";
import type { Dataset } from "./settings.js";

interface PlacedDataset {
  dataset: Dataset;
  /** Where it is configured. */
  path: ConfigPath;
}

/** Throws `invalid` if one dataset's files could be taken for another's, or tier 1 for raw. */
export function requireApart(datasets: PlacedDataset[], locate: Locate): void {
  for (const [i, { dataset, path }] of datasets.entries()) {
    for (const other of datasets.slice(0, i)) {
      if (areNested(fullPath(dataset.tier1), fullPath(other.dataset.tier1)))
        throw sharedTier1(dataset, other.dataset, path, locate);
      if (dataset.table === other.dataset.table) throw sharedTable(dataset, other.dataset, path, locate);
    }
    for (const { dataset: other } of datasets) {
      if (rawMeets(other.raw, dataset.tier1)) {
        throw new HourpackError(
          "invalid",
          `tier 1 of ${dataset.name}, ${uriOf(dataset.tier1)}, and the raw objects of ${other.name}, ${other.rawUri}, lie in one another`,
          {
            location: locate([...path, "tier1"]),
            hint: "Give tier 1 a prefix or a directory beside the raw one; the Parquet would be read as raw objects.",
          },
        );
      }
    }
  }
}

/**
 * The names of those that read the same raw objects as one of `datasets`, and of those whose tier 1 lies
 * inside one's tier 1 or around it.
 */
export function sharing(datasets: Dataset[], others: Dataset[]): { raw: string[]; tier1: string[] } {
  const rawOf = ({ raw: { location, template } }: Dataset) => fullPath(location) + template;
  const namesOf = (isShared: (one: Dataset, other: Dataset) => boolean) =>
    others.filter((other) => datasets.some((one) => isShared(one, other))).map(({ name }) => name);
  return {
    raw: namesOf((one, other) => rawOf(one) === rawOf(other)),
    tier1: namesOf((one, other) => areNested(fullPath(one.tier1), fullPath(other.tier1))),
  };
}

function sharedTier1(dataset: Dataset, other: Dataset, path: ConfigPath, locate: Locate): HourpackError {
  const [mine, theirs] = [uriOf(dataset.tier1), uriOf(other.tier1)];
  const how =
    mine === theirs
      ? `write to one tier-1 prefix, ${mine}`
      : `have tier-1 prefixes in one another, ${theirs} and ${mine}`;
  return new HourpackError("invalid", `the datasets ${other.name} and ${dataset.name} ${how}`, {
    location: locate([...path, "tier1"]),
    hint: isVariant(dataset, other)
      ? "Put the variable of `for:` into tier1, like s3://bucket/prefix/{name}/."
      : "Give each a tier-1 prefix of its own.",
  });
}

function sharedTable(dataset: Dataset, other: Dataset, path: ConfigPath, locate: Locate): HourpackError {
  return new HourpackError(
    "invalid",
    `the datasets ${other.name} and ${dataset.name} have one table, ${dataset.table}`,
    {
      location: locate([...path, "table"]),
      hint: isVariant(dataset, other)
        ? "Put the variable of `for:` into table, like events_{name}."
        : "Give each a table of its own.",
    },
  );
}

function isVariant(a: Dataset, b: Dataset): boolean {
  return a.name.includes("/") && a.name.split("/")[0] === b.name.split("/")[0];
}

/** `s3:bucket/a/b/` or `file:/a/b/`. Two names of one directory give the same path. */
export function fullPath({ scheme, root, prefix }: Location): string {
  if (scheme === "s3") return `s3:${root}/${prefix}`;
  return `file:${realFolder(join(root, prefix))}`;
}

/** The path with links resolved, as far as it exists, and a slash at its end. */
export function realFolder(path: string): string {
  return realPath(path).replace(/\/?$/, "/");
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return dirname(path) === path ? path : join(realPath(dirname(path)), basename(path));
  }
}

export function areNested(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}

function rawMeets(raw: RawTemplate, tier1: Location): boolean {
  const base = rawBasePrefix(raw);
  if (raw.location.scheme === "s3" && base === "") return isBucketShared(raw, tier1);
  return areNested(fullPath({ ...raw.location, prefix: base }), fullPath(tier1));
}

/**
 * Raw may start at a bucket's root (`{yyyy}/{MM}/…`). Tier 1 may lie beside it, outside every hour's folder.
 */
function isBucketShared(raw: RawTemplate, tier1: Location): boolean {
  if (tier1.scheme !== "s3" || tier1.root !== raw.location.root) return false;
  const levels = raw.template.split("/").filter((level) => level !== "");
  const folders = tier1.prefix.split("/").filter((folder) => folder !== "");
  return folders.every((folder, i) => levels[i] === undefined || levelPattern(levels[i]).test(folder));
}
