/** hourpack sweep: clears what crashes left in tier 1. A run does the same once a day. */
import { datasetsOf } from "../run.js";
import { sweep } from "../upkeep/sweep.js";
import { counted } from "../words.js";
import type { Command } from "./command.js";
import { Failures } from "./failures.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";

export const command: Command = {
  options: {
    "dry-run": { type: "boolean", describe: "Only show what would be deleted" },
    ...settingsOptions,
  },
  examples: [["$0 sweep --dry-run", "what is there to clear"]],
  async handler(args, { output, signal }) {
    const dryRun = args["dry-run"] === true;
    return withComponents(await settingsOf(args), async (components) => {
      const totals = { attempts: 0, unfinished: 0, claims: 0, failed: 0, datasetsFailed: 0 };
      const failures = new Failures("sweep", { output, signal });
      for (const dataset of datasetsOf(components.settings, datasetNames(args))) {
        const doing = { dataset: dataset.name };
        const swept = await failures.past(doing, () => sweep({ components, dataset, signal }, { dryRun }));
        if (!swept) {
          totals.datasetsFailed++;
          continue;
        }
        const { failures: hours, ...cleared } = swept;
        output.record({ type: "swept", dataset: dataset.name, dryRun, ...cleared });
        for (const key of [...swept.attempts, ...swept.claims])
          output.line(`${dryRun ? "would delete" : "deleted"} ${key}`);
        for (const failure of hours) failures.add(failure);
        totals.failed += hours.length;
        totals.attempts += swept.attempts.length;
        totals.unfinished += swept.unfinished;
        totals.claims += swept.claims.length;
      }
      failures.tell();
      output.line(
        `${counted(totals.attempts, "file")} of lost attempts, ${counted(totals.unfinished, "unfinished write")}, ${counted(totals.claims, "stale claim")}`,
      );
      output.result({ dryRun, ...totals });
      return failures.exitCodeWith();
    });
  },
};
