/** Calls to an AWS catalog with their retries: jittered backoff, within a time budget. */
import pRetry from "p-retry";
import { HourpackError, reasonOf } from "../errors.js";
import { isPassing } from "../sdk-errors.js";
import { RETRIES_MAX, Wait } from "../waiting.js";
import { awsError } from "./aws-errors.js";

/** For each client: one try, since retries are made here, and a limit on the time that an answer takes. */
export function clientOptions({ endpoint, region }: { endpoint?: string; region?: string }) {
  return {
    ...(endpoint ? { endpoint } : {}),
    ...(region ? { region } : {}),
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: 10_000,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      // Covers a body that stops coming: `requestTimeout` ends with the first header.
      socketTimeout: REQUEST_TIMEOUT_MS,
    },
  };
}

const REQUEST_TIMEOUT_MS = 30_000;

export interface CallOptions {
  signal?: AbortSignal;
  /** When the call must be over, in ms since the epoch. Without it, the budget counts. */
  deadlineMs?: number;
  /** The name of a refusal that would come again, whatever the name promises. */
  final?: string;
  /** Tries after the first one. */
  retries?: number;
}

/** For a call whose answer somebody waits for. */
export const RETRIES_OF_A_LOOK = 2;

export class AwsCalls {
  private readonly service: string;
  private readonly budgetMs: number;

  constructor(service: string, budgetMs: number) {
    this.service = service;
    this.budgetMs = budgetMs;
  }

  /**
   * Runs a task that may be repeated, until it succeeds, is refused for good, or runs out of time or tries.
   */
  async call<T>(doing: string, options: CallOptions, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, deadlineMs = Date.now() + this.budgetMs, final, retries = RETRIES_MAX } = options;
    const budgetMs = Math.max(1, deadlineMs - Date.now());
    const deadline = AbortSignal.timeout(budgetMs);
    const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
    let reason: unknown;
    // An Athena statement takes its time.
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

  /** A timeout does not say why. The last refusal does. */
  late(doing: string, reason?: unknown): HourpackError {
    const last = reason === undefined ? "" : `: ${reasonOf(reason)} (${(reason as Error).name})`;
    return new HourpackError("unavailable", `${doing}: not done within ${this.budgetMs / 1000} s${last}`, {
      stage: "register",
      hint: `Can this machine reach ${this.service}, and is it not too busy? catalog.timeout is the limit; the next run tries again.`,
      cause: reason,
    });
  }
}
