/** Where things lie. Every key and prefix of tier 1, and every raw template, is built and parsed here only. */
import { resolve } from "node:path";
import { HourpackError } from "./errors.js";
import { addHours, type Hour, isHour, partsOf } from "./hour.js";

/** A place in a store: a bucket or a root directory, and a prefix in it (empty, or ending in `/`). */
export interface Location {
  scheme: "s3" | "file";
  /** Bucket name, or absolute path of the root directory without a trailing slash. */
  root: string;
  prefix: string;
}

/** Reads `s3://bucket/a/b/`, `file:///a/b` or a path. A missing trailing slash is added. */
export function parseLocation(uri: string): Location {
  const s3 = /^s3[an]?:\/\/([^/]*)\/?(.*)$/s.exec(uri);
  if (s3) {
    const [, root = "", rest = ""] = s3;
    if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(root)) {
      throw new HourpackError("invalid", `"${uri}" names no valid bucket`, {
        hint: "Write s3://bucket/prefix/ with a bucket name of 3 to 63 lower-case letters, digits, dots and hyphens.",
      });
    }
    return { scheme: "s3", root, prefix: rest === "" || rest.endsWith("/") ? rest : `${rest}/` };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(uri) && !uri.startsWith("file://")) {
    throw new HourpackError("invalid", `"${uri}" is neither an s3:// URI nor a directory`, {
      hint: "Write s3://bucket/prefix/ or a path such as ./raw/.",
    });
  }
  return { scheme: "file", root: resolve(uri.replace(/^file:\/\//, "")), prefix: "" };
}

export function uriOf(location: Location): string {
  return location.scheme === "s3"
    ? `s3://${location.root}/${location.prefix}`
    : `${location.root}/${location.prefix}`;
}

/** `year=2022/month=07/day=26/hour=00/`, relative to tier 1. */
export function partitionPrefix(hour: Hour): string {
  return `${partitionDayPrefix(hour)}hour=${partsOf(hour).HH}/`;
}

/** `year=2022/month=07/day=26/`: the prefix of all partitions of the hour's day. */
export function partitionDayPrefix(hour: Hour): string {
  const { yyyy, MM, dd } = partsOf(hour);
  return `year=${yyyy}/month=${MM}/day=${dd}/`;
}

/** Values as Glue stores them: `["2022", "7", "26", "0"]`. */
export function partitionValues(hour: Hour): [string, string, string, string] {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  return [String(Number(yyyy)), String(Number(MM)), String(Number(dd)), String(Number(HH))];
}

/** The key of the hour's part. It is deterministic: an hour has one part. */
export function partKey(tier1Prefix: string, table: string, hour: Hour): string {
  return `${tier1Prefix}${partitionPrefix(hour)}${table}-${compact(hour)}.snappy.parquet`;
}

/** The table and the hour of a part's key; undefined if the key is not one. */
export function partOfKey(tier1Prefix: string, key: string): { table: string; hour: Hour } | undefined {
  const match = /([^/]+)-(\d{4})(\d{2})(\d{2})(\d{2})\.snappy\.parquet$/.exec(key);
  if (!match) return undefined;
  const [, table = "", yyyy, MM, dd, HH] = match;
  const hour = `${yyyy}-${MM}-${dd}T${HH}`;
  return isHour(hour) && partKey(tier1Prefix, table, hour) === key ? { table, hour } : undefined;
}

/** Holds hourpack's own files beside the parts, and marks a prefix as tier 1. */
export function ownPrefix(tier1Prefix: string): string {
  return `${tier1Prefix}_hourpack/`;
}

export function manifestsPrefix(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}manifests/`;
}

export function quarantinesPrefix(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}quarantine/`;
}

/** Holds the files that probe what a store honours. */
export function probePrefix(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}probe/`;
}

/** Holds the claims: who is at work on which hour. */
export function claimsPrefix(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}claims/`;
}

/** Holds the hour's journals: which raw objects `expire` deleted. */
export function journalPrefix(tier1Prefix: string, hour: Hour): string {
  return `${journalsPrefix(tier1Prefix)}${hourPath(hour)}`;
}

export function journalsPrefix(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}expired/`;
}

/** The prefix of all attempts at the hour's day, in a folder such as `manifestsPrefix`. */
export function attemptsDayPrefix(folder: string, hour: Hour): string {
  return folder + hourPath(hour).slice(0, "2022/07/26/".length);
}

export function manifestKey(tier1Prefix: string, hour: Hour, attempt: string): string {
  return `${manifestsPrefix(tier1Prefix)}${hourPath(hour)}${attempt}.ndjson.gz`;
}

export function quarantineKey(tier1Prefix: string, hour: Hour, attempt: string): string {
  return `${quarantinesPrefix(tier1Prefix)}${hourPath(hour)}${attempt}.ndjson.gz`;
}

/** The hour and attempt of a key under `manifestsPrefix`, `quarantinesPrefix` or `journalsPrefix`; undefined if it is another. */
export function attemptOfKey(folder: string, key: string): { hour: Hour; attempt: string } | undefined {
  const match = /^(\d{4})\/(\d{2})\/(\d{2})\/(\d{2})\/([0-7][0-9A-HJKMNP-TV-Z]{25})\.ndjson\.gz$/.exec(
    key.slice(folder.length),
  );
  if (!match || !key.startsWith(folder)) return undefined;
  const [, yyyy, MM, dd, HH, attempt = ""] = match;
  const hour = `${yyyy}-${MM}-${dd}T${HH}`;
  return isHour(hour) ? { hour, attempt } : undefined;
}

export function claimKey(tier1Prefix: string, hour: Hour): string {
  return `${claimsPrefix(tier1Prefix)}${hourPath(hour).slice(0, -1)}.json`;
}

/** The list of hours that runs may have left behind. */
export function owedKey(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}owed.json`;
}

/** The list of hours that runs may not have registered in the catalog. */
export function unregisteredKey(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}unregistered.json`;
}

export function schemaKey(tier1Prefix: string): string {
  return `${ownPrefix(tier1Prefix)}schema.json`;
}

/** Whether the object is by convention not data: `dir/`, `_SUCCESS`, `.hidden`. */
export function isSkippedKey(key: string): boolean {
  const name = key.slice(key.lastIndexOf("/") + 1);
  return name === "" || name.startsWith("_") || name.startsWith(".");
}

export const HOUR_PARTS = ["yyyy", "MM", "dd", "HH"] as const;
export type HourPart = (typeof HOUR_PARTS)[number];

/** A raw template: `s3://lake/mmp/year={yyyy}/month={MM}/day={dd}/hour={HH}/`. */
export interface RawTemplate {
  location: Location;
  /** The prefix with its placeholders, relative to the location's root. */
  template: string;
}

/** Parses a raw template. Throws `invalid` if it does not name an hour uniquely. Variables such as `{platform}` must be filled in before. */
export function parseRawTemplate(uri: string): RawTemplate {
  const first = uri.indexOf("{");
  const unknown = [...uri.matchAll(/\{([^}]*)\}/g)]
    .map((match) => match[1])
    .filter((name) => !HOUR_PARTS.some((part) => part === name));
  if (unknown.length > 0) {
    throw new HourpackError(
      "invalid",
      `the raw template "${uri}" has an unknown placeholder {${unknown[0]}}`,
      {
        hint: "Use {yyyy}, {MM}, {dd}, {HH}, and names given under `for:`.",
      },
    );
  }
  for (const name of HOUR_PARTS.map((part) => `{${part}}`)) {
    if (!uri.includes(name)) {
      throw new HourpackError(
        "invalid",
        `the raw template "${uri}" lacks ${name}: an hour has no prefix of its own`,
        {
          hint: "Write for example s3://bucket/events/year={yyyy}/month={MM}/day={dd}/hour={HH}/.",
        },
      );
    }
  }
  const cut = uri.lastIndexOf("/", first) + 1;
  const location = parseLocation(cut === 0 ? "./" : uri.slice(0, cut));
  const template = location.prefix + uri.slice(cut);
  return { location: { ...location, prefix: "" }, template };
}

/** The prefix of an hour's raw objects, relative to the template's root. */
export function rawPrefix(raw: RawTemplate, hour: Hour): string {
  const parts = partsOf(hour);
  return raw.template.replace(/\{(yyyy|MM|dd|HH)\}/g, (_, name: keyof typeof parts) => parts[name]);
}

/** False if the hour is in the objects' names, as in CloudTrail's: a day's folder then holds all its hours. */
export function hasHourFolders(raw: RawTemplate): boolean {
  return raw.template.endsWith("/");
}

/** The part of the template before the first placeholder, cut at a slash. */
export function rawBasePrefix({ template }: Pick<RawTemplate, "template">): string {
  return template.slice(0, template.lastIndexOf("/", template.indexOf("{")) + 1);
}

/** The folders of a template: the fixed ones (`base`), and the levels below them. */
export function levelsOf({ template }: Pick<RawTemplate, "template">): { base: string; levels: string[] } {
  const base = rawBasePrefix({ template });
  return { base, levels: template.slice(base.length).split("/").slice(0, -1) };
}

/** Matches the names of a level's folders. */
export function levelPattern(level: string): RegExp {
  return new RegExp(`^${patternOf(level, (part) => `\\d{${part.length}}`)}$`);
}

/** The hour of a prefix that fits the template; a day's folder gives its first hour. Undefined if the prefix does not fit. */
export function hourOfRawPrefix(template: string, prefix: string): Hour | undefined {
  const seen = new Set<string>();
  const pattern = patternOf(template, (part) => {
    const digits = `\\d{${part.length}}`;
    if (seen.has(part)) return digits;
    seen.add(part);
    return `(?<${part}>${digits})`;
  });
  const { yyyy, MM, dd, HH = "00" } = new RegExp(`^${pattern}$`).exec(prefix)?.groups ?? {};
  const hour = `${yyyy}-${MM}-${dd}T${HH}`;
  return isHour(hour) ? hour : undefined;
}

/** A template as a regular expression. `patternOfPart` gives the hour parts; any other variable matches one name. */
function patternOf(template: string, patternOfPart: (part: HourPart) => string): string {
  return template.replace(/\{(\w+)\}|[\\^$.*+?()[\]{}|]/g, (found, name?: string) => {
    if (name === undefined) return `\\${found}`;
    const part = HOUR_PARTS.find((known) => known === name);
    return part ? patternOfPart(part) : "[^/]*";
  });
}

/** `2022/07/26/00/` */
function hourPath(hour: Hour): string {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  return `${yyyy}/${MM}/${dd}/${HH}/`;
}

/** `2022072600` */
function compact(hour: Hour): string {
  return hour.replace(/[-T]/g, "");
}

/** The hour before, the hour, and the hour after. A run registers all three, so that the newest raw data can be queried. */
export function neighbours(hour: Hour): Hour[] {
  return [addHours(hour, -1), hour, addHours(hour, 1)];
}
