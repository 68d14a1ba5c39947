/** What a command's help shows: its own flags first, then the fields of the configuration that matter to it. */
import type { Options } from "yargs";
import { FIELD_FLAGS } from "../config/flags.js";

const DATASET = ["raw", "tier1", "table", "records"];
const STORE = ["s3-endpoint", "s3-region", "s3-force-path-style"];
const CATALOG = ["catalog", "catalog-database", "catalog-path", "catalog-workgroup", "catalog-output"];
const OF_WORKER = ["at", "listen", "hooks-quarantine"];

/** Fields by command; what it names for itself is shown, however rare elsewhere. One that is not here shows all but the rare. */
const FIELDS: Record<string, string[]> = {
  run: FIELD_FLAGS.map(({ flag }) => flag).filter((flag) => !OF_WORKER.includes(flag)),
  plan: [...DATASET, "columns", ...STORE, "look-back", "settle", "late-settle"],
  status: [...DATASET, ...STORE, "settle"],
  verify: [...DATASET, ...STORE, "zone", "max-record"],
  query: ["catalog-path", "catalog-database"],
  register: [...DATASET, ...STORE, ...CATALOG, "ahead", "projection"],
  ddl: [...DATASET, "columns", "raw-table", ...STORE, "ahead", "projection"],
  schema: [...DATASET, ...STORE],
  restore: [...DATASET, ...STORE],
  expire: [...DATASET, ...STORE],
  sweep: [...DATASET, ...STORE],
  init: STORE,
  doctor: [...DATASET, ...STORE, ...CATALOG, "spool-dir", "engine-memory", "batch", "hours-in-flight"],
};

const ALL = new Set(FIELD_FLAGS.map(({ flag }) => flag));
const EVERY_COMMANDS = new Set(["config", "dataset"]);

export const MORE_FLAGS =
  "--show-hidden lists the other settings, which work here, too; docs/configuration.md explains them.";

/** The same flags, grouped, and hidden where they do not matter to the command; `hasMore` where any is. */
export function optionsInHelp(
  command: string,
  options: Record<string, Options>,
  showHidden: boolean,
): { options: Record<string, Options>; hasMore: boolean } {
  const fields = FIELDS[command];
  const entries = Object.entries(options).map(([name, option]): [string, Options] => {
    if (!ALL.has(name) || option.group === undefined)
      return [name, { group: EVERY_COMMANDS.has(name) ? "Configuration:" : "Flags:", ...option }];
    const isRare = option.hidden === true && (!fields || command === "run");
    return [name, { ...option, hidden: !showHidden && (isRare || fields?.includes(name) === false) }];
  });
  return { options: Object.fromEntries(entries), hasMore: entries.some(([, { hidden }]) => hidden) };
}
