/** Finds folders of hours that links make the folders of other hours too: an object deleted from one is gone from the other. */
import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";
import { areNested, realFolder } from "../config/overlap.js";
import type { Hour } from "../hour.js";
import { levelPattern, levelsOf, type RawTemplate, rawPrefix } from "../layout.js";

/** The links that, by their names, could be folders on the way to an hour of these templates. */
export interface FolderLinks {
  templates: RawTemplate[];
  /** Both paths end in a slash; `real` has all links resolved. */
  links: { path: string; real: string }[];
}

/** Looks at all folders of the datasets' hours, so call it once for a command and not for each hour. */
export function folderLinks(datasets: { raw: RawTemplate }[]): FolderLinks {
  const templates = datasets.map(({ raw }) => raw).filter(({ location }) => location.scheme === "file");
  const links = templates.flatMap((template) => {
    const { base, levels } = levelsOf(template);
    return linksUnder(rootOf(template) + base, levels).map((path) => ({ path, real: realFolder(path) }));
  });
  return { templates, links };
}

/** A second path by which the hour's folder, or one in or above it, is the folder of an hour of these templates; undefined if none. */
export function otherPathOf(
  raw: RawTemplate,
  hour: Hour,
  { templates, links }: FolderLinks,
): string | undefined {
  if (raw.location.scheme !== "file") return undefined;
  const prefix = rawPrefix(raw, hour);
  const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  const path = rootOf(raw) + folder;
  const real = realFolder(path);
  if (real !== path && templates.some((template) => isOfAnHour(real, template))) return real;
  return links.find((link) => !path.startsWith(link.path) && areNested(link.real, real))?.path;
}

function rootOf({ location }: RawTemplate): string {
  return realFolder(location.root);
}

/** Whether the path, by its name, is the folder of an hour, in one, or above one. */
function isOfAnHour(path: string, template: RawTemplate): boolean {
  const { base, levels } = levelsOf(template);
  const root = rootOf(template) + base;
  if (!path.startsWith(root)) return root.startsWith(path);
  const names = path.slice(root.length).split("/").slice(0, -1);
  return levels.every((level, i) => names[i] === undefined || levelPattern(level).test(names[i]));
}

/** The links that, by their names, could be on the way to an hour, including those inside linked folders. */
function linksUnder(folder: string, [level, ...deeper]: string[]): string[] {
  if (level === undefined) return [];
  const pattern = levelPattern(level);
  return entriesOf(folder)
    .filter((entry) => pattern.test(entry.name) && (entry.isDirectory() || entry.isSymbolicLink()))
    .flatMap((entry) => {
      const path = `${join(folder, entry.name)}/`;
      return [...(entry.isSymbolicLink() ? [path] : []), ...linksUnder(path, deeper)];
    });
}

/** An unreadable folder counts as empty: nobody can pack it. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
