/** Calls of an AWS catalog with their retries: jittered backoff, within a budget of time. */
import { channel } from "node:diagnostics_channel";
import pRetry from "p-retry";
import { HourpackError, reasonOf } from "../errors.js";
import { awsError, isPassing } from "./aws-errors.js";

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

/** Whoever counts requests that are tried again listens here. */
const retries = channel("hourpack:retry");

const REQUEST_TIMEOUT_MS = 30_000;
const RETRIES_MAX = 8;

export interface CallOptions {
  signal?: AbortSignal;
  /** An instant at which the call is over, milliseconds; the budget's where absent. */
  deadlineMs?: number;
  /** A refusal that would come again, whatever its name promises. */
  final?: string;
}

export class AwsCalls {
  private readonly service: string;
  private readonly budgetMs: number;

  constructor(service: string, budgetMs: number) {
    this.service = service;
    this.budgetMs = budgetMs;
  }

  /** Runs a task that may be repeated, until it is done, refused for good, or out of time or tries. */
  async call<T>(doing: string, options: CallOptions, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, deadlineMs = Date.now() + this.budgetMs, final } = options;
    const budgetMs = Math.max(1, deadlineMs - Date.now());
    const deadline = AbortSignal.timeout(budgetMs);
    const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
    let reason: unknown;
    try {
      return await pRetry(() => task(either), {
        retries: RETRIES_MAX,
        minTimeout: 200,
        maxTimeout: 20_000,
        randomize: true,
        maxRetryTime: budgetMs,
        signal: either,
        shouldRetry: ({ error }) => {
          if (!either.aborted) reason = error;
          const isRetried = isPassing(error) && error.name !== final;
          if (isRetried) retries.publish({ service: this.service });
          return isRetried;
        },
      });
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      if (deadline.aborted && !signal?.aborted) throw this.late(doing, reason);
      throw awsError(error, doing, this.service, signal);
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
