#!/usr/bin/env node
// CommonJS (see the package.json beside it): the ES module loader starts libuv's threads before the first
// line of a module runs.
const { existsSync } = require("node:fs");
const { enableCompileCache } = require("node:module");
const { availableParallelism } = require("node:os");
const { join } = require("node:path");
const { PerformanceObserver } = require("node:perf_hooks");
const { pathToFileURL } = require("node:url");
const { getHeapStatistics, setFlagsFromString } = require("node:v8");

const LARGE_HEAP_BYTES = 48 * 2 ** 20;

const TURBOFAN = "--invocation-count-for-turbofan=12000";

// DuckDB keeps memory for each thread that ever ran a statement. With libuv's four an hour takes 80 MB
// more, and on two cores it is no faster.
const limitBytes = process.constrainedMemory();
const isSmall = limitBytes > 0 && limitBytes < 512 * 2 ** 20;
if (isSmall || availableParallelism() <= 2) process.env.UV_THREADPOOL_SIZE ??= "2";

// V8 flags at run time: docs/decisions/0015-v8-flags-at-run-time.md.
// V8 collects old garbage when the heap has doubled or, if the heap is large, when it has grown by half. On a
// machine with many gigabytes it would wait until the heap is four times as large: the listing of a million
// objects took 411 MB, and takes 259. If it collected at half from the start, a month of small hours would
// collect every sixth of a second.
const growBy = (percent) => setFlagsFromString(`--heap-growing-percent=${percent}`);
growBy(100);
new PerformanceObserver(() =>
  growBy(getHeapStatistics().used_heap_size < LARGE_HEAP_BYTES ? 100 : 50),
).observe({
  entryTypes: ["gc"],
});

// Code is optimised after it has run four times as long as usual: optimising it takes longer than it runs in
// a few seconds. Later still is worse if there are many requests to make.
const patience = { 20: "--interrupt-budget=300000", 22: TURBOFAN, 24: TURBOFAN }[
  process.versions.node.split(".")[0]
];
if (patience) setFlagsFromString(patience);

// From Node 22.1 on, compiled code is kept between runs, which halves the time to the first line.
enableCompileCache?.();

// The README says it once; it need not appear in every run on Node 20.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const built = join(__dirname, "../dist/commands/main.js");
if (existsSync(built)) {
  import(pathToFileURL(built).href).then(({ main }) => main(process.argv.slice(2)));
} else {
  process.stderr.write(
    "error: hourpack is not built\n  → Run `npm ci` (or `npm run build`) in the checkout.\n",
  );
  process.exitCode = 1;
}
