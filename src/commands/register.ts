/** hourpack register: brings the catalog in step with what is published. */

import { EXIT, HourpackError } from "../errors.js";
import { Unregistered } from "../hours/unregistered.js";
import { datasetsOf, type RegisteredTable } from "../run.js";
import { currentSchema } from "../schema/pinned.js";
import { registerHours } from "../stages/register.js";
import { tablesIn, tablesOf, unreadableByAthena } from "../tables.js";
import { allPublishedHours, publishedHours } from "../tier1/published.js";
import { readPinned } from "../tier1/schema-file.js";
import { count, counted } from "../words.js";
import type { Command } from "./command.js";
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
    if (settings.catalog.type === "none") {
      throw new HourpackError("invalid", "there is no catalog to register in", {
        location: "catalog.type",
        hint: "Choose one with --catalog local, glue or athena, or in hourpack.yaml.",
      });
    }
    return withComponents(settings, async (components) => {
      const dryRun = args["dry-run"] === true;
      const registered: RegisteredTable[] = [];
      for (const dataset of datasetsOf(settings, datasetNames(args))) {
        const tier1 = await components.tier1(dataset);
        const hours = range
          ? await publishedHours(tier1, dataset, range, signal)
          : [...(await allPublishedHours(tier1, dataset, signal))];
        const pinned = await readPinned(tier1, dataset.tier1.prefix, signal);
        if (hours.length === 0 || !pinned || dryRun) {
          if (dryRun) output.record({ type: "planned", dataset: dataset.name, hours: hours.sort() });
          output.line(`${dataset.name}: ${counted(hours.length, "published hour")}`);
          continue;
        }
        const tables = tablesOf(dataset, currentSchema(pinned).columns, settings);
        const catalog = await components.catalog();
        const registrable = tablesIn(tables, settings);
        if (!registrable.includes(tables.raw)) {
          const { database, name } = tables.raw;
          output.line(`${database}.${name}: no view; the local catalog reads no raw objects of S3`);
        }
        for (const table of registrable) {
          const done = await registerHours(catalog, table, hours, { ahead: settings.run.ahead, signal });
          registered.push({ dataset: dataset.name, ...done });
          output.record({ type: "registered", dataset: dataset.name, ...done });
          const figures = `${count(done.added)} added, ${count(done.corrected)} corrected, ${count(done.unchanged)} unchanged`;
          output.line(
            `${table.database}.${table.name}: ${done.created ? "table created, " : ""}${counted(hours.length, "hour")}, partitions ${figures}`,
          );
          for (const note of done.notes) output.line(`  ${note}`);
        }
        await new Unregistered(components, dataset, hours, signal).registered(hours);
        if (settings.catalog.type !== "local")
          for (const what of unreadableByAthena(dataset))
            output.notice(`${dataset.name}: ${what}`, { dataset: dataset.name });
      }
      output.result({ dryRun, registered });
      return EXIT.done;
    });
  },
};
