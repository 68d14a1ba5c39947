/** What a command waits for: said on standard error, as a notice with --json, and in the log. */
import { subscribe } from "node:diagnostics_channel";
import type { Log } from "../log.js";
import type { Output } from "./output.js";

const CHANNEL = "hourpack:waiting";
/** Of many requests that wait for the same thing, and of one that waits for long. */
const EVERY_MS = 10_000;

/** To the end of the process. */
export function tellWaits(output: Output, log: Log): void {
  let saidMs = Number.NEGATIVE_INFINITY;
  subscribe(CHANNEL, (message) => {
    const { text } = message as { text: string };
    if (performance.now() - saidMs < EVERY_MS) return;
    saidMs = performance.now();
    output.notice(text);
    log.warn(text);
  });
}
