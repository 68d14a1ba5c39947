/** Every command: its name, its purpose and its file. A command is loaded when it is called. */
import { LOG_LEVELS } from "../log.js";
import type { Command, Options } from "./command.js";

export interface Entry {
  name: string;
  /** What has to follow it, such as `sql`. */
  operand?: string;
  describe: string;
  load: () => Promise<{ command: Command }>;
}

export const ENTRIES: readonly Entry[] = [
  { name: "run", describe: "Pack the hours that are due, or those named", load: () => import("./run.js") },
  { name: "plan", describe: "Show what run would do, and do nothing", load: () => import("./plan.js") },
  {
    name: "worker",
    describe: "Pack what is due every hour, until it is stopped",
    load: () => import("./worker.js"),
  },
  {
    name: "status",
    describe: "Show which hours are packed, late or missing",
    load: () => import("./status.js"),
  },
  {
    name: "verify",
    describe: "Check published hours; --deep reads raw and tier 1 again",
    load: () => import("./verify.js"),
  },
  {
    name: "query",
    operand: "sql",
    describe: "Run SQL over the local catalog",
    load: () => import("./query.js"),
  },
  {
    name: "register",
    describe: "Bring the catalog in step with what is published",
    load: () => import("./register.js"),
  },
  {
    name: "ddl",
    describe: "Print the tables and partitions as SQL for Athena",
    load: () => import("./ddl.js"),
  },
  {
    name: "schema",
    describe: "Show the pinned columns and their history",
    load: () => import("./schema.js"),
  },
  { name: "restore", describe: "Write an hour's records back as NDJSON", load: () => import("./restore.js") },
  {
    name: "expire",
    describe: "Delete old raw objects that are proved to be in tier 1",
    load: () => import("./expire.js"),
  },
  { name: "sweep", describe: "Clear what crashes left in tier 1", load: () => import("./sweep.js") },
  {
    name: "init",
    operand: "raw",
    describe: "Look at a raw prefix and write a hourpack.yaml",
    load: () => import("./init.js"),
  },
  {
    name: "doctor",
    describe: "Check configuration, access, clock, catalog and machine",
    load: () => import("./doctor.js"),
  },
  {
    name: "demo",
    describe: "Pack three hours of made-up events of two datasets in a directory",
    load: () => import("./demo.js"),
  },
  {
    name: "completion",
    describe: "Print a completion script for bash or zsh",
    load: () => import("./completion.js"),
  },
];

export function entryNamed(word: string): Entry | undefined {
  return ENTRIES.find(({ name }) => name === word);
}

/** `query <sql>` */
export function usageOf({ name, operand }: Entry): string {
  return operand === undefined ? name : `${name} <${operand}>`;
}

/** Flags of every command. */
export const GLOBAL_OPTIONS: Options = {
  json: {
    type: "boolean",
    describe: "One JSON object a line on standard output, the last one the result or the error",
  },
  "log-level": {
    type: "string",
    choices: LOG_LEVELS,
    describe: "JSON logs on standard error; none where HOURPACK_LOG_LEVEL is not set, either",
  },
  help: { type: "boolean", describe: "Show help; so does -h" },
  version: { type: "boolean", describe: "Show the version" },
  "show-hidden": { type: "boolean", describe: "Show every flag" },
  color: { type: "boolean", describe: "Colours, or none", hidden: true },
};
