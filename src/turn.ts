/** Long work in this thread, which gives the sockets a turn now and then: downloads go on beside it. */
import { setImmediate } from "node:timers/promises";

export class Turn {
  private startedMs = performance.now();

  isOver(): boolean {
    return performance.now() - this.startedMs >= TURN_MS;
  }

  /** Begins the next one when the others have had theirs. */
  async next(): Promise<void> {
    await setImmediate();
    this.startedMs = performance.now();
  }
}

const TURN_MS = 8;
