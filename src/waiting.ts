/** Publishes retries, slow requests and findings about a store on diagnostics channels, for whoever counts or shows them. */
import { channel } from "node:diagnostics_channel";
import { isHourpackError } from "./errors.js";
import { type SdkError, statusOf } from "./sdk-errors.js";

/**
 * Publishes each request that is tried again, for counters. A store's message is `{ location }`, the URI of the key or prefix;
 * a catalog's is `{ service }`.
 */
export const RETRY_CHANNEL = "hourpack:retry";
/** Publishes what a request waits for, to be shown. A message is `{ text }`. */
export const WAITING_CHANNEL = "hourpack:waiting";
/** The same, for texts that are said once. */
export const NOTICE_CHANNEL = "hourpack:notice";

const retries = channel(RETRY_CHANNEL);
const waits = channel(WAITING_CHANNEL);
const notices = channel(NOTICE_CHANNEL);

/** The retries of one request after the first try. */
export const RETRIES_MAX = 8;

/** A healthy service answers within this time. */
const WAIT_MS = 3_000;

/** `of` is the message for the counters, such as `{ location }`. */
export function countRetry(of: object): void {
  retries.publish(of);
}

export function tell(text: string): void {
  notices.publish({ text });
}

interface WaitOptions {
  /** The request may be slow even if all is well: nothing is published before a try has failed. */
  mayTakeLong: boolean;
  /** Retries after the first try; `RETRIES_MAX` if absent. */
  retries?: number;
}

/** One request with its retries. Until it ends, it publishes what it waits for every few seconds. */
export class Wait {
  private readonly doing: string;
  private readonly who: string;
  private readonly options: WaitOptions;
  private readonly timer: NodeJS.Timeout;
  private tries = 1;
  private last: unknown;

  /** `doing` is for example `list s3://bucket/prefix/`, `who` an endpoint. */
  constructor(doing: string, who: string, options: WaitOptions) {
    this.doing = doing;
    this.who = who;
    this.options = options;
    this.timer = setInterval(() => this.tell(), WAIT_MS).unref();
  }

  /** A try has failed, and another one follows. */
  again(error: unknown, of: object): void {
    this.tries++;
    this.last = error;
    countRetry(of);
  }

  end(): void {
    clearInterval(this.timer);
  }

  private tell(): void {
    const { doing, who } = this;
    const { mayTakeLong, retries = RETRIES_MAX } = this.options;
    const again = `trying again (${this.tries} of ${retries + 1})`;
    if (isHourpackError(this.last)) waits.publish({ text: `${this.last.message}: ${again}` });
    else if (this.last !== undefined)
      waits.publish({ text: `${doing}: ${who} ${answerOf(this.last)}: ${again}` });
    else if (!mayTakeLong) waits.publish({ text: `${doing}: ${who} has not answered yet` });
  }
}

/** `answered 503 SlowDown`, `does not answer (ECONNREFUSED)` */
function answerOf(error: unknown): string {
  const { name, code } = error as SdkError;
  const status = statusOf(error);
  return status === undefined ? `does not answer (${code ?? name})` : `answered ${status} ${name}`;
}
