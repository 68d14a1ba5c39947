/** 1,000 GitHub events as small objects: from GitHub's archive if it is at hand, else made up in the same shape. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

export interface GithubEvent {
  id: string;
  type: string;
  actor: { id: number };
  org?: { id: number };
  payload: { push_id?: number; commits?: { sha: string }[] };
}

/** What a reader must find in the packed hour. */
export interface EventSums {
  rows: number;
  idSum: number;
  actorIdSum: number;
  orgAbsent: number;
  commits: number;
  commitsAbsent: number;
  pushIdSum: number;
}

export const GITHUB_HOUR = "2015-01-01T01";
const ARCHIVE = resolve(import.meta.dirname, "../../../shared/data/gharchive/2015-01-01-01.ndjson");

/** Sums published beside the archive's file, which also check our own sums. */
const ARCHIVE_SUMS: EventSums = {
  rows: 1000,
  idSum: 2489397445619,
  actorIdSum: 3505477014,
  orgAbsent: 740,
  commits: 1086,
  commitsAbsent: 404,
  pushIdSum: 319904721890,
};

export function githubEvents(): { objects: string[]; sums: EventSums } {
  const isArchived = existsSync(ARCHIVE);
  const lines = isArchived
    ? readFileSync(ARCHIVE, "utf8").split("\n").filter(Boolean)
    : Array.from({ length: 1000 }, (_, i) => JSON.stringify(madeEvent(i)));
  const sums = sumsOf(lines.map((line) => JSON.parse(line) as GithubEvent));
  if (isArchived && JSON.stringify(sums) !== JSON.stringify(ARCHIVE_SUMS)) {
    throw new Error(`the archive's sums are ${JSON.stringify(sums)}`);
  }
  const objects = Array.from({ length: lines.length / RECORDS_PER_OBJECT }, (_, i) =>
    lines.slice(i * RECORDS_PER_OBJECT, (i + 1) * RECORDS_PER_OBJECT).join("\n"),
  );
  return { objects, sums };
}

const RECORDS_PER_OBJECT = 5;

export function sumsOf(events: GithubEvent[]): EventSums {
  const sum = (pick: (event: GithubEvent) => number) =>
    events.reduce((total, event) => total + pick(event), 0);
  return {
    rows: events.length,
    idSum: sum((event) => Number(event.id)),
    actorIdSum: sum((event) => event.actor.id),
    orgAbsent: sum((event) => (event.org ? 0 : 1)),
    commits: sum((event) => event.payload.commits?.length ?? 0),
    commitsAbsent: sum((event) => (event.payload.commits ? 0 : 1)),
    pushIdSum: sum((event) => event.payload.push_id ?? 0),
  };
}

function madeEvent(i: number): GithubEvent & { created_at: string; public: boolean } {
  const isPush = i % 5 < 3;
  return {
    id: String(2489395767 + i * 7),
    type: isPush ? "PushEvent" : i % 2 === 0 ? "WatchEvent" : "CreateEvent",
    actor: { id: 1_000_000 + ((i * 7919) % 9_000_000) },
    ...(i % 4 === 0 ? { org: { id: 5000 + i } } : {}),
    payload: {
      // Keys that differ from event to event, as in the archive.
      [`detail_${i % 300}`]: i,
      ...(isPush
        ? {
            push_id: 536_740_000 + i,
            commits: Array.from({ length: i % 4 }, (_, n) => ({ sha: `${i}-${n}`.padStart(40, "0") })),
          }
        : {}),
    },
    created_at: `2015-01-01T01:${String(Math.floor(i / 17)).padStart(2, "0")}:00Z`,
    public: true,
  };
}
