/** Whether a worker can do its work: told by /readyz. */
import type { WorkerEvent } from "./worker.js";

export interface ReadyState {
  isReady: boolean;
  reason: string;
}

/**
 * Ready from the first dataset on whose due hours could be found out, so that a long catch-up is no reason to call a
 * worker unready; no longer where a round ended and none could.
 */
export class Readiness {
  private current: ReadyState = { isReady: false, reason: "starting: no store was reached yet" };

  readonly observe = (event: WorkerEvent): void => {
    if (event.type === "dataset-started") this.current = { isReady: true, reason: "ready" };
    if (event.type !== "round-finished" || event.datasets.length === 0) return;
    const causes = event.datasets.map(({ hours, failures }) =>
      hours.length > 0
        ? undefined
        : failures.find(({ hour, error }) => hour === undefined && error.kind === "unavailable"),
    );
    if (causes.every((cause) => cause !== undefined))
      this.current = { isReady: false, reason: `unavailable: ${causes[0]?.error.message}` };
  };

  state(): ReadyState {
    return this.current;
  }

  stop(): void {
    this.current = { isReady: false, reason: "stopping" };
  }
}
