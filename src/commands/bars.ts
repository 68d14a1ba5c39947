/** Bars at the foot of a terminal, redrawn in place: one for the range, and one for each hour at work. */
import type { RunEvent } from "../task.js";
import { count, counted } from "../words.js";
import { duration, size } from "./figures.js";
import type { Output } from "./output.js";
import { endWithin, padded, screenWidth } from "./width.js";

export interface Bar {
  name: string;
  /** The share that is done, 0 to 1. */
  fraction: number;
  /** The most telling first: a narrow terminal leaves out the last ones. */
  words: string[];
}

interface Bars {
  observe(event: RunEvent): void;
  /** Removes the bars. */
  stop(): void;
}

/** While there are bars, everything said on standard error goes above them. */
export async function openBars(output: Output): Promise<Bars> {
  const { createLogUpdate } = await import("log-update");
  // The cursor stays visible: a kill would leave it hidden, and so would Ctrl-Z in the shell.
  const screen = createLogUpdate(output.stderr as NodeJS.WriteStream, { showCursor: true });
  const bars = new HourBars();
  const draw = () => {
    const lines = picture(bars.all(), output.stderr.columns || 80, output.errorColors.cyan);
    if (lines.length > 0) screen(lines.join("\n"));
    else screen.clear();
  };
  output.setAside((text) => {
    screen.clear();
    output.stderr.write(text);
    draw();
  });
  const timer = setInterval(draw, DRAW_EVERY_MS).unref();
  return {
    observe: (event) => bars.observe(event),
    stop: () => {
      clearInterval(timer);
      screen.clear();
      output.setAside(undefined);
    },
  };
}

const DRAW_EVERY_MS = 125;

const BAR_CHARS = { min: 8, max: 24 };
const WORDS_CHARS_MIN = 12;
const GAP = "  ";

/** Each line is narrower than the terminal, so that none continues on the next one. */
export function picture(bars: Bar[], columns: number, paint: (bar: string) => string): string[] {
  const room = columns - 1 - 2 * GAP.length;
  const barChars = Math.max(BAR_CHARS.min, Math.min(BAR_CHARS.max, Math.floor(columns / 6)));
  const longest = Math.max(...bars.map(({ name }) => screenWidth(name)));
  const nameChars = Math.max(0, Math.min(longest, room - barChars - WORDS_CHARS_MIN));
  return bars.map(({ name, fraction, words }) => {
    const filled = Math.round(Math.min(1, fraction) * barChars);
    const bar = "█".repeat(filled) + "░".repeat(barChars - filled);
    const label = screenWidth(name) > nameChars ? `…${endWithin(name, nameChars - 1)}` : name;
    const text = fitted(words, room - nameChars - barChars);
    return `${padded(label, nameChars)}${GAP}${paint(bar)}${GAP}${text}`;
  });
}

/** As many of the words as there is room for. If the first one alone is too long, it is cut. */
function fitted(words: string[], chars: number): string {
  for (let shown = words.length; shown > 0; shown--) {
    const text = words.slice(0, shown).join(", ");
    if (text.length <= chars) return text;
  }
  return `${(words[0] ?? "").slice(0, Math.max(0, chars - 1))}…`;
}

/** Turns the events of a run into bars. */
class HourBars {
  private range: { dataset: string; done: number; hours: number } | undefined;
  private readonly hours = new Map<string, Bar & { startedMs: number }>();

  all(): Bar[] {
    const { range } = this;
    const words = range && [`${count(range.done)}/${counted(range.hours, "hour")}`];
    const first = range && { name: range.dataset, fraction: range.done / range.hours, words: words ?? [] };
    return [...(first ? [first] : []), ...this.hours.values()];
  }

  observe(event: RunEvent): void {
    switch (event.type) {
      case "dataset-started": {
        const { dataset, hours } = event;
        this.range = hours > 1 ? { dataset, hours, done: 0 } : undefined;
        break;
      }
      case "hour-started": {
        // Beside a bar of its dataset, the hour's own name is enough.
        const name = this.range ? event.hour : hourName(event);
        const bar = { name, fraction: 0, words: ["listing"], startedMs: performance.now() };
        this.hours.set(event.hour, bar);
        break;
      }
      case "listed":
        this.set(event.hour, 0, [counted(event.objects, "object"), size(event.rawBytes)]);
        break;
      case "progress": {
        const fraction = event.toReadBytes > 0 ? event.readBytes / event.toReadBytes : 0;
        const startedMs = this.hours.get(event.hour)?.startedMs ?? performance.now();
        this.set(event.hour, fraction, stageWords(event, (performance.now() - startedMs) / 1000));
        break;
      }
      case "hour-claimed":
        this.hours.delete(event.hour);
        break;
      case "hour-finished":
        this.ended(event.result.hour);
        break;
      case "hour-failed":
        this.ended(event.failure.hour);
        break;
    }
  }

  private set(hour: string, fraction: number, words: string[]): void {
    const bar = this.hours.get(hour);
    if (bar) Object.assign(bar, { fraction, words });
  }

  private ended(hour: string | undefined): void {
    if (hour === undefined) return;
    this.hours.delete(hour);
    if (this.range) this.range.done++;
  }
}

export function hourName({ dataset, hour }: { dataset: string; hour?: string }): string {
  return hour === undefined ? dataset : `${dataset} ${hour}`;
}

type StageProgress = Extract<RunEvent, { type: "progress" }>;

/** `reading 1,234/36,000 objects`, `12 MB of 345 MB`, `22 MB/s`, `15 s left` */
export function stageWords(event: StageProgress, seconds?: number): string[] {
  const { objectsRead, objectsToRead, readBytes, toReadBytes } = event;
  const words = [
    `reading ${count(objectsRead)}/${counted(objectsToRead, "object")}`,
    `${size(readBytes)} of ${size(toReadBytes)}`,
  ];
  if (seconds !== undefined && seconds > 0.5 && readBytes > 0) {
    const rate = readBytes / seconds;
    words.push(`${size(rate)}/s`);
    if (readBytes < toReadBytes) words.push(`${duration((toReadBytes - readBytes) / rate)} left`);
  }
  return words;
}
