/** What hourpack needs of the machine or container that it runs in. */
import { randomUUID } from "node:crypto";
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Capacity, capacityText, lackOf, type Machine, mib, neededBytes } from "../../capacity.js";
import type { RunSettings } from "../../config/settings.js";
import { EXIT, reasonOf } from "../../errors.js";
import { makeFolders } from "../../make-folders.js";
import type { Verdict } from "./check.js";

/** The oldest Node.js that package.json allows. */
const NODE_MIN = [20, 19] as const;

export function checkNode(version: string): Verdict {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1]);
  if (!isOld) return { status: "ok", message: `Node.js ${version}` };
  return {
    status: "failed",
    message: `Node.js ${version} is older than ${NODE_MIN.join(".")}`,
    hint: "Install Node.js 24, or another that is still supported.",
    exitCode: EXIT.invalid,
  };
}

export function checkMemory(run: Capacity, machine: Machine): Verdict {
  const lack = lackOf(machine, run);
  const message = capacityText(machine, run);
  if (!lack) return { status: "ok", message: `${message}; a run needs about ${mib(neededBytes(run))}` };
  if (!lack.isSet) return { status: "warning", message: lack.message, hint: lack.hint };
  return { status: "failed", message: lack.message, hint: lack.hint, exitCode: EXIT.invalid };
}

const DISK_LOW_BYTES = 2 ** 30;
const DISK_MIN_BYTES = 128 << 20;

/** Writes a file into the folder and deletes it. Throws what the system says if that cannot be. */
export async function tryToWrite(folder: string): Promise<void> {
  const probe = join(folder, `.doctor-${randomUUID()}`);
  try {
    await writeFile(probe, "probe");
  } finally {
    await rm(probe, { force: true }).catch(() => {});
  }
}

/**
 * Tries whether the spool folder can be written, and has room. `hourBytes`: the size of the newest raw hour, if known.
 */
export async function checkDisk(run: RunSettings, hourBytes: number): Promise<Verdict> {
  const { spoolDir } = run;
  try {
    await makeFolders(spoolDir);
    await tryToWrite(spoolDir);
  } catch (error) {
    return {
      status: "failed",
      message: `write into the spool folder ${spoolDir}: ${reasonOf(error)}`,
      hint: "Let this user write there, or name another folder with run.spoolDir.",
      exitCode: EXIT.invalid,
    };
  }
  const { bavail, bsize } = await statfs(spoolDir);
  const freeBytes = bavail * bsize;
  // Batches are plain text even if objects are compressed, and the Parquet files lie beside them. Hours in
  // flight wait for each other if together they need more than the spool may have; a single hour may have
  // more.
  const rawBytes = Math.max(hourBytes, Math.min(hourBytes * run.hoursInFlight, run.spoolBytesMax));
  const neededBytes = Math.max(DISK_MIN_BYTES, 2 * rawBytes);
  const wantedBytes = Math.max(DISK_LOW_BYTES, 2 * neededBytes);
  const message = `${mib(freeBytes)} free at ${spoolDir}`;
  const hint = `Free at least ${mib(wantedBytes)} there, or name a larger disk with run.spoolDir.`;
  if (freeBytes < neededBytes) return { status: "failed", message, hint, exitCode: EXIT.invalid };
  return freeBytes < wantedBytes ? { status: "warning", message, hint } : { status: "ok", message };
}
