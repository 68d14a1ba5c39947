/**
 * Ctrl-C and SIGTERM: the first one stops the work cleanly; a second one (or ten seconds) ends the process.
 */
import { setMaxListeners } from "node:events";
import { EXIT } from "../errors.js";
import type { Output } from "./output.js";

const GRACE_MS = 9_000;

/** What to do after a command was stopped. */
export const AFTER_INTERRUPT = "Nothing is half published; run the same command again.";

export function listenForSignals(output: Output): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  // Every request in flight listens to it.
  setMaxListeners(0, controller.signal);
  let timer: NodeJS.Timeout | undefined;
  const onSignal = () => {
    if (controller.signal.aborted) endNow();
    output.note("stopping … (once more to stop at once)");
    timer = setTimeout(endNow, GRACE_MS);
    timer.unref();
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // Without a listener SIGXFSZ ends the process. With one, a write beyond `ulimit -f` fails and is reported.
  process.on("SIGXFSZ", () => {});
  const release = () => {
    clearTimeout(timer);
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
  /**
   * Exiting waits for every thread, and DuckDB does not hear an interrupt while it plans or is inside one
   * function. A signal without a listener ends them all. A shell sees that as exit code 130, too.
   */
  const endNow = (): never => {
    release();
    process.once("exit", () => process.kill(process.pid, "SIGINT"));
    process.exit(EXIT.interrupted);
  };
  return { signal: controller.signal, release };
}
