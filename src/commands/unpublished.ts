/** Hours that were named but have no part. */
import { commandText } from "../command-text.js";
import type { Dataset, Settings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { addHours, type Hour, hoursBetween, hoursText } from "../hour.js";
import type { Trace } from "../tier1/published.js";
import { agreeing, counted, listed } from "../words.js";
import type { Output } from "./output.js";

type Range = { from: Hour; to: Hour };

const NAMED_MAX = 3;

/**
 * Reports the hours that have a manifest but no part. They may have had a part, which nobody can know. A
 * large deletion leaves many such hours, so a person reads about all that are alike at once.
 */
export function tellTraces(
  dataset: Dataset,
  traces: Map<Hour, Trace>,
  settings: Settings,
  output: Output,
): void {
  for (const trace of ["manifest", "recent"] as const) {
    const hours = [...traces.keys()].filter((hour) => traces.get(hour) === trace).sort();
    const textOf = (some: Hour[]) =>
      `${dataset.name} ${hoursText(some)}: ${traceOf(dataset, some, trace, settings)}`;
    if (hours.length > 0) output.note(textOf(hours));
    for (const hour of hours) {
      const text = textOf([hour]);
      output.record({ type: "notice", dataset: dataset.name, hour, text });
    }
  }
}

/** What is there of hours whose parts are missing, and what to do. */
export function traceOf({ name }: Dataset, hours: Hour[], trace: Trace, settings: Settings): string {
  const [first, last = first] = [hours[0], hours.at(-1)] as [Hour, Hour];
  const command = commandText("run", settings, {
    dataset: name,
    hours: { from: first, to: addHours(last, 1) },
  });
  const isOne = hours.length === 1;
  const found = `${isOne ? "a manifest" : "manifests"}${trace === "recent" ? " of the last day" : ""}`;
  const [missing, attempt] = isOne
    ? [`its part is missing, and ${found} is there: the part was deleted`, "its attempt ended before it"]
    : [
        `their parts are missing, and ${found} are there: the parts were deleted`,
        "attempts ended before they",
      ];
  const atWork = trace === "recent" ? `, or ${isOne ? "is" : "are"} at it still` : "";
  const packs = isOne ? "packs it while its" : "packs them while their";
  return `${missing}, or ${attempt} published${atWork}; ${command} ${packs} raw objects are there`;
}

/** Gathers what is asked for but not there, and reports it: as an error if nothing is there. */
export class Unpublished {
  private readonly doing: string;
  private readonly range: Range;
  private readonly settings: Settings;
  private readonly datasets: string[] = [];
  private readonly missing: { dataset: string; hours: Hour[] }[] = [];
  private published = 0;

  constructor(doing: string, range: Range, settings: Settings) {
    this.doing = doing;
    this.range = range;
    this.settings = settings;
  }

  add(dataset: Dataset, published: Hour[]): void {
    const have = new Set(published);
    const hours = hoursBetween(this.range.from, this.range.to).filter((hour) => !have.has(hour));
    this.datasets.push(dataset.name);
    this.published += published.length;
    if (hours.length > 0) this.missing.push({ dataset: dataset.name, hours });
  }

  /** Throws `invalid` if none of the hours has a part: a mistyped hour is no success. */
  tell(output: Output): void {
    if (this.published === 0) throw this.noneThere();
    for (const { dataset, hours } of this.missing) {
      output.record({ type: "unpublished", dataset, hours });
      output.note(
        `${dataset}: ${counted(hours.length, "hour")} ${agreeing(hours.length, "has")} no part: ${listed(hours, NAMED_MAX)}`,
      );
    }
  }

  private noneThere(): HourpackError {
    const { from, to } = this.range;
    const isOne = addHours(from, 1) === to;
    const what = isOne ? `${from}: it is not` : `${from} to ${to}: no hour of it is`;
    return new HourpackError("invalid", `${this.doing} ${what} published in ${this.datasets.join(", ")}`, {
      location: isOne ? "--hour" : "--from",
      hint: `${commandText("status", this.settings, { dataset: this.datasets })} names the newest published hour; with --from and --to it shows the hours of any days.`,
    });
  }
}
