/** Hours and datasets that a command could not do. It goes on with the others, as a run does. */
import {
  asHourpackError,
  besideName,
  causeOf,
  exitCodeOf,
  exitCodeOfAll,
  type HourpackError,
} from "../errors.js";
import type { Hour } from "../hour.js";
import { errorFields } from "../log.js";
import type { HourFailure } from "../task.js";
import { counted } from "../words.js";
import type { CommandContext } from "./command.js";

export class Failures {
  private readonly context: Pick<CommandContext, "output" | "signal">;
  private readonly doing: string;
  private readonly errors: HourpackError[] = [];
  /** How often each message came. */
  private readonly times = new Map<string, number>();

  /** `doing`: the command's verb, such as `verify`. */
  constructor(doing: string, context: Pick<CommandContext, "output" | "signal">) {
    this.doing = doing;
    this.context = context;
  }

  get count(): number {
    return this.errors.length;
  }

  /**
   * Returns the task's result. If the task fails, calls `before`, in which the caller reports what it still
   * holds back, then reports the failure and returns undefined. Throws if the command was interrupted.
   */
  async past<T>(
    of: { dataset: string; hour?: Hour },
    task: () => Promise<T>,
    before: () => void = () => {},
  ): Promise<T | undefined> {
    try {
      return await task();
    } catch (thrown) {
      before();
      const error = asHourpackError(thrown, `${this.doing} ${nameOf(of)}`, this.context.signal);
      if (error.kind === "interrupted") throw error;
      this.add({ ...of, error });
    }
  }

  add({ error, ...of }: HourFailure): void {
    const { output } = this.context;
    const name = nameOf(of);
    this.errors.push(error);
    output.record({ type: "hour-failed", ...of, error: errorFields(error) });
    const times = (this.times.get(error.message) ?? 0) + 1;
    this.times.set(error.message, times);
    // A message that is the same for every hour is reported for the first, and counted at the end.
    if (times === 1) output.line(output.colors.red(`${name}  failed: ${besideName(name, error.message)}`));
  }

  /** Reports each cause once, with its remedy. Which hours failed was reported before. */
  tell(): void {
    const causes = new Map(this.errors.map((error) => [causeOf(error), error]));
    for (const error of causes.values()) {
      const times = this.times.get(error.message) ?? 1;
      const message = times > 1 ? `${error.message} (${counted(times, "hour")})` : error.message;
      this.context.output.error(error.with({ message }));
    }
  }

  /** The exit code for the failures, and for what else the command came to. */
  exitCodeWith(...others: number[]): number {
    return exitCodeOfAll([...this.errors.map(exitCodeOf), ...others.filter((code) => code !== 0)]);
  }
}

function nameOf({ dataset, hour }: { dataset: string; hour?: Hour }): string {
  return [dataset, hour].filter(Boolean).join(" ");
}
