/** Requests that are tried again, those that let us wait, and what was found out of a store: told on channels to whoever counts or shows them. */
import { channel } from "node:diagnostics_channel";
import { isHourpackError } from "./errors.js";
import { type SdkError, statusOf } from "./sdk-errors.js";

/**
 * Whoever counts requests that are tried again listens here. A store's message is `{ location }`, the URI of the key or
 * prefix, a catalog's `{ service }`.
 */
export const RETRY_CHANNEL = "hourpack:retry";
/** Whoever shows what goes on listens here. A message is `{ text }`. */
export const WAITING_CHANNEL = "hourpack:waiting";
/** The same, of what is said once. */
export const NOTICE_CHANNEL = "hourpack:notice";

const retries = channel(RETRY_CHANNEL);
const waits = channel(WAITING_CHANNEL);
const notices = channel(NOTICE_CHANNEL);

/** Of one request, besides the first try. */
export const RETRIES_MAX = 8;

/** Time enough for what is well. */
const WAIT_MS = 3_000;

/** `of`: what those who count are told, such as a location. */
export function countRetry(of: object): void {
  retries.publish(of);
}

export function tell(text: string): void {
  notices.publish({ text });
}

interface WaitOptions {
  /** It takes its time where all is well, too: then nothing is told before a try has failed. */
  mayTakeLong: boolean;
  /** Besides the first try; `RETRIES_MAX` where absent. */
  retries?: number;
}

/** One request with its retries: while it is not over, what it waits for is told every few seconds. */
export class Wait {
  private readonly doing: string;
  private readonly who: string;
  private readonly options: WaitOptions;
  private readonly timer: NodeJS.Timeout;
  private tries = 1;
  private last: unknown;

  /** `doing`: such as `list s3://bucket/prefix/`; `who`: such as an endpoint. */
  constructor(doing: string, who: string, options: WaitOptions) {
    this.doing = doing;
    this.who = who;
    this.options = options;
    this.timer = setInterval(() => this.tell(), WAIT_MS).unref();
  }

  /** A try has failed, and there will be another one. */
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
