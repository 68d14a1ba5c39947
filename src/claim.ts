/**
 * Claims spread the hours of a backlog over workers. A claim says who is at work on an hour; it is renewed while the
 * work goes on and taken over when it is stale. Correctness never rests on it: the part's conditional write does that.
 */
import { hostname } from "node:os";
import { reasonOf } from "./errors.js";
import { claimKey } from "./layout.js";
import type { PutCondition, Store } from "./store/store.js";
import type { HourTask } from "./task.js";

interface ClaimText {
  /** `host:pid:attempt`. */
  worker: string;
  expiresAtMs: number;
}

/**
 * Does the task while this worker's claim stands; undefined, with the task not begun, where another worker is at the
 * hour. Trouble with claims is no reason not to work.
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
  if (!(await claim.take())) return undefined;
  const renewal = setInterval(() => claim.renew(), claimTtlMs / 3);
  try {
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
  /** The renewal that is on its way: giving back comes after it. */
  private renewal: Promise<unknown> | undefined;

  constructor(task: HourTask, store: Store, attempt: string, ttlMs: number) {
    this.task = task;
    this.store = store;
    this.key = claimKey(task.dataset.tier1.prefix, task.hour);
    this.worker = `${hostname()}:${process.pid}:${attempt}`;
    this.ttlMs = ttlMs;
  }

  /** False where another worker's claim stands. */
  async take(): Promise<boolean> {
    try {
      if (await this.write({ absent: true })) return true;
      const head = await this.store.head(this.key, { signal: this.task.signal });
      if (!head) return await this.write({ absent: true });
      const bytes = await this.store.get(this.key, { etag: head.etag, signal: this.task.signal });
      const claim = parse(bytes);
      if (claim?.worker === this.worker) {
        // Ours: the answer to its writing was lost.
        this.etag = head.etag;
        return true;
      }
      if (!this.isStale(claim)) return false;
      return await this.write({ etag: head.etag });
    } catch (error) {
      if (this.task.signal?.aborted) throw error;
      this.notice("no claim could be taken", error);
      return true;
    }
  }

  /** Not while a renewal is on its way: where the store is slow they would queue. */
  renew(): void {
    const { etag } = this;
    if (etag === undefined) return;
    this.renewal ??= this.write({ etag })
      .catch((error) => this.lost(error))
      .finally(() => {
        this.renewal = undefined;
      });
  }

  /** An interrupted run does it, too: others need not wait for the claim to end. */
  async give(): Promise<void> {
    await this.renewal;
    const { etag } = this;
    if (etag === undefined) return;
    // Where the store ignores the condition, a claim that was taken over meanwhile may go: two may then work for one.
    await this.store.delete(this.key, { etag }).catch((error) => this.lost(error));
  }

  /** Whether a renewal that was interrupted was written is not known, and no news. */
  private lost(error: unknown): void {
    if (!this.task.signal?.aborted) this.notice("the claim was lost", error);
  }

  private async write(condition: PutCondition): Promise<boolean> {
    const text: ClaimText = {
      worker: this.worker,
      expiresAtMs: this.task.components.nowMs() + this.ttlMs,
    };
    const put = await this.store.put(this.key, Buffer.from(JSON.stringify(text)), {
      condition,
      contentType: "application/json",
      signal: this.task.signal,
    });
    this.etag = put.outcome === "written" ? put.etag : undefined;
    return put.outcome === "written";
  }

  /** Expired, unreadable, or of a process of this machine that is gone. */
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
