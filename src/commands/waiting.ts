/**
 * What a command waits for and what it found out about a store: written to standard error, as a notice with
 * --json, and to the log.
 */
import { subscribe } from "node:diagnostics_channel";
import type { Log } from "../log.js";
import { NOTICE_CHANNEL, WAITING_CHANNEL } from "../waiting.js";
import type { Output } from "./output.js";

/** For many requests that wait for the same thing, and for one that waits long. */
const EVERY_MS = 10_000;

/** Lasts until the end of the process. */
export function tellWaits(output: Output, log: Log): void {
  const say = (message: unknown) => {
    const { text } = message as { text: string };
    output.notice(text);
    log.warn(text);
  };
  let saidMs = Number.NEGATIVE_INFINITY;
  subscribe(NOTICE_CHANNEL, say);
  subscribe(WAITING_CHANNEL, (message) => {
    if (performance.now() - saidMs < EVERY_MS) return;
    saidMs = performance.now();
    say(message);
  });
}
