import type { Database } from "./database.js";

/** DuckDB's memory_limit: as configured, and higher while calls are at work that need it. */
export class MemoryLimit {
  private readonly database: Database;
  private readonly usualBytes: number;
  /** The database's now. */
  private limitBytes: number;
  /** Of the calls at work. */
  private readonly needs = new Set<{ bytes: number }>();
  /** One change at a time, so that the last one made is the last one sent. */
  private turn: Promise<void> = Promise.resolve();

  constructor(database: Database, usualBytes: number) {
    this.database = database;
    this.usualBytes = usualBytes;
    this.limitBytes = usualBytes;
  }

  async raisedTo<T>(bytes: number, call: () => Promise<T>): Promise<T> {
    const need = { bytes };
    this.needs.add(need);
    try {
      await this.adjust();
      return await call();
    } finally {
      this.needs.delete(need);
      await this.adjust();
    }
  }

  private adjust(): Promise<void> {
    this.turn = this.turn.then(async () => {
      const bytes = Math.max(this.usualBytes, ...[...this.needs].map((need) => need.bytes));
      if (bytes === this.limitBytes) return;
      const set = this.database.run(`SET memory_limit = '${Math.ceil(bytes / (1 << 20))}MiB'`);
      // Refused while more than that is in use: the next call to begin or end sets it.
      await set.then(
        () => {
          this.limitBytes = bytes;
        },
        () => {},
      );
    });
    return this.turn;
  }
}
