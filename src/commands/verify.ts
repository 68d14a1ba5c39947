/** hourpack verify: whether published hours are what they say. */

import { EXIT } from "../errors.js";
import { hoursToLookAt } from "../published.js";
import { datasetsOf } from "../run.js";
import { type HourVerification, verifyHour } from "../verification.js";
import type { Command } from "./command.js";
import { count, counted } from "./figures.js";
import type { Output } from "./output.js";
import { hourOptions, hoursOf } from "./request.js";
import { settingsOf, settingsOptions, withComponents } from "./settings.js";
import { Unpublished } from "./unpublished.js";

export const command: Command = {
  options: {
    deep: { type: "boolean", describe: "Read all raw objects and the part again and compare every record" },
    ...hourOptions,
    ...settingsOptions,
  },
  examples: [
    ["$0 verify", "the newest day that is published"],
    ["$0 verify --hour 2022-07-26T00 --deep", "every record of one hour"],
  ],
  async handler(args, { output, signal }) {
    const range = hoursOf(args);
    const deep = args["deep"] === true;
    return withComponents(await settingsOf(args), async (components) => {
      const verified: HourVerification[] = [];
      const unpublished = range && new Unpublished("verify", range);
      for (const dataset of datasetsOf(components.settings, args["dataset"] as string[] | undefined)) {
        const tier1 = await components.tier1(dataset);
        const hours = await hoursToLookAt(tier1, dataset, range, signal);
        unpublished?.add(dataset, hours);
        if (!range && hours.length === 0) output.line(`no published hour in ${dataset.name}`);
        for (const hour of hours) {
          const task = { dataset, hour, request: {}, isAsked: true, components, observe: () => {}, signal };
          const result = await verifyHour(task, { deep });
          if (result.state === "unpublished") continue;
          verified.push(result);
          tell(result, deep, output);
        }
      }
      unpublished?.tell(output);
      return conclude(verified, deep, output);
    });
  },
};

function conclude(verified: HourVerification[], deep: boolean, output: Output): number {
  const wrong = verified.filter(({ state }) => state === "wrong").length;
  const rows = verified.reduce((sum, result) => sum + result.rows, 0);
  const { green, red } = output.colors;
  const proved = deep ? ", every record compared" : "";
  if (wrong > 0) output.line(red(`${count(wrong)} of ${counted(verified.length, "hour")} wrong`));
  else if (verified.length > 0)
    output.line(green(`${counted(verified.length, "hour")} sound: ${counted(rows, "row")}${proved}`));
  else output.note("nothing to verify: `hourpack plan --from … --to …` shows what there is to pack");
  output.result({ hours: verified.length, wrong, rows, deep });
  return wrong > 0 ? EXIT.data : EXIT.done;
}

function tell(result: HourVerification, deep: boolean, output: Output): void {
  output.record({ type: "verified", ...result });
  const { green, red, dim } = output.colors;
  const mark = result.state === "sound" ? green("sound") : red("wrong");
  const figures = [counted(result.objects, "object"), counted(result.rows, "row")];
  if (result.quarantined > 0) figures.push(`${count(result.quarantined)} quarantined`);
  output.line(`${result.dataset} ${result.hour}  ${mark}  ${figures.join(", ")}`);
  for (const problem of result.problems) output.line(`  ${problem}`);
  for (const { kind, detail, object, offset, row, record } of result.deep?.differences ?? []) {
    const place = [object, offset !== undefined && `byte ${offset}`, row !== undefined && `row ${row}`];
    output.line(`  ${kind}: ${detail}`);
    if (place.some(Boolean)) output.line(dim(`    at ${place.filter(Boolean).join(", ")}`));
    if (record) output.line(dim(`    ${record}`));
  }
  const late = result.deep?.late.count ?? 0;
  if (deep && late > 0) output.line(`  ${counted(late, "late object")}: the next run takes them`);
}
