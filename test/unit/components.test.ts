import { describe, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";

describe("components", () => {
  it("are closed where they are still being opened, too", async () => {
    const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "events" };
    const components = openComponents(await loadSettings({ flags, env: {} }));
    const opening = components.engine();
    await components.close();
    const engine = await opening;
    await expect(engine.digest(["a.parquet", "b.parquet"], [])).rejects.toThrow("instance closed");
  });
});
