/** How many GETs are in flight, on a simulated store with its own clock. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Pace } from "../../src/store/pace.js";

const REFUSED = new Error("SlowDown");
let nowMs = 0;
let said: string[] = [];
const onNotice = (message: unknown) => said.push((message as { text: string }).text);

beforeEach(() => {
  nowMs = 0;
  said = [];
  subscribe("hourpack:notice", onNotice);
});
afterEach(() => unsubscribe("hourpack:notice", onNotice));

function pace(max = 256): Pace {
  const isRefusal = (error: unknown) => error === REFUSED;
  return new Pace({ start: 32, max, isRefusal, location: "s3://b/", nowMs: () => nowMs });
}

/**
 * Plays a store for some rounds: in each, what is in flight ends as `answer` says and its time passes. There is always
 * more to ask for. Returns the most that were in flight at a time.
 */
async function play(
  subject: Pace,
  rounds: number,
  answer: (inFlight: number) => { ms: number; refused?: number },
) {
  const flying: { done(): void; fail(): void }[] = [];
  const demand = 600;
  let asked = 0;
  const ask = () => {
    asked++;
    const gone = subject.run(
      () => new Promise<void>((done, reject) => flying.push({ done, fail: () => reject(REFUSED) })),
    );
    gone.catch(() => {}).finally(() => asked--);
  };
  let most = 0;
  for (let round = 0; round < rounds; round++) {
    while (asked < demand) ask();
    await Promise.resolve();
    const inFlight = flying.splice(0);
    most = Math.max(most, inFlight.length);
    const { ms, refused = 0 } = answer(inFlight.length);
    nowMs += ms;
    for (const [i, one] of inFlight.entries()) i < refused ? one.fail() : one.done();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }
  while (asked > 0) {
    for (const one of flying.splice(0)) one.done();
    await Promise.resolve();
  }
  return most;
}

describe("GETs in flight", () => {
  it("become more where each takes its time, up to the most there may be", async () => {
    const subject = pace();
    expect(await play(subject, 100, () => ({ ms: 200 }))).toBe(256);
    expect(subject.limit).toBe(256);
    expect(said).toEqual(
      [72, 162, 256].map((limit) => expect.stringContaining(`${limit} GETs at a time now`)),
    );
  });

  it("stay as they are where the store serves no more for it", async () => {
    const subject = pace();
    // A thousand a second, however many are asked for at a time.
    expect(await play(subject, 300, (inFlight) => ({ ms: inFlight }))).toBeLessThanOrEqual(48);
    expect(subject.limit).toBe(32);
    expect(said).toEqual([]);
  });

  it("become fewer where some are refused, until none is, and it is said", async () => {
    const subject = pace();
    await play(subject, 50, (inFlight) => ({ ms: 20, refused: Math.max(0, inFlight - 10) }));
    expect(subject.limit).toBe(8);
    expect(said).toEqual([
      expect.stringMatching(/^s3:\/\/b\/: 22 of 32 GETs were refused or cut off: 16 at a time now$/),
      expect.stringContaining("8 at a time now"),
    ]);
  });

  it("come back one by one when that is long ago", async () => {
    const subject = pace();
    await play(subject, 20, (inFlight) => ({ ms: 20, refused: Math.max(0, inFlight - 10) }));
    await play(subject, 200, () => ({ ms: 1000 }));
    expect(subject.limit).toBeGreaterThan(8);
    expect(subject.limit).toBeLessThanOrEqual(32);
  });

  it("do not change for a fault in twenty", async () => {
    const subject = pace(32);
    await play(subject, 100, () => ({ ms: 50, refused: 1 }));
    expect(subject.limit).toBe(32);
  });

  it("never become more than was asked for, nor fewer than one", async () => {
    const subject = pace(4);
    expect(await play(subject, 50, () => ({ ms: 200 }))).toBe(4);
    await play(subject, 50, (inFlight) => ({ ms: 20, refused: inFlight }));
    expect(subject.limit).toBe(1);
  });

  it("are free for the others that wait, where the one that is told so makes none", async () => {
    const subject = pace(1);
    let end = () => {};
    const first = subject.run(
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    const told: string[] = [];
    const wait = (name: string) => subject.ready().then(() => told.push(name));
    const waiting = [wait("gives up"), wait("goes on")];
    end();
    await first;
    await Promise.all(waiting);
    expect(told).toEqual(["gives up", "goes on"]);
  });
});
