/** hourpack register: brings the catalog in step with what is published. */

import type { Dataset, Settings } from "../config/settings.js";
import { EXIT, HourpackError } from "../errors.js";
import type { Hour } from "../hour.js";
import { Unregistered } from "../hours/unregistered.js";
import { datasetsOf } from "../run.js";
import { type RegisteredTable, registerTables } from "../stages/register.js";
import { unreadableByAthena } from "../tables.js";
import { allPublishedHours, publishedHours } from "../tier1/published.js";
import { count, counted } from "../words.js";
import type { Command } from "./command.js";
import type { Output } from "./output.js";
import { hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";

export const command: Command = {
  options: {
    ...hourOptions,
    "dry-run": { type: "boolean", describe: "Only show which hours would be registered" },
    ...settingsOptions,
  },
  examples: [
    ["$0 register", "every published hour"],
    ["$0 register --from 2022-07-01 --to 2022-08-01", "a month"],
  ],
  async handler(args, { output, signal }) {
    const range = hoursOf(args);
    const settings = await settingsOf(args);
    const { catalog } = settings;
    if (catalog.type === "none") {
      throw new HourpackError("invalid", "there is no catalog to register in", {
        location: "catalog.type",
        hint: "Choose one with --catalog local, glue or athena, or in hourpack.yaml.",
      });
    }
    return withComponents(settings, async (components) => {
      const dryRun = args["dry-run"] === true;
      const registered: RegisteredTable[] = [];
      for (const dataset of datasetsOf(settings, datasetNames(args))) {
        const context = { components, dataset, signal };
        const tier1 = await components.tier1(dataset);
        const hours = range
          ? await publishedHours(tier1, dataset, range, signal)
          : [...(await allPublishedHours(tier1, dataset, signal))];
        if (hours.length === 0 || dryRun) {
          if (dryRun) output.record({ type: "planned", dataset: dataset.name, hours: hours.sort() });
          output.line(`${dataset.name}: ${counted(hours.length, "published hour")}`);
          continue;
        }
        for await (const done of registerTables(context, hours)) {
          registered.push(done);
          output.record({ type: "registered", ...done });
          tell(done, hours, catalog.database, output);
        }
        await new Unregistered(context, hours).registered(hours);
        tellUnreadable(dataset, settings, output);
      }
      output.result({ dryRun, registered });
      return EXIT.done;
    });
  },
};

function tell(done: RegisteredTable, hours: Hour[], database: string, output: Output): void {
  const figures = `${count(done.added)} added, ${count(done.corrected)} corrected, ${count(done.unchanged)} unchanged`;
  const created = done.created ? "table created, " : "";
  output.line(`${database}.${done.table}: ${created}${counted(hours.length, "hour")}, partitions ${figures}`);
  for (const note of done.notes) output.line(`  ${note}`);
}

/** What the catalog's engine cannot read of the dataset. */
function tellUnreadable(dataset: Dataset, { catalog }: Settings, output: Output): void {
  if (catalog.type === "none") return;
  if (catalog.type !== "local")
    for (const what of unreadableByAthena(dataset))
      output.notice(`${dataset.name}: ${what}`, { dataset: dataset.name });
  else if (dataset.raw.location.scheme === "s3")
    output.line(
      `${catalog.database}.${dataset.rawTable}: no view; the local catalog reads no raw objects of S3`,
    );
}
