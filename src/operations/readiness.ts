/** Whether a worker can do its work: told by /readyz. */
import type { HourFailure } from "../task.js";
import type { DatasetRound, WorkerEvent } from "./worker.js";

interface ReadyState {
  isReady: boolean;
  reason: string;
}

/**
 * Ready from the first dataset on whose due hours could be found out, so that a long catch-up is no reason to call a
 * worker unready. No longer where a round ended and no dataset could be worked on to its end, or not one hour of any: until
 * the store answers again, or, where the due hours could be found out all the same (it was the catalog that did not, or
 * raw), until a round ends well. Refused is no better than unanswered.
 */
export class Readiness {
  private current: ReadyState = { isReady: false, reason: "starting: no store was reached yet" };
  /** Datasets whose hours could be found out in this round. */
  private readonly reached = new Set<string>();
  private isLostThoughReached = false;

  readonly observe = (event: WorkerEvent): void => {
    if (event.type === "round-started") this.reached.clear();
    if (event.type === "dataset-started") {
      this.reached.add(event.dataset);
      if (!this.isLostThoughReached) this.current = READY;
    }
    if (event.type !== "round-finished" || event.datasets.length === 0) return;
    const causes = event.datasets.map(causeOf);
    const isLost = causes.every((cause) => cause !== undefined);
    this.isLostThoughReached = isLost && causes.every((cause) => this.reached.has(cause?.dataset ?? ""));
    const { kind, message } = causes[0]?.error ?? {};
    this.current = isLost ? { isReady: false, reason: `${kind}: ${message}` } : READY;
  };

  state(): ReadyState {
    return this.current;
  }

  stop(): void {
    this.current = { isReady: false, reason: "stopping" };
  }
}

/** Why nothing of a dataset could be worked on; undefined where something could, or where its data are what is wrong. */
function causeOf({ hours, failures }: DatasetRound): HourFailure | undefined {
  const isOfStore = ({ error: { kind } }: HourFailure) => kind === "unavailable" || kind === "invalid";
  const whole = failures.find(({ hour, error }) => hour === undefined && error.kind !== "interrupted");
  return whole ?? (hours.length === 0 && failures.every(isOfStore) ? failures[0] : undefined);
}

const READY: ReadyState = { isReady: true, reason: "ready" };
