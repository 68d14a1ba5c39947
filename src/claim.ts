/**
 * Claims spread the hours of a backlog over workers. A claim says who is at work on an hour. It is renewed during the work
 * and taken over when it is stale. Correctness never rests on claims, but on the part's conditional write.
 */
import { hostname } from "node:os";
import { isHourpackError, reasonOf } from "./errors.js";
import { claimKey } from "./layout.js";
import type { PutCondition, Store } from "./store/store.js";
import type { HourTask } from "./task.js";

interface ClaimText {
  /** `host:pid:attempt`. */
  worker: string;
  expiresAtMs: number;
}

/**
 * Runs the task under this worker's claim. Returns undefined, without starting the task, if another worker is at the hour.
 * Errors of the claim itself never stop the work.
 */
export async function withClaim<T>(
  task: HourTask,
  attempt: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const { claimTtlMs } = task.components.settings.run;
  if (claimTtlMs === 0) return work();
  const store = await task.components.tier1(task.dataset);
  const claim = new Claim(task, store, attempt, claimTtlMs);
  let renewal: NodeJS.Timeout | undefined;
  try {
    if (!(await claim.take())) return undefined;
    renewal = setInterval(() => claim.renew(), claimTtlMs / 3);
    return await work();
  } finally {
    clearInterval(renewal);
    await claim.give();
  }
}

class Claim {
  private readonly task: HourTask;
  private readonly store: Store;
  private readonly key: string;
  private readonly worker: string;
  private readonly ttlMs: number;
  private etag: string | undefined;
  /** The last write may have succeeded without an answer: then the claim is ours under an ETag that we do not know. */
  private isInDoubt = false;
  /** The renewal in flight: giving the claim back waits for it. */
  private renewal: Promise<unknown> | undefined;

  constructor(task: HourTask, store: Store, attempt: string, ttlMs: number) {
    this.task = task;
    this.store = store;
    this.key = claimKey(task.dataset.tier1.prefix, task.hour);
    this.worker = `${hostname()}:${process.pid}:${attempt}`;
    this.ttlMs = ttlMs;
  }

  /** False if another worker's claim stands. */
  async take(): Promise<boolean> {
    try {
      if (await this.write({ absent: true })) return true;
      const head = await this.store.head(this.key, { signal: this.task.signal });
      if (!head) return await this.write({ absent: true });
      const bytes = await this.store.get(this.key, { etag: head.etag, signal: this.task.signal });
      const claim = parse(bytes);
      this.isInDoubt = false;
      if (claim?.worker === this.worker) {
        // Ours: we wrote it, and the answer was lost.
        this.etag = head.etag;
        return true;
      }
      if (!this.isStale(claim)) return false;
      return await this.write({ etag: head.etag });
    } catch (error) {
      if (this.task.signal?.aborted) throw error;
      // It was renewed between the two requests: its holder is alive.
      if (isHourpackError(error, "conflict")) return false;
      this.notice("no claim could be taken", error);
      return true;
    }
  }

  /** Skipped while a renewal is in flight: on a slow store they would queue. */
  renew(): void {
    const { etag } = this;
    if (etag === undefined) return;
    this.renewal ??= this.write({ etag })
      .catch((error) => this.lost(error))
      .finally(() => {
        this.renewal = undefined;
      });
  }

  /** An interrupted run gives it back too, so that others need not wait for it to expire. */
  async give(): Promise<void> {
    await this.renewal;
    const etag = this.isInDoubt ? await this.findOwn().catch(() => this.etag) : this.etag;
    if (etag === undefined) return;
    // A store that ignores the condition may delete a claim that another worker has taken over; then two work on one hour.
    await this.store.delete(this.key, { etag }).catch((error) => this.lost(error));
  }

  private async findOwn(): Promise<string | undefined> {
    const head = await this.store.head(this.key);
    const claim = head && parse(await this.store.get(this.key, { etag: head.etag }));
    return claim?.worker === this.worker ? head?.etag : undefined;
  }

  /** A renewal that was interrupted may or may not have been written; neither is worth a word. */
  private lost(error: unknown): void {
    if (!this.task.signal?.aborted) this.notice("the claim was lost", error);
  }

  private async write(condition: PutCondition): Promise<boolean> {
    const text: ClaimText = {
      worker: this.worker,
      expiresAtMs: this.task.components.nowMs() + this.ttlMs,
    };
    this.isInDoubt = true;
    const put = await this.store.put(this.key, Buffer.from(JSON.stringify(text)), {
      condition,
      contentType: "application/json",
      signal: this.task.signal,
    });
    const isWritten = put.outcome === "written";
    this.etag = isWritten ? put.etag : undefined;
    this.isInDoubt = !isWritten;
    return isWritten;
  }

  /** Expired, unreadable, or held by a process of this machine that has ended. */
  private isStale(claim: ClaimText | undefined): boolean {
    if (!claim || claim.expiresAtMs <= this.task.components.nowMs()) return true;
    const [host, pid] = claim.worker.split(":");
    return host === hostname() && Number(pid) !== process.pid && !isAlive(Number(pid));
  }

  private notice(what: string, error: unknown): void {
    const { dataset, hour } = this.task;
    this.task.observe({
      type: "notice",
      dataset: dataset.name,
      hour,
      text: `${what} (${reasonOf(error)}); the work goes on`,
    });
  }
}

function parse(bytes: Buffer): ClaimText | undefined {
  try {
    const { worker, expiresAtMs } = JSON.parse(bytes.toString("utf8")) as Partial<ClaimText>;
    return typeof worker === "string" && typeof expiresAtMs === "number"
      ? { worker, expiresAtMs }
      : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
