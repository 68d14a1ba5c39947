/** A list of hours in a small file of tier 1, which several workers read and change. */
import { HourpackError } from "../errors.js";
import { type Hour, isHour } from "../hour.js";
import type { Store } from "../store/store.js";
import { ConditionalFile } from "../tier1/conditional-file.js";

export class HourList {
  private readonly file: ConditionalFile<Hour[]>;

  /** `ifDamaged` is the hint for a damaged file: what it names, and what to do without it. */
  constructor(store: Store, key: string, ifDamaged: string) {
    this.file = new ConditionalFile(store, key, {
      parse: (bytes, location) => {
        const hours = parse(bytes.toString("utf8"));
        if (hours) return hours;
        throw new HourpackError("data", `read ${location}: it is no list of hours`, {
          location,
          hint: ifDamaged,
        });
      },
      serialise: (hours) => Buffer.from(`${JSON.stringify({ format: 1, hours })}\n`),
      doing: { read: "read", change: "note hours in" },
      contended: { hint: "Many workers are at one backlog; run again." },
    });
  }

  /** The hours, oldest first; none if there is no file. Throws `data` if the file is damaged. */
  async read(signal?: AbortSignal): Promise<Hour[]> {
    return (await this.file.read(signal)) ?? [];
  }

  /** Changes the list. Writes nothing if nothing changes, or if there is no file and it would name no hour. */
  async change(change: (hours: Hour[]) => Hour[], signal?: AbortSignal): Promise<void> {
    await this.file.change(async (noted) => {
      const before = noted ?? [];
      const hours = [...new Set(change(before))].sort();
      return hours.join() === before.join() ? noted : hours;
    }, signal);
  }
}

function parse(text: string): Hour[] | undefined {
  try {
    const { hours } = JSON.parse(text) as { hours?: unknown };
    return Array.isArray(hours) && hours.every((hour) => typeof hour === "string" && isHour(hour))
      ? (hours as Hour[])
      : undefined;
  } catch {
    return undefined;
  }
}
