/** Whether a worker can do its work, as /readyz reports it. */
import type { HourFailure } from "../task.js";
import type { DatasetRound, WorkerEvent } from "./worker.js";

interface ReadyState {
  isReady: boolean;
  reason: string;
}

/**
 * A worker is ready once it could find out the due hours of one dataset, so a long catch-up does not make it
 * unready. It becomes unready when a round ends in which every dataset failed as a whole, or had not one hour
 * that could be worked on. It is ready again when the store answers again. If the due hours could be found
 * out even in that round (the catalog or raw did not answer), it is ready again only when a round ends well.
 * A refusal is no better than no answer.
 */
export class Readiness {
  private current: ReadyState = { isReady: false, reason: "starting: no store was reached yet" };
  /** Datasets whose due hours could be found out in this round. */
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

/** Why nothing of a dataset could be worked on. Undefined if something could, or if its data are to blame. */
function causeOf({ hours, failures }: DatasetRound): HourFailure | undefined {
  const isOfStore = ({ error: { kind } }: HourFailure) => kind === "unavailable" || kind === "invalid";
  const whole = failures.find(({ hour, error }) => hour === undefined && error.kind !== "interrupted");
  return whole ?? (hours.length === 0 && failures.every(isOfStore) ? failures[0] : undefined);
}

const READY: ReadyState = { isReady: true, reason: "ready" };
