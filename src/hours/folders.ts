/** Which hours have a folder in raw. */
import type { Hour } from "../hour.js";
import { type RawTemplate, rawPrefix } from "../layout.js";
import type { Store } from "../store/store.js";

/** The hours that may have objects: all but those whose year, month, day or hour has no folder. Costs a listing a folder. */
export async function hoursWithFolders(
  store: Store,
  { location, template }: RawTemplate,
  hours: Hour[],
  signal?: AbortSignal,
): Promise<Hour[]> {
  const levels = template.split("/");
  const folderOf = (hour: Hour, depth: number) =>
    depth === 0 ? "" : `${rawPrefix({ location, template: levels.slice(0, depth).join("/") }, hour)}/`;
  /** Filters hours that share their first `depth` folders. */
  const within = async (alike: Hour[], depth: number): Promise<Hour[]> => {
    const [first] = alike;
    // After the last slash comes the beginning of a name, not a folder.
    if (first === undefined || depth === levels.length - 1) return alike;
    if (!levels[depth]?.includes("{")) return within(alike, depth + 1);
    const there = new Set(await store.listPrefixes(folderOf(first, depth), { signal }));
    const found: Hour[] = [];
    for (const [folder, group] of groupBy(alike, (hour) => folderOf(hour, depth + 1))) {
      if (there.has(folder)) found.push(...(await within(group, depth + 1)));
    }
    return found;
  };
  return (await within(hours, 0)).sort();
}

function groupBy(hours: Hour[], nameOf: (hour: Hour) => string): Map<string, Hour[]> {
  const groups = new Map<string, Hour[]>();
  for (const hour of hours) {
    const name = nameOf(hour);
    const group = groups.get(name);
    if (group) group.push(hour);
    else groups.set(name, [hour]);
  }
  return groups;
}
