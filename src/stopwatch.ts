/** Wall seconds by stage. Stages that overlap each count in full. */
export class Stopwatch {
  private readonly startedMs = performance.now();
  private readonly stages = new Map<string, number>();

  async time<T>(stage: string, task: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    try {
      return await task();
    } finally {
      this.stages.set(stage, (this.stages.get(stage) ?? 0) + performance.now() - startedMs);
    }
  }

  seconds(): Record<string, number> & { total: number } {
    const rounded = (ms: number) => Math.round(ms) / 1000;
    const stages = Object.fromEntries([...this.stages].map(([stage, ms]) => [stage, rounded(ms)]));
    return { ...stages, total: rounded(performance.now() - this.startedMs) };
  }
}
