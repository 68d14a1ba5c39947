/** The flags of every command that reads the configuration, and the settings that they give. */
import { capacityFigures, lackOf, machineOf } from "../capacity.js";
import { type Components, openComponents } from "../components.js";
import { FIELD_FLAGS, type FieldFlag, FORMS } from "../config/flags.js";
import { loadSettings } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import type { Args, CommandContext, Option, Options } from "./command.js";

const GROUPS: Record<FieldFlag["group"], string> = {
  dataset: "Dataset (one that needs no file: --raw, --tier1 and --table together):",
  catalog: "Catalog:",
  s3: "S3:",
  run: "Run:",
};

/** Seldom needed; shown with --show-hidden. */
const HIDDEN =
  /^(s3-write-|s3-timeout|s3-retry|s3-expected|catalog-(timeout|endpoint|catalog-name|region)|for$|raw-table|max-record|batch)/;

/** `--config`, `--dataset` and a flag for every field of the configuration. */
export const settingsOptions: Options = {
  config: {
    type: "string",
    describe: "Configuration file (HOURPACK_CONFIG) [default: hourpack.yaml, if there is one]",
  },
  dataset: {
    type: "string",
    array: true,
    describe: "Only this dataset (mmp, or mmp/android); can be repeated",
  },
  ...Object.fromEntries(FIELD_FLAGS.map((field) => [field.flag, optionOf(field)])),
};

function optionOf(field: FieldFlag): Option {
  const byDefault = field.default ? ` [default: ${field.default}]` : "";
  const form = FORMS[field.kind] ? `; written ${FORMS[field.kind]}` : "";
  const choices = field.choices ? ` (${field.choices.join(", ")})` : "";
  return {
    // config/flags.ts reads texts, as it reads variables, so that both have one meaning and one message.
    type: field.kind === "boolean" ? "boolean" : "string",
    describe: field.description + form + choices + byDefault,
    ...(field.choices ? { offers: field.choices } : {}),
    ...(field.kind === "boolean" && field.default === "true" ? { isOn: true } : {}),
    group: GROUPS[field.group],
    hidden: HIDDEN.test(field.flag),
  };
}

/** The names given with `--dataset`; undefined if all are meant. */
export function datasetNames(args: Args): string[] | undefined {
  return args["dataset"] as string[] | undefined;
}

export function settingsOf(
  args: Args,
  options: { withoutDatasets?: boolean; text?: string } = {},
): Promise<Settings> {
  return loadSettings({
    file: args["config"] as string | undefined,
    flags: Object.fromEntries(FIELD_FLAGS.map(({ flag }) => [flag, args[flag]])),
    datasets: datasetNames(args),
    ...options,
  });
}

/** Logs how much is done at a time, and warns if that may be more than the machine has. */
export function tellCapacity({ run }: Settings, { output, log }: CommandContext): void {
  const machine = machineOf();
  log.debug("capacity", { ...capacityFigures(machine, run) });
  const lack = lackOf(machine, run);
  if (!lack) return;
  output.warning(lack);
  log.warn(lack.message, { hint: lack.hint });
}

/** Opens what the settings name, and closes it however the task ends. */
export async function withComponents<T>(
  settings: Settings,
  task: (components: Components) => Promise<T>,
): Promise<T> {
  const components = openComponents(settings);
  try {
    return await task(components);
  } finally {
    await components.close();
  }
}
