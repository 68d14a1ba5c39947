/** The alerts that a Prometheus with our rules would have fired on these scrapes. promtool evaluates the rules. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { promtool, verdictOf } from "./linters.js";

const RULES = resolve(import.meta.dirname, "../../deploy/grafana/alerts.yaml");
/** A series whose values are instants. */
const INSTANTS = /_timestamp_seconds\{/;

/** One answer of /metrics. */
export interface Scrape {
  atMs: number;
  /** Values by series, such as `hourpack_lag_seconds{dataset="a"}`; undefined if nobody answered. */
  values: Map<string, number> | undefined;
}

export function samplesIn(text: string): Map<string, number> {
  const lines = text.matchAll(/^(hourpack_\w+\{[^}]*\}) (\S+)$/gm);
  return new Map([...lines].map(([, series = "", value]) => [series, Number(value)]));
}

/** How much a counter rose, across restarts of its process: the sum that `increase` gives. */
export function increaseOf(series: string, scrapes: Scrape[]): number {
  let sum = 0;
  let before = 0;
  for (const { values } of scrapes) {
    const value = values?.get(series);
    if (value === undefined) continue;
    sum += value < before ? value : value - before;
    before = value;
  }
  return sum;
}

/** The alerts that fired, such as `HourpackLagging a`, each with the instants of the scrapes at which it fired. */
export async function firing(
  scrapes: Scrape[],
  stepMs: number,
  folder: string,
): Promise<Map<string, number[]>> {
  const originMs = (scrapes[0]?.atMs ?? 0) - stepMs;
  const names = new Set(scrapes.flatMap(({ values }) => [...(values?.keys() ?? [])]));
  const valueAt = (name: string, { values }: Scrape) => {
    const value = values?.get(name);
    if (value === undefined) return "_";
    // Promtool's time begins at 0.
    return INSTANTS.test(name) ? value - originMs / 1000 : value;
  };
  const series = [...names].map((name) => ({
    series: name,
    values: ["_", ...scrapes.map((scrape) => valueAt(name, scrape))].join(" "),
  }));
  const up = ["_", ...scrapes.map(({ values }) => (values ? 1 : 0))].join(" ");
  const minutes = stepMs / 60_000;
  const test = {
    interval: `${minutes}m`,
    input_series: [...series, { series: 'up{job="hourpack"}', values: up }],
    // Each test expects nothing, so that promtool reports what it finds. It has no other way to ask.
    promql_expr_test: scrapes.map((_, i) => ({
      expr: 'count by (alertname, dataset) (ALERTS{alertstate="firing"})',
      eval_time: `${(i + 1) * minutes}m`,
    })),
  };
  const file = join(folder, "scrapes.yaml");
  writeFileSync(file, stringify({ rule_files: [RULES], evaluation_interval: `${minutes}m`, tests: [test] }));
  const { output } = await verdictOf(await promtool(), ["test", "rules", file]);
  const found = new Map<string, number[]>();
  for (const [, time = "", got = ""] of output.matchAll(/time: (\S+),\s+exp:.*\s+got:(.*)/g)) {
    for (const [, alert, dataset] of got.matchAll(/alertname="(\w+)"(?:, dataset="(\w+)")?/g)) {
      const name = [alert, dataset].filter(Boolean).join(" ");
      found.set(name, [...(found.get(name) ?? []), originMs + durationMs(time)]);
    }
  }
  if (!/SUCCESS|time: /.test(output)) throw new Error(`promtool: ${output}`);
  return found;
}

/** `1d2h5m` */
function durationMs(text: string): number {
  const units: Record<string, number> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
  return [...text.matchAll(/(\d+)([dhms])/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * (units[unit ?? ""] ?? 0),
    0,
  );
}
