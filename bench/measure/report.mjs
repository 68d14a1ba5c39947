/** What was measured: a table to read, and a file to keep. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} Target
 * @property {string} what
 * @property {import("./rounds.mjs").Spread} value
 * @property {number} limit
 * @property {"at most" | "at least"} bound
 * @property {string} [unit]
 */

/**
 * @typedef {object} Report
 * @property {string} name
 * @property {number} scale
 * @property {number} rounds
 * @property {object} data What was packed.
 * @property {import("./rounds.mjs").Measured[]} measured
 * @property {Target[]} targets
 * @property {object} [more] Counts, as opposed to times.
 */

/** @param {Report} report */
export function show({ name, scale, rounds, data, measured, targets, more }) {
  const lines = [`\n${name} (scale ${scale}, ${rounds} rounds, ${machine().cores} cores): ${words(data)}\n`];
  const hasStore = measured.some((one) => one.storeCpuS);
  lines.push(
    ...table(
      [
        ...["", "wall s: min", "median", "max", "CPU s: min", "median", "max", "peak RSS MB"],
        ...(hasStore ? ["store's CPU s"] : []),
      ],
      measured.map((one) => [
        one.name,
        ...spreadText(one.wallS, 2),
        ...spreadText(one.cpuS, 2),
        one.rssMb.max.toFixed(0),
        ...(hasStore ? [one.storeCpuS?.median.toFixed(2) ?? ""] : []),
      ]),
    ),
  );
  if (targets.length > 0)
    lines.push(
      "",
      ...table(["ratio or limit", "min", "median", "max", "target", ""], targets.map(targetRow)),
    );
  if (more) lines.push("", JSON.stringify(more, null, 1));
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** @param {Report} report */
export function save(report) {
  const folder = new URL("../results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  const trial = report.scale === 1 ? "" : `-${report.scale}`;
  const path = fileURLToPath(new URL(`${report.name}${trial}.json`, folder));
  const { targets, ...rest } = report;
  const judged = targets.map((target) => ({ ...target, reached: isReached(target) }));
  const document = {
    ...rest,
    targets: judged,
    machine: machine(),
    versions: versions(),
    at: new Date().toISOString(),
  };
  writeFileSync(path, `${JSON.stringify(document, rounded, 1)}\n`);
}

/** @param {Target} target */
function targetRow(target) {
  const { what, value, limit, bound, unit = "×" } = target;
  const digits = unit === "×" ? 2 : 1;
  return [
    what,
    ...spreadText(value, digits),
    `${bound} ${limit} ${unit}`,
    isReached(target) ? "reached" : "MISSED",
  ];
}

/** Judged by the median. @param {Target} target */
function isReached({ value, limit, bound }) {
  return bound === "at most" ? value.median <= limit : value.median >= limit;
}

/** @param {import("./rounds.mjs").Spread} spread @param {number} digits */
function spreadText({ min, median, max }, digits) {
  return [min, median, max].map((value) => value.toFixed(digits));
}

/** @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const line = (/** @type {string[]} */ cells) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)];
}

/** @param {object} data */
function words(data) {
  return Object.entries(data)
    .map(([name, value]) => `${typeof value === "number" ? value.toLocaleString("en") : value} ${name}`)
    .join(", ");
}

function machine() {
  const cpu = cpus()[0]?.model ?? "unknown";
  return {
    cpu,
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${platform()} ${release()}`,
  };
}

function versions() {
  const of = (/** @type {string} */ name) =>
    JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), "utf8"))
      .version;
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
    encoding: "utf8",
    cwd: new URL(".", import.meta.url),
  });
  return {
    hourpack: commit.status === 0 ? commit.stdout.trim() : "unknown",
    node: process.version,
    "@duckdb/node-api": of("@duckdb/node-api"),
    undici: of("undici"),
  };
}

/** @param {string} _key @param {unknown} value */
function rounded(_key, value) {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toFixed(4)) : value;
}
