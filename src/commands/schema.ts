/** hourpack schema: the pinned columns and how they came to be. */

import { EXIT } from "../errors.js";
import { datasetsOf } from "../run.js";
import { readPinned, requirePinnable } from "../tier1/schema-file.js";
import { counted } from "../words.js";
import { described, showColumns } from "./columns.js";
import type { Command } from "./command.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";

export const command: Command = {
  options: settingsOptions,
  examples: [["$0 schema --dataset mmp/android", "one dataset's columns and history"]],
  async handler(args, { output, signal }) {
    return withComponents(await settingsOf(args), async (components) => {
      const datasets = datasetsOf(components.settings, datasetNames(args));
      for (const dataset of datasets) {
        const pinned = await readPinned(await components.tier1(dataset), dataset.tier1.prefix, signal);
        // Where parts exist, it was lost.
        if (!pinned) await requirePinnable({ components, dataset, signal }, {});
        const versions = pinned?.versions ?? [];
        output.record({
          type: "schema",
          dataset: dataset.name,
          versions: versions.map(({ columns, ...version }) => ({
            ...version,
            columns: columns.map(described),
          })),
        });
        output.line(output.colors.bold(dataset.name));
        const newest = versions.at(-1);
        if (!newest) output.line("  nothing is pinned yet: the first packed hour pins its columns");
        else showColumns(newest.columns, output);
        let before = 0;
        for (const { version, createdAt, fingerprint, columns } of versions) {
          const added = columns.slice(before).map(({ name }) => name);
          const names = version === 1 ? counted(columns.length, "column") : `added ${added.join(", ")}`;
          output.line(`  version ${version}, ${createdAt}, ${fingerprint}: ${names}`);
          before = columns.length;
        }
      }
      output.result({ datasets: datasets.length });
      return EXIT.done;
    });
  },
};
