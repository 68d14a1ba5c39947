import { createReadStream } from "node:fs";
import type { Body } from "../store.js";

/**
 * Holds back the end of a body: an upload in parts becomes complete, and visible, only after its last part.
 */
export class Gate {
  failure: { error: unknown } | undefined;
  private readonly before: () => Promise<void>;
  private passed: Promise<void> | undefined;

  constructor(before: (() => Promise<void>) | undefined) {
    this.before = before ?? (() => Promise.resolve());
  }

  async *after(body: Body): AsyncGenerator<Uint8Array> {
    if (body instanceof Uint8Array) yield body;
    else yield* createReadStream(body.path, { highWaterMark: 1 << 20 });
    // Called once, however often the upload is tried. If it fails, there is no other try.
    this.passed ??= this.before();
    await this.passed.catch((error) => {
      this.failure = { error };
      throw new Error("it is not to be written");
    });
  }
}
