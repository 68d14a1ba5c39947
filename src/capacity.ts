/** How much runs at a time, derived from the cores and the memory unless it is set. */
import { availableParallelism, totalmem } from "node:os";
import { counted } from "./words.js";

export interface Machine {
  cores: number;
  memoryBytes: number;
  /** What `memoryBytes` is the memory of. */
  memoryOf: "container" | "machine";
}

export interface Capacity {
  /** Hours in work at a time. */
  hoursInFlight: number;
  batchBytes: number;
  /** DuckDB's memory_limit, bytes. */
  engineMemoryBytes: number;
  /** DuckDB statements at a time, with one thread each. */
  conversions: number;
  /** Bytes of bodies in flight over all hours: as many GETs as the objects' sizes allow, or a single larger one. */
  getBytes: number;
  /** The same for bodies that are being gunzipped. */
  plainBytes: number;
}

/** The figures that a user can set. */
type SetCapacity = Partial<Pick<Capacity, "hoursInFlight" | "batchBytes" | "engineMemoryBytes">>;

/** The figures below were measured to fit in this. More memory buys nothing, and the process does not grow into it. */
const USUAL_MEMORY_BYTES = 512 << 20;

/** We have seen no hour packed in less. */
const LEAST_MEMORY_BYTES = 256 << 20;

const USUAL: Capacity = {
  // A small hour spends most of its time in some eight requests, one after the other.
  hoursInFlight: 4,
  batchBytes: 16_000_000,
  engineMemoryBytes: 256_000_000,
  conversions: 2,
  getBytes: 32 << 20,
  plainBytes: 64 << 20,
};

/** With less memory than usual, one thing runs at a time, in pieces that shrink with the memory. */
export function capacityOf({ cores, memoryBytes }: Machine, set: SetCapacity = {}): Capacity {
  const share = Math.min(1, Math.max(memoryBytes, LEAST_MEMORY_BYTES) / USUAL_MEMORY_BYTES);
  const isUsual = share === 1;
  const shareOf = (bytes: number) => Math.floor(bytes * share);
  return {
    hoursInFlight: set.hoursInFlight ?? (isUsual ? USUAL.hoursInFlight : 1),
    batchBytes: set.batchBytes ?? shareOf(USUAL.batchBytes),
    engineMemoryBytes: set.engineMemoryBytes ?? shareOf(USUAL.engineMemoryBytes),
    conversions: isUsual ? Math.min(USUAL.conversions, cores) : 1,
    getBytes: shareOf(USUAL.getBytes),
    plainBytes: shareOf(USUAL.plainBytes),
  };
}

/** Node.js with its libraries, without the pages that can be read again from the disk. */
const BASE_BYTES = 100 << 20;
/** Shared by all hours: one batch waits and one is sifted. In addition, each hour has one that fills. */
export const BATCHES_SHARED = 2;

/** About how much memory a run cannot do without. */
export function neededBytes({ hoursInFlight, batchBytes, engineMemoryBytes }: Capacity): number {
  return BASE_BYTES + engineMemoryBytes + (BATCHES_SHARED + hoursInFlight) * batchBytes;
}

/** Why this may be too little memory, and what to do; undefined if it is enough. */
export function lackOf(
  { memoryBytes, memoryOf }: Machine,
  capacity: Capacity,
): { message: string; hint: string; isSet: boolean } | undefined {
  const has = `${mib(memoryBytes)} of memory (${memoryOf})`;
  if (memoryBytes < LEAST_MEMORY_BYTES)
    return {
      message: `${has}: less than ${mib(LEAST_MEMORY_BYTES)} was never seen to be enough`,
      hint: `Give it ${mib(LEAST_MEMORY_BYTES)}: a run may be ended by the system.`,
      isSet: false,
    };
  const needed = mib(neededBytes(capacity));
  if (memoryBytes >= neededBytes(capacity)) return undefined;
  return {
    message: `${has} is less than the ${needed} that a run needs`,
    hint: `Give it ${needed}, or lower run.engineMemory, run.batch or run.hoursInFlight.`,
    isSet: true,
  };
}

/** All figures, for a log. */
export function capacityFigures(machine: Machine, capacity: Capacity): Machine & Capacity {
  const { hoursInFlight, batchBytes, engineMemoryBytes, conversions, getBytes, plainBytes } = capacity;
  return { ...machine, hoursInFlight, batchBytes, engineMemoryBytes, conversions, getBytes, plainBytes };
}

/** `2 cores and 512 MiB (container): 4 hours at a time in batches of 16 MB, 256 MB for 2 statements of DuckDB` */
export function capacityText({ cores, memoryBytes, memoryOf }: Machine, capacity: Capacity): string {
  const { hoursInFlight, batchBytes, engineMemoryBytes, conversions, getBytes } = capacity;
  return (
    `${counted(cores, "core")} and ${mib(memoryBytes)} (${memoryOf}): ${counted(hoursInFlight, "hour")} at a time in batches of ` +
    `${mb(batchBytes)}, ${mb(engineMemoryBytes)} for ${counted(conversions, "statement")} of DuckDB at a time, ` +
    `${mib(getBytes)} of GETs in flight`
  );
}

/** Sizes that are set in thousands (`--batch 16MB`) are shown in thousands. */
function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** Memory and disks are counted in powers of two. */
export function mib(bytes: number): string {
  return bytes >= 10 * 2 ** 30 ? `${Math.round(bytes / 2 ** 30)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** The container's limit if it has one, else the machine's memory. */
export function machineOf(): Machine {
  const limit = process.constrainedMemory();
  const memory = totalmem();
  // A control group without a limit reports an absurdly large one.
  const isLimited = limit > 0 && limit < memory;
  return {
    cores: availableParallelism(),
    memoryBytes: isLimited ? limit : memory,
    memoryOf: isLimited ? "container" : "machine",
  };
}
