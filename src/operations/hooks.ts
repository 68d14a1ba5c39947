/** Whom to tell, and what: a webhook that takes `{"text": …}`, as Slack's and Mattermost's do. */
import { setTimeout } from "node:timers/promises";
import pRetry from "p-retry";
import { type CommandSettings, commandText } from "../command-text.js";
import type { Settings } from "../config/settings.js";
import { besideName, HourpackError, isHourpackError } from "../errors.js";
import { addHours, type Hour, hoursText } from "../hour.js";
import { type Log, withoutCredentials } from "../log.js";
import type { HourFailure, HourResult } from "../task.js";
import { counted } from "../words.js";
import type { DatasetRound } from "./worker.js";

/**
 * What is worth telling about each dataset, remembered by this process alone: a failure once rather than
 * every hour, and a recovery when everything that failed is done.
 */
export class News {
  private readonly settings: NewsSettings;
  private readonly troubles = new Map<string, Trouble>();
  private readonly quarantines = new Map<string, number>();

  constructor(settings: NewsSettings) {
    this.settings = settings;
  }

  /** Texts for people, in order. */
  of(round: DatasetRound): string[] {
    const { dataset, hours, finishedMs } = round;
    const failures = round.failures.filter(({ error }) => error.kind !== "interrupted");
    const trouble = this.troubles.get(dataset) ?? { sinceMs: finishedMs, told: new Set(), hours: new Set() };
    const texts = hours.flatMap((result) => this.quarantineOf(result));
    texts.push(...failureTexts(dataset, failures, trouble));
    for (const { hour } of failures) if (hour !== undefined) trouble.hours.add(hour);
    if (failures.length > 0) this.troubles.set(dataset, trouble);
    else if (round.failures.length === 0) texts.push(...this.ended(round, trouble));
    return texts;
  }

  /** After a round without a failure, what had failed is done, or has grown too old to be due. */
  private ended(round: DatasetRound, trouble: Trouble): string[] {
    if (!this.troubles.delete(round.dataset)) return [];
    const { dataset, hours, finishedMs } = round;
    const looked = new Set<Hour>(hours.map(({ hour }) => hour));
    const left = [...trouble.hours].filter((hour) => !looked.has(hour)).sort();
    const minutes = Math.round((finishedMs - trouble.sinceMs) / 60_000);
    const [first, last = first] = [left[0], left.at(-1)];
    if (!first || !last)
      return [`hourpack: ${dataset} recovered after ${minutes} min; all that is due is done`];
    const hoursLeft = { from: first, to: addHours(last, 1) };
    const command = commandText("run", this.settings, { dataset, hours: hoursLeft });
    return [
      `hourpack: ${dataset} goes on, but ${hoursText(left)} failed until no longer due and may not be packed; ` +
        `${command} tries again`,
    ];
  }

  /** For an hour whose part has more in quarantine than is allowed. Told again only if it has become more. */
  private quarantineOf(result: HourResult): string[] {
    const { dataset, hour, action, part } = result;
    const limit = this.settings.hooks.quarantine;
    if (limit === undefined || action !== "packed" || !part) return [];
    const { quarantined } = part;
    const records = part.rows + quarantined;
    if (quarantined <= (limit < 1 ? limit * records : limit)) return [];
    const name = `${dataset} ${hour}`;
    if ((this.quarantines.get(name) ?? 0) >= quarantined) return [];
    this.quarantines.set(name, quarantined);
    // 0.07 * 100 is 7.000000000000001.
    const allowed = limit < 1 ? `${Number((limit * 100).toPrecision(12))} %` : String(limit);
    return [
      `hourpack: ${name}: ${quarantined} of ${records} records are in quarantine, more than the limit of ${allowed}; ` +
        "the bytes are kept under _hourpack/quarantine/ of tier 1",
    ];
  }
}

type NewsSettings = Pick<Settings, "hooks"> & CommandSettings;

interface Trouble {
  sinceMs: number;
  /** Kinds of failures, and hours whose data need a person, that were told already. */
  told: Set<string>;
  /** Hours that have failed since then, until a round of the dataset has no failure. */
  hours: Set<Hour>;
}

/**
 * One text per cause: an outage fails every hour alike, while data that break the contract are each hour's
 * own cause.
 */
function failureTexts(dataset: string, failures: HourFailure[], { told }: Trouble): string[] {
  const causes = new Map<string, { error: HourpackError; hours: Hour[] }>();
  for (const { hour, error } of failures) {
    const name = error.kind === "data" ? `data ${hour}` : error.kind;
    const cause = causes.get(name) ?? { error, hours: [] };
    if (hour !== undefined) cause.hours.push(hour);
    causes.set(name, cause);
  }
  const fresh = [...causes].filter(([name]) => !told.has(name));
  for (const [name] of fresh) told.add(name);
  return fresh.map(([, { error, hours }]) => {
    const what = hours.length > 0 ? `${dataset} ${hoursText(hours)}` : dataset;
    return `hourpack: ${what} failed: ${besideName(what, error.message)}${error.hint ? ` → ${error.hint}` : ""}`;
  });
}

interface HookOptions {
  timeoutMs?: number;
  /** Pause between tries; doubled each time. */
  pauseMs?: number;
}

const TRIES = 3;
const WAITING_MAX = 50;
const TEXT_CHARS_MAX = 3000;

/** Sends texts one after the other, in the background. Logs and forgets what cannot be delivered. */
export class Hook {
  private readonly url: string;
  private readonly log: Log;
  private readonly timeoutMs: number;
  private readonly pauseMs: number;
  private last: Promise<void> = Promise.resolve();
  private waiting = 0;
  private lost = 0;
  private reason = "";

  /** The address is a secret, host included: no message contains it. */
  constructor(url: string, log: Log, { timeoutMs = 5_000, pauseMs = 1_000 }: HookOptions = {}) {
    this.url = url;
    this.log = log;
    this.timeoutMs = timeoutMs;
    this.pauseMs = pauseMs;
  }

  send(text: string): void {
    if (this.waiting >= WAITING_MAX) {
      this.log.warn("the webhook is behind: a message was dropped");
      this.lose("it is behind");
      return;
    }
    this.waiting++;
    this.last = this.last.then(async () => {
      try {
        await this.deliver(text);
      } finally {
        this.waiting--;
      }
    });
  }

  /**
   * Resolves when everything is delivered or given up, or after `withinMs`. Returns an error if something was
   * not delivered.
   */
  async flush(withinMs: number): Promise<HourpackError | undefined> {
    const waited = new AbortController();
    const { signal } = waited;
    await Promise.race([this.last, setTimeout(withinMs, undefined, { signal }).catch(() => {})]);
    waited.abort();
    const lost = this.lost + this.waiting;
    if (lost === 0) return undefined;
    const reason = this.waiting > 0 ? `no answer in ${withinMs / 1000} s` : this.reason;
    return new HourpackError(
      "unavailable",
      `tell the webhook: it did not take ${counted(lost, "message")} (${reason})`,
      {
        hint: "Check HOURPACK_HOOK_URL, and that this machine can reach it; what it was to be told is in the output of the run.",
      },
    );
  }

  private lose(reason: string): void {
    this.lost++;
    this.reason = reason;
  }

  private async deliver(text: string): Promise<void> {
    try {
      await pRetry(() => this.post(text), {
        retries: TRIES - 1,
        minTimeout: this.pauseMs,
        shouldRetry: ({ error }) =>
          !(error instanceof Refused) || error.status === 429 || error.status >= 500,
      });
    } catch (error) {
      const reason = deliveryReason(error);
      this.log.warn("the webhook did not take a message", { reason });
      this.lose(reason);
    }
  }

  private async post(text: string): Promise<void> {
    const response = await fetch(this.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text: escaped(withoutCredentials(text)).slice(0, TEXT_CHARS_MAX) }),
      signal: AbortSignal.timeout(this.timeoutMs),
      // If a redirect were followed, the POST would become a GET that says nothing and is answered with 200.
      redirect: "manual",
    });
    await response.body?.cancel();
    if (response.status < 200 || response.status > 299) throw new Refused(response.status);
  }
}

class Refused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`answered ${status}`);
    this.status = status;
  }
}

/** Gives only codes, because the messages of fetch name the host. */
function deliveryReason(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (isHourpackError(error)) return error.kind;
  const { cause, name } = error as { cause?: { code?: string }; name?: string };
  return cause?.code ?? name ?? "unknown";
}

/** Keys and messages come from the data: nothing in them may become a link or a mention of everyone. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
