/** hourpack worker: does what is due every hour, and shows how it goes. */
import { EXIT, type HourpackError } from "../errors.js";
import type { Log } from "../log.js";
import { Hook, News } from "../operations/hooks.js";
import { serveStatus } from "../operations/http.js";
import { Metrics, resumeFromFile, writeMetricsFile } from "../operations/metrics.js";
import { Readiness } from "../operations/readiness.js";
import { type DatasetRound, type WorkerEvent, type WorkerObserver, work } from "../operations/worker.js";
import { datasetsOf, type RunResult } from "../run.js";
import type { Command, CommandContext } from "./command.js";
import { openProgress, type Progress } from "./progress.js";
import { summaryOf, totalsOf } from "./run.js";
import { datasetNames, settingsOf, settingsOptions, tellCapacity } from "./settings.js";

export const command: Command = {
  options: settingsOptions,
  examples: [
    ["$0 worker", "at minute 5 of every hour, with hourpack.yaml"],
    ["$0 worker --listen 0.0.0.0:9464 --log-level info", "in a container: probed from outside, JSON logs"],
    [
      "$0 worker --at 5,20,35,50 --settle 5m",
      "four times an hour: late objects and outages are caught up sooner",
    ],
  ],
  async handler(args, context) {
    const { output, log, signal } = context;
    const settings = await settingsOf(args);
    const names = datasetNames(args);
    tellCapacity(settings, context);
    const metrics = await Metrics.open(datasetsOf(settings, names), { withProcess: true });
    const readiness = new Readiness();
    const hook = settings.hooks.url === undefined ? undefined : new Hook(settings.hooks.url, log);
    const teller = new Teller(context, new News(settings), hook);
    const { file } = settings.metrics;
    const { listen } = settings.worker;
    const server = listen && (await serveStatus(listen, metrics, readiness));
    signal.addEventListener("abort", () => readiness.stop(), { once: true });
    try {
      if (server) {
        output.note(`listening on ${server.url}: /metrics, /healthz, /readyz`);
        output.record({ type: "listening", url: server.url });
        log.info("listening", { url: server.url });
      }
      if (file) await resumeFromFile(metrics, file, Date.now()).catch((error) => teller.warn(error));
      const observe: WorkerObserver = (event) => {
        metrics.observe(event);
        readiness.observe(event);
        return teller.tell(event, async () => {
          if (file) await writeMetricsFile(metrics, file).catch((error) => teller.warn(error));
        });
      };
      const { rounds, isInterrupted } = await work({ settings, datasets: names, signal, observe });
      output.line(isInterrupted ? "stopped at work; the next start goes on from here" : "stopped");
      log.info("stopped", { rounds, isInterrupted });
      output.result({ rounds, isInterrupted });
      return isInterrupted ? EXIT.interrupted : EXIT.done;
    } finally {
      teller.stop();
      await server?.close();
      await hook?.flush(HOOK_FLUSH_MS);
      metrics.close();
    }
  },
};

/** A stop takes only seconds, whatever the webhook does. */
const HOOK_FLUSH_MS = 3_000;

/** Reports what happens on the terminal, in the log and to the webhook. */
class Teller {
  private readonly context: CommandContext;
  private readonly news: News;
  private readonly hook: Hook | undefined;
  private log: Log;
  private progress: Progress | undefined;

  constructor(context: CommandContext, news: News, hook: Hook | undefined) {
    this.context = context;
    this.news = news;
    this.hook = hook;
    this.log = context.log;
  }

  tell(event: WorkerEvent, onRoundFinished: () => Promise<void>): void | Promise<void> {
    const { output } = this.context;
    switch (event.type) {
      case "round-started":
        return this.startRound(event.round);
      case "dataset-finished":
        return this.finishDataset(event.result);
      case "round-finished": {
        this.stop();
        const result = runOf(event);
        const figures = { datasets: event.datasets.length, ...totalsOf(result) };
        output.line(`${new Date().toISOString().slice(0, 19)}Z  ${summaryOf(result)}`);
        output.record({ type: "round-finished", round: event.round, ...figures });
        this.log.info("round finished", figures);
        return onRoundFinished();
      }
      case "asleep": {
        const until = new Date(event.untilMs).toISOString();
        const { waitsFor } = event;
        const why =
          waitsFor === "settle"
            ? ", and not at its minute (--at): an hour is closed only --settle after its end"
            : "";
        output.note(`asleep until ${until}${why}`);
        output.record({ type: "asleep", until, waitsFor });
        return this.log.info("asleep", { until, waitsFor });
      }
      default:
        return this.progress?.observe(event);
    }
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }

  warn(error: HourpackError): void {
    this.context.output.warning(error);
    this.log.warn(error.message, { error });
  }

  /** Opens new progress for each round, so that none stays on the terminal while the worker sleeps. */
  private async startRound(round: string): Promise<void> {
    const { output, log } = this.context;
    this.log = log.with({ round });
    this.progress = await openProgress(output, this.log, { tellsFailures: false });
  }

  private finishDataset(result: DatasetRound): void {
    for (const text of this.news.of(result)) this.hook?.send(text);
  }
}

type RoundFinished = Extract<WorkerEvent, { type: "round-finished" }>;

/** Treats a round as a run, to get its totals and its words. */
function runOf({ round, datasets, seconds }: RoundFinished): RunResult {
  const hours = datasets.flatMap((result) => result.hours);
  const failures = datasets.flatMap((result) => result.failures);
  return { runId: round, hours, failures, registered: [], seconds };
}
