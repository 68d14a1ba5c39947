/**
 * What is reported hour by hour. If there are many, hours in a row that are alike share a line, so that a
 * different one is seen.
 */

/** A day is reported hour by hour. */
const HOURS_EACH_MAX = 24;

export class HourLines<T> {
  /** So few hours that each is reported. */
  readonly isEach: boolean;
  private readonly tell: (hours: T[]) => void;
  private readonly held: T[] = [];
  private alike: string | undefined;

  /** `hours`: how many there are in all. `tell` gets one hour, or several that are alike. */
  constructor(hours: number, tell: (hours: T[]) => void) {
    this.isEach = hours <= HOURS_EACH_MAX;
    this.tell = tell;
  }

  /** `alike`: what the hour shares with others. Undefined if it is to be reported by itself. */
  add(hour: T, alike: string | undefined): void {
    if (alike === undefined || alike !== this.alike) this.end();
    this.held.push(hour);
    this.alike = alike;
    if (alike === undefined || this.isEach) this.end();
  }

  /** Called before anything else is reported, and at the end. */
  end(): void {
    if (this.held.length > 0) this.tell(this.held.splice(0));
  }
}
