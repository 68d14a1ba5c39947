/** A list of hours in a small file of tier 1, which several workers read and change. */
import { HourpackError, isHourpackError } from "../errors.js";
import { type Hour, isHour } from "../hour.js";
import type { Store } from "../store/store.js";

export class HourList {
  private readonly store: Store;
  private readonly key: string;
  private readonly ifDamaged: string;

  /** `ifDamaged`: what it names, and what to do without it. */
  constructor(store: Store, key: string, ifDamaged: string) {
    this.store = store;
    this.key = key;
    this.ifDamaged = ifDamaged;
  }

  /** Oldest first; none where there is no file. Throws `data` where it is damaged. */
  async read(signal?: AbortSignal): Promise<Hour[]> {
    return (await this.stored(signal))?.hours ?? [];
  }

  /** By a conditional write, and none where nothing changes, or where there is no file and it would name no hour. */
  async change(change: (hours: Hour[]) => Hour[], signal?: AbortSignal): Promise<void> {
    const { store, key } = this;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const current = await this.stored(signal);
      const before = current?.hours ?? [];
      const hours = [...new Set(change(before))].sort();
      if (hours.join() === before.join()) return;
      const put = await store.put(key, Buffer.from(`${JSON.stringify({ format: 1, hours })}\n`), {
        condition: current ? { etag: current.etag } : { absent: true },
        contentType: "application/json",
        signal,
      });
      if (put.outcome === "written") return;
    }
    throw this.contended("note hours in");
  }

  private async stored(
    signal: AbortSignal | undefined,
  ): Promise<{ hours: Hour[]; etag: string } | undefined> {
    const { store, key } = this;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const head = await store.head(key, { signal });
      if (!head) return undefined;
      const bytes = await store.get(key, { etag: head.etag, signal }).catch((error) => {
        if (!isHourpackError(error, "conflict")) throw error;
      });
      // Replaced between the two requests.
      if (!bytes) continue;
      const hours = parse(bytes.toString("utf8"));
      if (hours) return { hours, etag: head.etag };
      const location = store.uri + key;
      throw new HourpackError("data", `read ${location}: it is no list of hours`, {
        location,
        hint: this.ifDamaged,
      });
    }
    throw this.contended("read");
  }

  private contended(doing: string): HourpackError {
    const location = this.store.uri + this.key;
    return new HourpackError("conflict", `${doing} ${location}: it changed ${ATTEMPTS_MAX} times under us`, {
      location,
      hint: "Many workers are at one backlog; run again.",
    });
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

const ATTEMPTS_MAX = 20;
