/** A list of hours that other workers write too. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { parseHour } from "../../src/hour.js";
import { HourList } from "../../src/hours/hour-list.js";
import { LocalStore } from "../../src/store/local.js";
import type { GetOptions } from "../../src/store/store.js";

const root = mkdtempSync(join(tmpdir(), "hourpack-hour-list-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Another worker replaces what is looked at before it is read, so many times. */
class BusyStore extends LocalStore {
  replacements = 0;
  override async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    if (this.replacements > 0) {
      this.replacements--;
      await this.put(key, Buffer.from(`{"format":1,"hours":[]}${"\n".repeat(this.replacements)}`));
    }
    return super.get(key, options);
  }
}

it("is read again where it is replaced between two requests, but not without end", async () => {
  const store = new BusyStore(root);
  // A new one each time: it reads nothing again that is as it was.
  const list = () => new HourList(store, "owed.json", "Delete it.");
  const hour = parseHour("2022-07-26T00");
  await list().change(() => [hour]);
  store.replacements = 3;
  await list().change((hours) => [...hours, hour]);
  expect(await list().read()).toEqual([hour]);
  store.replacements = 1_000;
  await expect(list().read()).rejects.toMatchObject({
    kind: "conflict",
    message: expect.stringMatching(/^read .*owed\.json: it changed 20 times under us$/),
  });
});
