/** Lets long work in this thread give the sockets a turn now and then, so that downloads go on beside it. */
import { setImmediate } from "node:timers/promises";

export class Turn {
  private startedMs = performance.now();

  isOver(): boolean {
    return performance.now() - this.startedMs >= TURN_MS;
  }

  /** Lets the others run, then begins the next turn. */
  async next(): Promise<void> {
    await setImmediate();
    this.startedMs = performance.now();
  }
}

const TURN_MS = 8;
