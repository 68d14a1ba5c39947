/** What is told hour by hour: of many hours, those in a row that are alike are one line, so that another is seen. */

/** A day is told hour by hour. */
const HOURS_EACH_MAX = 24;

export class HourLines<T> {
  /** So few that each is told. */
  readonly isEach: boolean;
  private readonly tell: (hours: T[]) => void;
  private readonly held: T[] = [];
  private alike: string | undefined;

  /** `hours`: how many there are in all. `tell` is given one, or several that are alike. */
  constructor(hours: number, tell: (hours: T[]) => void) {
    this.isEach = hours <= HOURS_EACH_MAX;
    this.tell = tell;
  }

  /** `alike` is what it shares with others; undefined where it is to be told by itself. */
  add(hour: T, alike: string | undefined): void {
    if (alike === undefined || alike !== this.alike) this.end();
    this.held.push(hour);
    this.alike = alike;
    if (alike === undefined || this.isEach) this.end();
  }

  /** Before anything else is told, and at the end. */
  end(): void {
    if (this.held.length > 0) this.tell(this.held.splice(0));
  }
}
