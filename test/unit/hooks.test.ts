/** The messages that people get, and a webhook over real HTTP. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset, HookSettings } from "../../src/config/settings.js";
import { type ErrorKind, HourpackError } from "../../src/errors.js";
import { addHours, type Hour, parseHour } from "../../src/hour.js";
import { openLog } from "../../src/log.js";
import { Hook, News } from "../../src/operations/hooks.js";
import type { DatasetRound } from "../../src/operations/worker.js";
import type { HourFailure, HourResult } from "../../src/task.js";

const HOUR = parseHour("2022-07-26T00");
const DATASET = "mmp/android";

const done = (hour: Hour, more: Partial<HourResult> = {}): HourResult => ({
  dataset: DATASET,
  hour,
  action: "packed",
  reason: "new hour",
  objects: 1,
  rawBytes: 1,
  skipped: 0,
  part: { key: "k", rows: 98, quarantined: 2, quarantinedBytes: 9, sizeBytes: 1 },
  seconds: 1,
  stageSeconds: {},
  ...more,
});

const failed = (
  hour: Hour | undefined,
  kind: ErrorKind = "unavailable",
  message = "no connection",
): HourFailure => ({
  dataset: DATASET,
  hour,
  error: new HourpackError(kind, message, { hint: "Start it." }),
});

const newsOf = (hooks: HookSettings = {}, datasets = [{}, {}] as Dataset[]) => new News({ hooks, datasets });

const round = (minutes: number, hours: HourResult[], failures: HourFailure[] = []): DatasetRound => ({
  dataset: DATASET,
  hours,
  failures,
  finishedMs: minutes * 60_000,
});

describe("news", () => {
  it("a failure is told once, and its end", () => {
    const news = newsOf();
    expect(news.of(round(0, [done(HOUR)]))).toEqual([]);
    expect(news.of(round(60, [], [failed(undefined)]))).toEqual([
      "hourpack: mmp/android failed: no connection → Start it.",
    ]);
    expect(news.of(round(120, [], [failed(undefined)]))).toEqual([]);
    expect(news.of(round(180, [done(addHours(HOUR, 1))]))).toEqual([
      "hourpack: mmp/android recovered after 120 min; all that is due is done",
    ]);
    expect(news.of(round(240, []))).toEqual([]);
    expect(news.of(round(300, [], [failed(undefined)]))).toHaveLength(1);
  });

  it("hours that fail alike are one message, another cause is another", () => {
    const news = newsOf();
    const hours = [0, 1, 2].map((offset) => addHours(HOUR, offset));
    const texts = news.of(
      round(0, [], [...hours.map((hour) => failed(hour)), failed(HOUR, "internal", "a bug")]),
    );
    expect(texts).toEqual([
      "hourpack: mmp/android 3 hours from 2022-07-26T00 to 2022-07-26T02 failed: no connection → Start it.",
      "hourpack: mmp/android 2022-07-26T00 failed: a bug → Start it.",
    ]);
    expect(news.of(round(60, [], [failed(addHours(HOUR, 3))]))).toEqual([]);
  });

  it("data that break the contract are told hour by hour: each needs a person", () => {
    const news = newsOf();
    expect(news.of(round(0, [], [failed(HOUR, "data", "gone")]))).toHaveLength(1);
    const next = addHours(HOUR, 1);
    expect(news.of(round(60, [], [failed(HOUR, "data", "gone"), failed(next, "data", "gone")]))).toEqual([
      `hourpack: mmp/android ${next} failed: gone → Start it.`,
    ]);
  });

  it("no recovery is told of an hour that failed until it was no longer due", () => {
    const news = newsOf();
    news.of(round(0, [], [failed(HOUR)]));
    expect(news.of(round(360, [done(addHours(HOUR, 6))]))).toEqual([
      "hourpack: mmp/android goes on, but 2022-07-26T00 failed until no longer due and may not be packed; " +
        "`hourpack run --dataset mmp/android --hour 2022-07-26T00` tries again",
    ]);
    news.of(round(420, [], [failed(HOUR), failed(addHours(HOUR, 2))]));
    expect(news.of(round(780, [done(addHours(HOUR, 12))]))).toEqual([
      expect.stringContaining(
        "`hourpack run --dataset mmp/android --from 2022-07-26 --to 2022-07-26T03` tries again",
      ),
    ]);
  });

  it("a name is told once, and in a command only where several are configured", () => {
    const refused = failed(HOUR, "data", `plan ${DATASET} ${HOUR}: gone`);
    const news = newsOf({}, [{} as Dataset]);
    expect(news.of(round(0, [], [refused]))).toEqual([
      "hourpack: mmp/android 2022-07-26T00 failed: gone → Start it.",
    ]);
    expect(news.of(round(360, [done(addHours(HOUR, 6))]))).toEqual([
      expect.stringContaining("; `hourpack run --hour 2022-07-26T00` tries again"),
    ]);
  });

  it("an interruption is neither a failure nor a recovery", () => {
    const news = newsOf();
    const interruption = failed(undefined, "interrupted");
    expect(news.of(round(0, [], [interruption]))).toEqual([]);
    news.of(round(60, [], [failed(HOUR)]));
    expect(news.of(round(120, [done(HOUR)], [interruption]))).toEqual([]);
    expect(news.of(round(180, [done(HOUR)]))).toHaveLength(1);
  });

  it.each([
    [1, 1],
    [2, 0],
    [0.01, 1],
    [0.02, 0],
    [0, 1],
    [undefined, 0],
  ])("2 of 100 in quarantine under a limit of %s are told %i times", (quarantine, times) => {
    expect(newsOf({ quarantine }).of(round(0, [done(HOUR)]))).toHaveLength(times);
  });

  it("quarantine is told when the hour is packed, and again only where it is more", () => {
    const news = newsOf({ quarantine: 0.01 });
    expect(news.of(round(0, [done(HOUR)]))).toEqual([
      "hourpack: mmp/android 2022-07-26T00: 2 of 100 records are in quarantine, more than the limit of 1 %; " +
        "the bytes are kept under _hourpack/quarantine/ of tier 1",
    ]);
    expect(news.of(round(60, [done(HOUR, { action: "upToDate" })]))).toEqual([]);
    expect(news.of(round(120, [done(HOUR)]))).toEqual([]);
    const part = { key: "k", rows: 98, quarantined: 4, quarantinedBytes: 9, sizeBytes: 1 };
    expect(news.of(round(180, [done(HOUR, { part })]))).toHaveLength(1);
  });

  it("late objects' quarantine is told with what the part had before", () => {
    const part = { key: "k", rows: 1_000, quarantined: 50, quarantinedBytes: 9, sizeBytes: 1 };
    const merged = done(HOUR, { part, quarantined: 20, reason: "3 late objects" });
    expect(newsOf({ quarantine: 40 }).of(round(0, [merged]))).toEqual([
      expect.stringContaining("50 of 1050 records are in quarantine, more than the limit of 40;"),
    ]);
    const half = done(HOUR, { part: { ...part, quarantined: 1_000 } });
    expect(newsOf({ quarantine: 0.07 }).of(round(0, [half]))[0]).toContain("the limit of 7 %;");
  });
});

describe("a webhook", () => {
  let requests: { method?: string; type?: string; body: string }[];
  let answer: (response: ServerResponse, n: number) => void;
  let stop: () => Promise<void>;
  let url: string;
  let lines: string[];

  beforeEach(async () => {
    requests = [];
    lines = [];
    answer = (response) => response.end("ok");
    const server = createServer(async (request: IncomingMessage, response) => {
      requests.push({
        method: request.method,
        type: request.headers["content-type"],
        body: await text(request),
      });
      answer(response, requests.length);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T0/B0/sEcReT`;
    stop = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
  });
  afterEach(() => stop());

  const logged = () => lines.join("");

  let undelivered: HourpackError | undefined;

  async function sent(texts: string[], to = url, timeoutMs = 10_000): Promise<string[]> {
    const log = await openLog({ level: "trace", write: (line) => lines.push(line) });
    const hook = new Hook(to, log, { pauseMs: 1, timeoutMs });
    for (const one of texts) hook.send(one);
    undelivered = await hook.flush(15_000);
    // Whatever happened, the address is in no line of the log, nor in what a run tells of it.
    expect(`${logged()} ${undelivered?.message} ${undelivered?.hint}`).not.toMatch(
      /sEcReT|127\.0\.0\.1|services/,
    );
    return requests.map(({ body }) => (JSON.parse(body) as { text: string }).text);
  }

  it("takes each message as JSON with a text, in order", async () => {
    expect(await sent(["one", "two"])).toEqual(["one", "two"]);
    expect(requests[0]).toMatchObject({ method: "POST", type: "application/json" });
    expect(Object.keys(JSON.parse(requests[0]?.body ?? "") as object)).toEqual(["text"]);
    expect(undelivered).toBeUndefined();
    expect(logged()).toBe("");
  });

  it("is tried again after an error of the server and after 429", async () => {
    answer = (response, n) => response.writeHead([503, 429, 200][n - 1] ?? 200).end();
    expect(await sent(["one"])).toEqual(["one", "one", "one"]);
    expect(logged()).toBe("");
  });

  it("is given up after three tries, and the next message is sent all the same", async () => {
    answer = (response, n) => response.writeHead(n <= 3 ? 500 : 200).end();
    expect(await sent(["one", "two"])).toEqual(["one", "one", "one", "two"]);
    expect(logged().match(/did not take a message/g)).toHaveLength(1);
    expect(logged()).toContain("answered 500");
    expect(undelivered?.message).toBe("tell the webhook: it did not take 1 message (answered 500)");
  });

  it.each([404, 302])("that answers %i is not asked again", async (status) => {
    answer = (response) => response.writeHead(status, { location: "/elsewhere" }).end();
    expect(await sent(["one"])).toEqual(["one"]);
    expect(logged()).toContain(`answered ${status}`);
  });

  it("that never answers is given up", async () => {
    answer = () => {};
    expect(await sent(["one"], url, 500)).toHaveLength(3);
    expect(logged()).toContain("TimeoutError");
  });

  it("that is not there is given up, without a word of where it was", async () => {
    await stop();
    expect(await sent(["one"])).toEqual([]);
    expect(logged()).toContain("ECONNREFUSED");
    stop = async () => {};
  });

  it("gets no credential, and nothing that its chat takes for a link or a mention", async () => {
    const [message = ""] = await sent(["<!channel> key AKIAABCDEFGHIJKLMNOP & <http://evil|x>"]);
    expect(message).toBe("&lt;!channel&gt; key [redacted] &amp; &lt;http://evil|x&gt;");
  });

  it("that hangs holds nobody up for longer than is allowed", async () => {
    let held: ServerResponse | undefined;
    answer = (response) => {
      held = response;
    };
    const hook = new Hook(url, await openLog({ level: "silent" }), { timeoutMs: 60_000 });
    hook.send("one");
    const late = await hook.flush(500);
    expect(late?.message).toBe("tell the webhook: it did not take 1 message (no answer in 0.5 s)");
    expect(held?.writableEnded).toBe(false);
  });
});

describe("the webhook's address", () => {
  const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./t1/", table: "t" };

  it("comes from the environment", async () => {
    const settings = await loadSettings({ flags, env: { HOURPACK_HOOK_URL: "https://hooks.example/x" } });
    expect(settings.hooks.url).toBe("https://hooks.example/x");
  });

  it.each([
    ["HOURPACK_HOOK_URL", "", "hooks.example/sEcReT"],
    ["HOURPACK_HOOK_URL", "", "ftp://hooks.example/sEcReT"],
    ["hourpack.yaml:1", "hooks: { url: hooks.example/sEcReT }", ""],
    ["hourpack.yaml:1", "hooks: https://hooks.example/sEcReT", ""],
    ["hourpack.yaml:1", "hooks: { quarantine: https://hooks.example/sEcReT }", ""],
  ])("is told nowhere where it is wrong: %s %s", async (location, yaml, variable) => {
    const dir = mkdtempSync(join(tmpdir(), "hourpack-hooks-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, "hourpack.yaml");
    const dataset = `{ raw: ${JSON.stringify(flags.raw)}, tier1: ./t1/, table: t }`;
    writeFileSync(file, `${yaml}\ndatasets: { d: ${dataset} }\n`);
    const loaded = loadSettings({ file, env: { HOURPACK_HOOK_URL: variable } });
    const error = (await loaded.catch((thrown) => thrown)) as HourpackError;
    expect(error).toMatchObject({ kind: "invalid", location: expect.stringContaining(location) });
    expect(`${error.message} ${error.hint} ${error.stack}`).not.toContain("sEcReT");
  });
});
