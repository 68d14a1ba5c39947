#!/usr/bin/env node
// CommonJS (package.json beside it): the loader of modules has started libuv's threads before the first line of one runs.
const { existsSync } = require("node:fs");
const { enableCompileCache } = require("node:module");
const { availableParallelism } = require("node:os");
const { join } = require("node:path");

// DuckDB keeps memory for each thread that ever ran a statement: with libuv's four an hour takes 80 MB more and is no faster on
// two cores.
const limitBytes = process.constrainedMemory();
const isSmall = limitBytes > 0 && limitBytes < 512 * 2 ** 20;
if (isSmall || availableParallelism() <= 2) process.env.UV_THREADPOOL_SIZE ??= "2";

// From Node 22.1 on compiled code is kept between runs, which halves the time to the first line.
enableCompileCache?.();

// Said once in the README; not in the middle of every run on Node 20.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const built = join(__dirname, "../dist/commands/main.js");
if (existsSync(built)) {
  import(require("node:url").pathToFileURL(built).href).then(({ main }) => main(process.argv.slice(2)));
} else {
  process.stderr.write(
    "error: hourpack is not built\n  → Run `npm ci` (or `npm run build`) in the checkout.\n",
  );
  process.exitCode = 1;
}
