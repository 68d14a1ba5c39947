/** How many GETs are in flight: more while the store answers more of them for it, fewer where it refuses some. */
import { tell } from "../waiting.js";

interface PaceOptions {
  /** At first. */
  start: number;
  /** Never more. */
  max: number;
  /** Whether this error says that it was too many. */
  isRefusal: (error: unknown) => boolean;
  /** Told as words, with `location` before them. */
  location: string;
  nowMs?: () => number;
}

/** What is judged together: so long, and at least so many GETs for each in flight. */
const WINDOW_MS = 1_000;
const WINDOW_ROUNDS = 2;
/** A step up must bring a tenth more, or it is taken back, and none is tried any more. */
const STEP = 1.5;
const GAIN = 1.1;
/** More failures than this come of too many GETs, and not of chance. */
const REFUSED_SHARE_MAX = 0.1;
/** After refusals, one more in flight is tried as often as this. */
const RECOVERY_MS = 30_000;

export class Pace {
  /** In flight at most, now. */
  limit: number;
  private readonly options: Required<PaceOptions>;
  private inFlight = 0;
  private readonly waiting: (() => void)[] = [];
  private readonly expecting: (() => void)[] = [];
  /** Of the window: when it began, what ended in it. */
  private sinceMs: number;
  private done = 0;
  private refused = 0;
  /** The limit before the last step up, and what it brought: objects a second. */
  private before: { limit: number; rate: number } | undefined;
  /** Times that the limit went down: what was in flight before says nothing of the limit after. */
  private stepsDown = 0;
  private phase: "climbing" | "settled" | "refused" = "climbing";
  /** The last limit on the way up that was told. */
  private said: number;
  /** When the limit last changed after refusals. */
  private changedMs = 0;

  constructor(options: PaceOptions) {
    this.options = { nowMs: () => performance.now(), ...options };
    this.limit = Math.min(options.start, options.max);
    this.said = this.limit;
    this.sinceMs = this.options.nowMs();
  }

  /** Resolves when a GET could begin at once. Whoever has many to make waits here, with nothing made for the next one yet. */
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

  /** At the end of a window, and as soon as refusals are many: the others in flight need not fail first. */
  private judge(): void {
    const nowMs = this.options.nowMs();
    const ended = this.done + this.refused;
    const isRefused = this.refused > 2 && this.refused > ended * REFUSED_SHARE_MAX;
    const isOver = nowMs - this.sinceMs >= WINDOW_MS && ended >= this.limit * WINDOW_ROUNDS;
    if (!isOver && !(isRefused && ended >= this.limit)) return;
    if (isRefused) this.stepDown(ended, nowMs);
    // Where nobody waits, more would not be used.
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
