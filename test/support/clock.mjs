/**
 * Preloaded (`node --import`) into an installed hourpack: its clock stands at what the parent says, and its worker's
 * sleeps are short, so that it looks at the clock again soon. What signs requests keeps the real time, since a store
 * refuses those of another day.
 */
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

let nowMs = Number(process.env["TEST_NOW_MS"]);
process.on("message", (ms) => {
  nowMs = Number(ms);
  process.send?.(ms);
});
// A process that has no more to do ends, whatever its parent may still say.
process.channel?.unref();

/** Whether who called the function that asks is a file of the package. */
function isCalledFrom(/** @type {RegExp} */ file) {
  return file.test(new Error().stack?.split("\n")[3] ?? "");
}

const realNow = Date.now;
Date.now = () => (isCalledFrom(/hourpack\/dist\/(?!store\/|catalog\/)/) ? nowMs : realNow());

const realTimeout = timers.setTimeout;
timers.setTimeout = (ms, ...others) =>
  realTimeout(isCalledFrom(/hourpack\/dist\/operations\/worker\.js/) ? Math.min(ms ?? 0, 20) : ms, ...others);
syncBuiltinESMExports();
