/** One thing that the doctor looked at. */
import { exitCodeOf, HourpackError, isHourpackError, reasonOf } from "../../errors.js";

export interface Verdict {
  /** `warning`: it works, but there is something to know. `skipped`: what it rests on failed. */
  status: "ok" | "warning" | "failed" | "skipped";
  /** What was found. */
  message: string;
  /** What to do. */
  hint?: string;
  /** For a failed check: the exit code of a run that meets the same failure. */
  exitCode?: number;
}

export interface Check extends Verdict {
  /** What was looked at: `memory`, `read raw`. */
  name: string;
  dataset?: string;
}

/** Gathers checks, and reports each as it is made. */
export class Checks {
  readonly all: Check[] = [];
  private readonly tell: (check: Check) => void;

  constructor(tell: (check: Check) => void) {
    this.tell = tell;
  }

  /**
   * Makes a check. What the task throws is its failure, except an interruption, which is thrown on. Returns
   * true for `ok` and `warning`.
   */
  async make(name: string, dataset: string | undefined, task: () => Promise<Verdict>): Promise<boolean> {
    let verdict: Verdict;
    try {
      verdict = await task();
    } catch (error) {
      if (isHourpackError(error, "interrupted")) throw error;
      verdict = verdictOf(error);
    }
    const check = { name, ...(dataset === undefined ? {} : { dataset }), ...verdict };
    this.all.push(check);
    this.tell(check);
    return check.status === "ok" || check.status === "warning";
  }

  skip(name: string, dataset: string | undefined, why: string): Promise<boolean> {
    return this.make(name, dataset, async () => ({ status: "skipped", message: why }));
  }
}

const UNEXPECTED = "Not foreseen: please report it with this line and `hourpack --version`.";

export function verdictOf(error: unknown): Verdict {
  return {
    status: "failed",
    message: reasonOf(error),
    hint: error instanceof HourpackError && error.hint ? error.hint : UNEXPECTED,
    exitCode: exitCodeOf(error),
  };
}
