/** The metrics of hourpack that a worker serves under /metrics, with their labels. Dashboard and alerts may use only these. */
export const METRICS: Record<string, string[]> = {
  hourpack_hours_total: ["dataset", "outcome"],
  hourpack_objects_total: ["dataset"],
  hourpack_bytes_total: ["dataset", "direction"],
  hourpack_records_total: ["dataset"],
  hourpack_quarantined_total: ["dataset"],
  hourpack_rescued_total: ["dataset"],
  hourpack_retries_total: ["dataset"],
  hourpack_late_recompactions_total: ["dataset"],
  hourpack_stage_seconds_total: ["dataset", "stage"],
  hourpack_lag_seconds: ["dataset"],
  hourpack_dataset_failures_total: ["dataset"],
  hourpack_last_success_timestamp_seconds: ["dataset"],
};

/** The same, read from Prometheus' text. */
export function metricsIn(text: string): Record<string, string[]> {
  const found: Record<string, Set<string>> = {};
  for (const [, name = "", labels = ""] of text.matchAll(/^(hourpack_\w+)\{([^}]*)\}/gm)) {
    const names = [...labels.matchAll(/(\w+)="/g)].map((match) => match[1] as string);
    found[name] = new Set([...(found[name] ?? []), ...names]);
  }
  return Object.fromEntries(Object.entries(found).map(([name, labels]) => [name, [...labels].sort()]));
}
