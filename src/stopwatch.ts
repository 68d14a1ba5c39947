/** Wall-clock seconds by stage. Stages that overlap each count in full. */
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

  /** The total since the start, and the time of each stage. */
  spent(): { seconds: number; stageSeconds: Record<string, number> } {
    const rounded = (ms: number) => Math.round(ms) / 1000;
    return {
      seconds: rounded(performance.now() - this.startedMs),
      stageSeconds: Object.fromEntries([...this.stages].map(([stage, ms]) => [stage, rounded(ms)])),
    };
  }
}
