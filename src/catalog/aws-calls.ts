/** Calls of an AWS catalog with their retries: jittered backoff, within a budget of time. */
import pRetry from "p-retry";
import { HourpackError, reasonOf } from "../errors.js";
import { isPassing } from "../sdk-errors.js";
import { RETRIES_MAX, Wait } from "../waiting.js";
import { awsError } from "./aws-errors.js";

/** Of each client: one try, since the retries are made here, and an answer or none within a limit. */
export function clientOptions({ endpoint, region }: { endpoint?: string; region?: string }) {
  return {
    ...(endpoint ? { endpoint } : {}),
    ...(region ? { region } : {}),
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: 10_000,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      // A body that stops coming, too: requestTimeout ends with the first header.
      socketTimeout: REQUEST_TIMEOUT_MS,
    },
  };
}

const REQUEST_TIMEOUT_MS = 30_000;

export interface CallOptions {
  signal?: AbortSignal;
  /** An instant at which the call is over, milliseconds; the budget's where absent. */
  deadlineMs?: number;
  /** A refusal that would come again, whatever its name promises. */
  final?: string;
  /** Besides the first try. */
  retries?: number;
}

/** Of a call whose answer somebody waits for. */
export const RETRIES_OF_A_LOOK = 2;

export class AwsCalls {
  private readonly service: string;
  private readonly budgetMs: number;

  constructor(service: string, budgetMs: number) {
    this.service = service;
    this.budgetMs = budgetMs;
  }

  /** Runs a task that may be repeated, until it is done, refused for good, or out of time or tries. */
  async call<T>(doing: string, options: CallOptions, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, deadlineMs = Date.now() + this.budgetMs, final, retries = RETRIES_MAX } = options;
    const budgetMs = Math.max(1, deadlineMs - Date.now());
    const deadline = AbortSignal.timeout(budgetMs);
    const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
    let reason: unknown;
    // A statement of Athena's takes its time.
    const wait = new Wait(doing, this.service, { mayTakeLong: true, retries });
    try {
      return await pRetry(() => task(either), {
        retries,
        minTimeout: 200,
        maxTimeout: 20_000,
        randomize: true,
        maxRetryTime: budgetMs,
        signal: either,
        shouldRetry: ({ error }) => {
          if (!either.aborted) reason = error;
          const isRetried = !(error instanceof HourpackError) && isPassing(error) && error.name !== final;
          if (isRetried) wait.again(error, { service: this.service });
          return isRetried;
        },
      });
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      if (deadline.aborted && !signal?.aborted) throw this.late(doing, reason);
      throw awsError(error, doing, this.service, signal);
    } finally {
      wait.end();
    }
  }

  /** That time is up says nothing of why: the last refusal does. */
  late(doing: string, reason?: unknown): HourpackError {
    const last = reason === undefined ? "" : `: ${reasonOf(reason)} (${(reason as Error).name})`;
    return new HourpackError("unavailable", `${doing}: not done within ${this.budgetMs / 1000} s${last}`, {
      stage: "register",
      hint: `Can this machine reach ${this.service}, and is it not too busy? catalog.timeout is the limit; the next run tries again.`,
      cause: reason,
    });
  }
}
