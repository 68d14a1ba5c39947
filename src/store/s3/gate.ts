import { createReadStream } from "node:fs";
import type { Body } from "../store.js";

/** Keeps back the end of a body: an upload in parts is complete, and can be seen, only after its last part. */
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
    // Once, however often the upload is tried; and no other try where it fails.
    this.passed ??= this.before();
    await this.passed.catch((error) => {
      this.failure = { error };
      throw new Error("it is not to be written");
    });
  }
}
