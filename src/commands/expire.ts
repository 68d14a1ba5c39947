/** hourpack expire: deletes raw objects that are proved to be in tier 1. */
import { commandText } from "../command-text.js";
import type { Dataset, Settings } from "../config/settings.js";
import { EXIT, HourpackError } from "../errors.js";
import { endMs, type Hour, hoursText } from "../hour.js";
import { keysOf } from "../named.js";
import { datasetsOf } from "../run.js";
import { EXPIRE_AFTER_MIN_MS } from "../tier1/journal.js";
import { allPublishedHours, publishedHours } from "../tier1/published.js";
import { type ExpiredHour, expireHour } from "../upkeep/expire.js";
import { folderLinks } from "../upkeep/links.js";
import { agreeing, count, counted } from "../words.js";
import type { Command } from "./command.js";
import { Failures } from "./failures.js";
import { size } from "./figures.js";
import { HourLines } from "./hour-lines.js";
import type { Output } from "./output.js";
import { looksOf } from "./progress.js";
import { durationMsOf, hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";
import { Unpublished } from "./unpublished.js";

export const command: Command = {
  options: {
    "older-than": {
      type: "string",
      isRequired: true,
      describe: "Hours that ended longer ago than this, like 30d; a day at least",
    },
    yes: { type: "boolean", describe: "Delete; without it only shows what would be deleted" },
    "dry-run": { type: "boolean", describe: "Show what would be deleted, as without --yes" },
    "raw-is-immutable": {
      type: "boolean",
      describe: "Raw objects are never overwritten: needed where the store ignores If-Match on a delete",
    },
    ...hourOptions,
    ...settingsOptions,
  },
  examples: [
    ["$0 expire --older-than 30d", "verify the old hours and show what could go"],
    ["$0 expire --older-than 30d --yes", "verify them and delete their raw objects"],
    ["$0 expire --older-than 30d --hour 2022-07-26T00", "one of them"],
  ],
  async handler(args, { output, signal }) {
    const olderThanMs = durationMsOf(args, "older-than");
    if (olderThanMs < EXPIRE_AFTER_MIN_MS) {
      throw new HourpackError("invalid", `--older-than ${args["older-than"]} is less than a day`, {
        location: "--older-than",
        hint: "Late objects may still come; write 1d or more.",
      });
    }
    if (args["yes"] && args["dry-run"]) {
      throw new HourpackError("invalid", "--yes and --dry-run mean two things", {
        location: "--dry-run",
        hint: "Say one: --yes deletes, --dry-run shows what would be deleted.",
      });
    }
    const range = hoursOf(args);
    const settings = await settingsOf(args);
    const options = {
      dryRun: args["yes"] !== true,
      rawIsImmutable: args["raw-is-immutable"] === true,
      links: folderLinks(settings.datasets),
    };
    return withComponents(settings, async (components) => {
      const expired: ExpiredHour[] = [];
      const failures = new Failures("expire", { output, signal });
      const named = range && new Unpublished("expire", range, components.settings);
      for (const dataset of datasetsOf(components.settings, datasetNames(args))) {
        const published = await failures.past({ dataset: dataset.name }, async () => {
          const tier1 = await components.tier1(dataset);
          return range
            ? publishedHours(tier1, dataset, range, signal)
            : [...(await allPublishedHours(tier1, dataset, signal))];
        });
        if (!published) continue;
        named?.add(dataset, published);
        const limitMs = components.nowMs() - olderThanMs;
        const [hours, younger] = parted(published, (hour) => endMs(hour) <= limitMs);
        if (named && younger.length > 0)
          output.note(`${dataset.name} ${hoursText(younger)}: ended less than ${args["older-than"]} ago`);
        const lines = new HourLines<ExpiredHour>(hours.length, (alike) =>
          tell(alike, options.dryRun, components.settings, output),
        );
        const tellLooks = lines.isEach ? () => {} : looksOf(output);
        for (const [i, hour] of hours.entries()) {
          tellLooks(i, hours.length);
          const task = { dataset, hour, request: {}, isAsked: true, components, observe: () => {}, signal };
          const doing = { dataset: dataset.name, hour };
          const told = options.dryRun ? toldOf(hour, expired, components.settings.datasets) : [];
          const expiring = () => expireHour(task, { ...options, told });
          const result = await failures.past(doing, expiring, () => lines.end());
          if (!result || (result.objects === 0 && !result.refused && !result.notDue)) continue;
          expired.push(result);
          output.record({ type: "expired", dryRun: options.dryRun, ...result });
          lines.add(result, isPlain(result) ? "gone" : undefined);
        }
        lines.end();
      }
      if (failures.count === 0) named?.tell(output);
      return summarise(expired, failures, options.dryRun, output);
    });
  },
};

function parted(hours: Hour[], isFirst: (hour: Hour) => boolean): [Hour[], Hour[]] {
  return [hours.filter(isFirst), hours.filter((hour) => !isFirst(hour))];
}

/** The datasets for which it was already reported that objects of the hour would go. */
function toldOf(hour: Hour, expired: ExpiredHour[], datasets: Dataset[]): Dataset[] {
  const names = new Set(
    expired.flatMap((told) => (told.hour === hour && told.objects > 0 ? told.dataset : [])),
  );
  return datasets.filter(({ name }) => names.has(name));
}

/** Whether all its objects are gone (or would be), and there is nothing else to report. */
function isPlain({ refused, notDue, kept, gone }: ExpiredHour): boolean {
  return refused === undefined && notDue === undefined && kept === 0 && gone === undefined;
}

/** Reports one hour, or several whose objects are all gone (or would be). */
function tell(alike: ExpiredHour[], dryRun: boolean, settings: Settings, output: Output): void {
  const [result] = alike as [ExpiredHour];
  const { yellow } = output.colors;
  const { refused, notDue } = result;
  const objects = alike.reduce((sum, hour) => sum + hour.objects, 0);
  const rawBytes = alike.reduce((sum, hour) => sum + hour.rawBytes, 0);
  const what = dryRun ? "would delete" : "deleted";
  const name = `${result.dataset} ${hoursText(alike.map(({ hour }) => hour))}`;
  if (refused !== undefined) output.line(yellow(`${name}  kept: ${refused}`));
  else if (notDue !== undefined) output.line(`${name}  not due: ${notDue}`);
  else
    output.line(
      `${name}  ${what} ${counted(objects, "object")} (${size(rawBytes)})${keptText(result, settings)}`,
    );
  if (result.gone) output.line(yellow(`  ${goneText(result.gone)}`));
}

function goneText(gone: NonNullable<ExpiredHour["gone"]>): string {
  const them = agreeing(gone.count, "it");
  return `${counted(gone.count, "object")} of it ${agreeing(gone.count, "is")} gone, and no expiry deleted ${them} (${keysOf(gone)}): the part has the only ${gone.rows === 1 ? "row" : "rows"} of ${them}`;
}

function keptText({ hour, kept, unpackedBy }: ExpiredHour, settings: Settings): string {
  if (kept === 0) return "";
  const what = `, kept ${counted(kept, "object")}`;
  if (!unpackedBy) return `${what} that ${agreeing(kept, "was")} overwritten meanwhile`;
  return `${what} that ${unpackedBy.join(" and ")} ${agreeing(unpackedBy.length, "has")} not packed yet: ${commandText("run", settings, { dataset: unpackedBy, hours: hour })} does`;
}

function summarise(expired: ExpiredHour[], failures: Failures, dryRun: boolean, output: Output): number {
  const refused = expired.filter((hour) => hour.refused !== undefined).length;
  const notDue = expired.filter((hour) => hour.notDue !== undefined).length;
  const objects = expired.reduce((sum, hour) => sum + hour.objects, 0);
  const rawBytes = expired.reduce((sum, hour) => sum + hour.rawBytes, 0);
  const what = dryRun ? "would be deleted" : "deleted";
  const failed = failures.count;
  const rest = [
    `${counted(refused, "hour")} kept`,
    ...(notDue > 0 ? [`${count(notDue)} not due`] : []),
    ...(failed > 0 ? [`${count(failed)} failed`] : []),
  ];
  failures.tell();
  output.line(`${counted(objects, "raw object")} (${size(rawBytes)}) ${what}, ${rest.join(", ")}`);
  const needsRawIsImmutable = expired.some((hour) => hour.needsRawIsImmutable);
  if (dryRun && objects > 0) output.note("Nothing was deleted: say --yes to do it.");
  if (needsRawIsImmutable) {
    output.note(
      "  → It takes --raw-is-immutable, too: this store deletes an object whatever its ETag, so one that is overwritten meanwhile would be lost.",
    );
  }
  const hours = expired.length - refused - notDue;
  output.result({ dryRun, hours, refused, notDue, failed, objects, rawBytes, needsRawIsImmutable });
  return failures.exitCodeWith(refused > 0 ? EXIT.data : EXIT.done);
}
