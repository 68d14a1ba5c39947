/** Reports what many hours have in common with the first of them, and names the others at the end. */
import { causeOf } from "../errors.js";
import { type Hour, hoursText } from "../hour.js";
import type { RunEvent } from "../task.js";

/** The hours after the first one that were alike. */
interface AlikeHours {
  /** The first hour's event. */
  event: RunEvent;
  dataset: string;
  hours: number;
  /** `3 hours from 2022-07-26T01 to 2022-07-26T03 failed alike` */
  text: string;
}

interface Likeness {
  dataset: string;
  hour: Hour | undefined;
  /** The same for all of them. */
  key: string;
  /** What is said about the others, after their names. */
  words: string;
}

export class Alike {
  private readonly told = new Map<string, { event: RunEvent; first: Likeness; others: Set<Hour> }>();

  /** Whether the same was reported for an earlier hour of the dataset. If so, this hour joins the others. */
  isTold(event: RunEvent): boolean {
    const likeness = likenessOf(event);
    if (!likeness) return false;
    const { hour, key } = likeness;
    const told = this.told.get(key);
    if (!told) this.told.set(key, { event, first: likeness, others: new Set() });
    if (!told || hour === undefined) return false;
    if (hour !== told.first.hour) told.others.add(hour);
    return true;
  }

  rest(): AlikeHours[] {
    return [...this.told.values()].flatMap(({ event, first, others }) => {
      const { dataset, words } = first;
      const text = hoursText([...others].sort()) + words;
      return others.size > 0 ? [{ event, dataset, hours: others.size, text }] : [];
    });
  }
}

function likenessOf(event: RunEvent): Likeness | undefined {
  switch (event.type) {
    case "notice": {
      const { dataset = "", hour, alike } = event;
      if (alike === undefined || hour === undefined) return undefined;
      return { dataset, hour, key: `${dataset} notice ${alike}`, words: `: ${alike}, too` };
    }
    case "hour-claimed": {
      const { dataset, hour } = event;
      return { dataset, hour, key: `${dataset} claimed`, words: ": another run was at work, too" };
    }
    case "hour-failed": {
      const { dataset, hour, error } = event.failure;
      if (error.kind === "interrupted") return undefined;
      return { dataset, hour, key: `${dataset} failed ${causeOf(error)}`, words: " failed alike" };
    }
    default:
      return undefined;
  }
}
