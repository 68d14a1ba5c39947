/** Hours that were named and have no part. */
import { commandText } from "../command-text.js";
import type { Dataset, Settings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { addHours, type Hour, hoursBetween } from "../hour.js";
import type { Trace } from "../tier1/published.js";
import { counted, listed } from "../words.js";
import type { Output } from "./output.js";

type Range = { from: Hour; to: Hour };

const NAMED_MAX = 3;

/** Of hours without a part, those that have a manifest: it is told that they may have had one, which nobody can know. */
export function tellTraces(
  { name }: Dataset,
  traces: Map<Hour, Trace>,
  settings: Settings,
  output: Output,
): void {
  for (const [hour, trace] of traces) {
    if (trace === "expired") continue;
    const [manifest, atWork] =
      trace === "recent" ? ["a manifest of the last day", ", or is at it still"] : ["a manifest", ""];
    const command = commandText("run", settings, { dataset: name, hours: hour });
    const text = `${name} ${hour}: its part is missing, and ${manifest} is there: the part was deleted, or its attempt ended before it published${atWork}; ${command} packs it while its raw objects are there`;
    output.notice(text, { dataset: name, hour });
  }
}

/** Gathers what is asked for and not there, and says it: as an error where nothing was there. */
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

  /** Throws `invalid` where none of the hours has a part: a mistyped hour is no success. */
  tell(output: Output): void {
    if (this.published === 0) throw this.noneThere();
    for (const { dataset, hours } of this.missing) {
      output.record({ type: "unpublished", dataset, hours });
      output.note(
        `${dataset}: ${counted(hours.length, "hour")} ${hours.length === 1 ? "has" : "have"} no part: ${listed(hours, NAMED_MAX)}`,
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
