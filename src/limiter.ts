/** A counting semaphore: first come, first served. */
export class Limiter {
  readonly capacity: number;
  private free: number;
  private readonly waiting: { weight: number; enter: () => void }[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.free = capacity;
  }

  /**
   * Takes `weight` permits, or all of them if it asks for more. Returns the function that gives them back, except for the
   * `keep` permits that its caller still needs.
   */
  async take(weight = 1): Promise<(keep?: number) => void> {
    const share = Math.min(weight, this.capacity);
    if (this.waiting.length === 0 && share <= this.free) this.free -= share;
    else await new Promise<void>((enter) => this.waiting.push({ weight: share, enter }));
    let held = share;
    return (keep = 0) => {
      const kept = Math.min(keep, held);
      this.free += held - kept;
      held = kept;
      this.admit();
    };
  }

  async run<T>(task: () => Promise<T>, weight = 1): Promise<T> {
    const give = await this.take(weight);
    try {
      return await task();
    } finally {
      give();
    }
  }

  private admit(): void {
    for (let next = this.waiting[0]; next && next.weight <= this.free; next = this.waiting[0]) {
      this.waiting.shift();
      this.free -= next.weight;
      next.enter();
    }
  }
}
