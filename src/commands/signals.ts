/** Ctrl-C and SIGTERM: the first one stops the work cleanly, a second one (or ten seconds) ends the process. */
import { setMaxListeners } from "node:events";
import { EXIT } from "../errors.js";
import type { Output } from "./output.js";

const GRACE_MS = 9_000;

export function listenForSignals(output: Output): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  // Every request in flight listens to it.
  setMaxListeners(0, controller.signal);
  let timer: NodeJS.Timeout | undefined;
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    output.note("stopping … (once more to stop at once)");
    timer = setTimeout(() => process.exit(EXIT.interrupted), GRACE_MS);
    timer.unref();
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    release: () => {
      clearTimeout(timer);
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
