/**
 * How many GETs are in flight: more as long as the store then answers more of them, fewer when it refuses
 * some.
 */
import { tell } from "../waiting.js";

interface PaceOptions {
  /** GETs in flight at first. */
  start: number;
  /** GETs in flight at most. */
  max: number;
  /** Whether this error says that there were too many. */
  isRefusal: (error: unknown) => boolean;
  /** Begins the messages about a changed limit. */
  location: string;
  nowMs?: () => number;
}

/** A window lasts this long, and at least this many GETs for each one in flight. */
const WINDOW_MS = 1_000;
const WINDOW_ROUNDS = 2;
/** If a step up does not bring a tenth more, it is taken back, and no other is tried. */
const STEP = 1.5;
const GAIN = 1.1;
/** A larger share of failures comes from too many GETs, not from chance. */
const REFUSED_SHARE_MAX = 0.1;
/** After refusals, one more in flight is tried this often. */
const RECOVERY_MS = 30_000;

export class Pace {
  /** GETs in flight at most, now. */
  limit: number;
  private readonly options: Required<PaceOptions>;
  private inFlight = 0;
  private readonly waiting: (() => void)[] = [];
  private readonly expecting: (() => void)[] = [];
  /** When the window began, and what has ended in it. */
  private sinceMs: number;
  private done = 0;
  private refused = 0;
  /** The limit before the last step up, and what it brought: objects a second. */
  private before: { limit: number; rate: number } | undefined;
  /** How often the limit went down. What was in flight before says nothing about the limit after. */
  private stepsDown = 0;
  private phase: "climbing" | "settled" | "refused" = "climbing";
  /** The last limit on the way up that was reported. */
  private said: number;
  /** When the limit last changed after refusals. */
  private changedMs = 0;

  constructor(options: PaceOptions) {
    this.options = { nowMs: () => performance.now(), ...options };
    this.limit = Math.min(options.start, options.max);
    this.said = this.limit;
    this.sinceMs = this.options.nowMs();
  }

  /**
   * Resolves when a GET could begin at once. Callers with many GETs to make wait here, before they allocate
   * anything for the next one.
   */
  async ready(): Promise<void> {
    while (this.inFlight >= this.limit || this.waiting.length > 0)
      await new Promise<void>((wake) => this.expecting.push(wake));
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.inFlight < this.limit) this.inFlight++;
    else await new Promise<void>((enter) => this.waiting.push(enter));
    const { stepsDown } = this;
    try {
      const result = await task();
      this.done++;
      return result;
    } catch (error) {
      if (stepsDown === this.stepsDown && this.options.isRefusal(error)) this.refused++;
      throw error;
    } finally {
      this.inFlight--;
      this.judge();
      this.admit();
    }
  }

  private admit(): void {
    while (this.inFlight < this.limit) {
      const enter = this.waiting.shift();
      if (!enter) break;
      this.inFlight++;
      enter();
    }
    // All of them: one that is told may make no GET any more, and nobody else would tell the others. Each looks again.
    for (const wake of this.expecting.splice(0)) wake();
  }

  /**
   * Judges at the end of a window, and as soon as many are refused: the others in flight need not fail first.
   */
  private judge(): void {
    const nowMs = this.options.nowMs();
    const ended = this.done + this.refused;
    const isRefused = this.refused > 2 && this.refused > ended * REFUSED_SHARE_MAX;
    const isOver = nowMs - this.sinceMs >= WINDOW_MS && ended >= this.limit * WINDOW_ROUNDS;
    if (!isOver && !(isRefused && ended >= this.limit)) return;
    if (isRefused) this.stepDown(ended, nowMs);
    // If nobody waits, a higher limit would not be used.
    else if (this.waiting.length + this.expecting.length > 0)
      this.stepUp(this.done / (nowMs - this.sinceMs), nowMs);
    this.sinceMs = nowMs;
    this.done = 0;
    this.refused = 0;
  }

  private stepDown(ended: number, nowMs: number): void {
    this.phase = "refused";
    this.stepsDown++;
    this.changedMs = nowMs;
    if (this.limit === 1) return;
    this.limit = Math.floor(this.limit / 2);
    this.say(`${this.refused} of ${ended} GETs were refused or cut off: ${this.limit} at a time now`);
  }

  private stepUp(rate: number, nowMs: number): void {
    if (this.phase === "settled") return;
    if (this.phase === "refused") {
      if (nowMs - this.changedMs < RECOVERY_MS || this.limit >= this.options.start) return;
      this.limit++;
      this.changedMs = nowMs;
      return;
    }
    if (this.before && rate < this.before.rate * GAIN) {
      this.phase = "settled";
      this.limit = this.before.limit;
    } else {
      this.before = { limit: this.limit, rate };
      this.limit = Math.min(this.options.max, Math.ceil(this.limit * STEP));
      if (this.limit === this.before.limit) this.phase = "settled";
    }
    if (this.limit < this.said * 2 && (this.phase !== "settled" || this.limit <= this.said)) return;
    this.said = this.limit;
    this.say(`${this.limit} GETs at a time now: the store serves more than with ${this.options.start}`);
  }

  private say(text: string): void {
    tell(`${this.options.location}: ${text}`);
  }
}
