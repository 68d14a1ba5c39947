/** A dataset in a folder of its own that is packed, expires and is verified, and what lies there. */
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll } from "vitest";
import { stringify } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, HOUR_MS, type Hour, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import type { Store } from "../../src/store/store.js";
import type { HourTask } from "../../src/task.js";
import { expireHour } from "../../src/upkeep/expire.js";
import { verifyHour } from "../../src/upkeep/verification.js";

export const HOUR = parseHour("2022-07-26T00");
const dir = mkdtempSync(join(tmpdir(), "hourpack-lake-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

export const RAW = "./raw/{yyyy}/{MM}/{dd}/{HH}/";
/** What the keys of the hour begin with. */
export const KEY = "2022/07/26/00/";
export const COLUMNS = { id: "bigint", m: "struct<b:string>", at: "string" };

export interface Configured {
  /** `null`: they are inferred. */
  columns?: object | null;
  others?: object;
  raw?: string;
  records?: string;
  zone?: string;
  maxQuarantine?: number;
}

interface PackOptions extends Configured {
  datasets?: string[];
  hour?: Hour;
  rebuild?: boolean;
  keepOld?: boolean;
  fromRemainder?: boolean;
  /** How far the clock of the machine that packs is ahead. */
  aheadMs?: number;
}

/** A dataset in a folder of its own, some days after its hours. */
export class Lake {
  readonly root = mkdtempSync(join(dir, "lake-"));
  private readonly folder = (hour = HOUR) => join(this.root, "raw", hour.replace(/[-T]/g, "/"));

  put(name: string, text: string, hour = HOUR): this {
    const path = join(this.folder(hour), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return this;
  }

  remove(name: string): void {
    rmSync(join(this.folder(), name));
  }

  /** Another name of the same bytes, in the same version: put back by it, an object has the ETag that it had. */
  linkAside(name: string): { putBack: (as?: string) => void } {
    const aside = join(this.root, `aside-${name}`);
    linkSync(join(this.folder(), name), aside);
    return { putBack: (as = name) => linkSync(aside, join(this.folder(), as)) };
  }

  /** Of what is there in raw. */
  names(): string[] {
    return readdirSync(this.folder()).sort();
  }

  journals(tier1: string): string[] {
    const folder = join(this.root, tier1, "_hourpack/expired/2022/07/26/00");
    return readdirSync(folder).map((name) => join(folder, name));
  }

  get partPath(): string {
    const folder = join(this.root, "lake/year=2022/month=07/day=26/hour=00");
    return join(folder, readdirSync(folder)[0] as string);
  }

  /** The newest. */
  get manifestPath(): string {
    const folder = join(this.root, "lake/_hourpack/manifests/2022/07/26/00");
    return join(folder, readdirSync(folder).sort().at(-1) as string);
  }

  manifest() {
    const lines = gunzipSync(readFileSync(this.manifestPath)).toString().trim().split("\n");
    const [header, ...entries] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    return { header: header as Record<string, unknown>, entries };
  }

  /** `others` are configured beside the dataset. */
  private async at<T>(
    does: (task: HourTask) => Promise<T>,
    {
      columns = COLUMNS,
      others = {},
      raw = RAW,
      records = "$",
      zone = "UTC",
      maxQuarantine,
      aheadMs = 0,
    }: Configured & { aheadMs?: number } = {},
  ): Promise<T> {
    const dataset = { raw, tier1: "./lake/", table: "t", records, zone, ...(columns && { columns }) };
    writeFileSync(
      join(this.root, "hourpack.yaml"),
      stringify({ datasets: { t: dataset, ...others }, run: { maxQuarantine } }),
    );
    const settings = await loadSettings({ cwd: this.root, env: {} });
    const components = openComponents(settings, { nowMs: () => Date.now() + 48 * HOUR_MS + aheadMs });
    const task = { hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
    try {
      return await does({ ...task, dataset: settings.datasets[0] as HourTask["dataset"] });
    } finally {
      await components.close();
    }
  }

  async pack(more: PackOptions = {}) {
    const { columns, others, raw, records, zone, maxQuarantine, aheadMs, hour = HOUR, ...request } = more;
    return this.at(
      async ({ components }) => {
        const hours = { from: hour, to: addHours(hour, 1) };
        const { failures, hours: packed } = await run(components, { hours, ...request });
        if (failures[0]) throw failures[0].error;
        return packed[0];
      },
      { columns, others, raw, records, zone, maxQuarantine, aheadMs },
    );
  }

  /** `beforeRead` is given the raw store when the objects have been listed, and before they are read. */
  expire({
    others = {},
    columns = COLUMNS,
    hour = HOUR,
    dataset = "t",
    beforeRead = (_: Store) => {},
    ...configured
  }: Configured & {
    hour?: Hour;
    dataset?: string;
    beforeRead?: (raw: Store) => void;
  } = {}) {
    return this.at(
      async (task) => {
        const named = task.components.settings.datasets.find(({ name }) => name === dataset);
        beforeRead(await task.components.raw(task.dataset));
        const options = { dryRun: false, rawIsImmutable: true };
        return expireHour({ ...task, hour, dataset: named as HourTask["dataset"] }, options);
      },
      { others, columns, ...configured },
    );
  }

  /** `beforeManifest` runs when the part has been looked at, and its manifest has not. */
  verify(
    deep = true,
    beforeManifest: () => Promise<unknown> = async () => {},
    { columns, zone }: Configured = {},
  ) {
    return this.at(
      async (task) => {
        const tier1 = await task.components.tier1(task.dataset);
        const get = tier1.get.bind(tier1);
        tier1.get = async (key, options) => {
          if (key.includes("/manifests/")) await beforeManifest();
          return get(key, options);
        };
        return verifyHour(task, { deep });
      },
      { columns, zone },
    );
  }
}
