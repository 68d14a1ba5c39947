/** hourpack doctor: a line for each thing that a run rests on, with the remedy. */
import { commandText } from "../command-text.js";
import type { Settings } from "../config/settings.js";
import { EXIT } from "../errors.js";
import { type Check, verdictOf } from "../operations/doctor/check.js";
import { diagnose, exitCodeOfChecks } from "../operations/doctor/doctor.js";
import { datasetsOf } from "../run.js";
import { unreadableByAthena } from "../tables.js";
import { counted } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import type { Output } from "./output.js";
import { datasetNames, settingsOf, settingsOptions } from "./settings.js";

export const command: Command = {
  options: settingsOptions,
  examples: [
    ["$0 doctor", "before the first run, and when something is odd"],
    ["$0 doctor --dataset mmp/android --json", "one dataset, for a program"],
  ],
  async handler(args, context) {
    const { output, signal } = context;
    const tell = (check: Check) => show(check, output);
    let settings: Settings;
    try {
      settings = await settingsOf(args);
    } catch (error) {
      // A configuration that cannot be read is the first finding and the last: everything else rests on it.
      const check = { name: "configuration", ...verdictOf(error), location: locationOf(error) };
      tell(check);
      return conclude([check], undefined, context);
    }
    const datasets = datasetNames(args);
    const checks = await diagnose(settings, { datasets, signal, tell });
    const unreadable = checksOfAthena(settings, datasets);
    for (const check of unreadable) tell(check);
    return conclude([...checks, ...unreadable], settings, context);
  },
};

/** Reports what is registered, and yet could not be read. */
function checksOfAthena(settings: Settings, names: string[] | undefined): Check[] {
  if (settings.catalog.type !== "glue" && settings.catalog.type !== "athena") return [];
  return datasetsOf(settings, names).flatMap((dataset) =>
    unreadableByAthena(dataset).map((message) => ({
      name: "read by Athena",
      dataset: dataset.name,
      status: "warning" as const,
      message,
    })),
  );
}

const NAME_CHARS = 20;
const WORDS = { ok: "ok", warning: "warning", failed: "FAILED", skipped: "skipped" } as const;

function show(check: Check & { location?: string }, output: Output): void {
  const { green, yellow, red, dim, cyan } = output.colors;
  const paint = { ok: green, warning: yellow, failed: red, skipped: dim }[check.status];
  const { name, dataset, status, message, hint, location } = check;
  const where = [dataset, location].filter(Boolean).join(" ");
  const found = where ? `${where}: ${message}` : message;
  output.line(`${paint(WORDS[status].padEnd(8))}${name.padEnd(NAME_CHARS)}${found}`);
  if (hint) output.line(`  ${cyan("→")} ${hint}`);
  output.record({ type: "check", ...check });
}

function conclude(
  checks: Check[],
  settings: Settings | undefined,
  { output, signal }: CommandContext,
): number {
  const number = (status: Check["status"]) => checks.filter((check) => check.status === status).length;
  const exitCode = signal.aborted ? EXIT.interrupted : exitCodeOfChecks(checks);
  const [failed, warnings, skipped] = [number("failed"), number("warning"), number("skipped")];
  const words = [
    counted(checks.length, "check"),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(warnings > 0 ? [counted(warnings, "warning")] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  const paint = failed > 0 ? output.colors.red : output.colors.green;
  const next = failed > 0 || !settings ? "" : `; ${commandText("plan", settings)} shows what is due`;
  output.line(paint(`${words.join(", ")}${next}`));
  output.result({ ok: number("ok"), failed, warnings, skipped });
  return exitCode;
}

function locationOf(error: unknown): string | undefined {
  return (error as { location?: string }).location;
}
