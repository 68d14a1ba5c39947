import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import {
  capacityOf,
  capacityText,
  lackOf,
  type Machine,
  machineOf,
  neededBytes,
} from "../../src/capacity.js";

const machine = (mib: number, cores = 2): Machine => ({
  cores,
  memoryBytes: mib * 2 ** 20,
  memoryOf: "container",
});

describe("how much is done at a time", () => {
  it("is what was measured, with 512 MiB and two cores", () => {
    expect(capacityOf(machine(512))).toEqual({
      hoursInFlight: 4,
      batchBytes: 16_000_000,
      engineMemoryBytes: 256_000_000,
      conversions: 2,
      getBytes: 32 * 2 ** 20,
      plainBytes: 64 * 2 ** 20,
    });
  });

  it("does not grow with more memory or more cores", () => {
    expect(capacityOf(machine(64_000, 64))).toEqual(capacityOf(machine(512)));
  });

  it("shrinks with less memory: one thing at a time, in smaller pieces", () => {
    expect(capacityOf(machine(384))).toMatchObject({ hoursInFlight: 1, batchBytes: 12e6, conversions: 1 });
    expect(capacityOf(machine(256))).toMatchObject({
      hoursInFlight: 1,
      batchBytes: 8e6,
      engineMemoryBytes: 128e6,
      getBytes: 16 * 2 ** 20,
    });
  });

  it("shrinks no further than what was seen to work", () => {
    expect(capacityOf(machine(64))).toEqual(capacityOf(machine(256)));
  });

  it("has one statement at a time on one core", () => {
    expect(capacityOf(machine(512, 1))).toEqual({ ...capacityOf(machine(512)), conversions: 1 });
  });

  it.each([{ hoursInFlight: 8 }, { batchBytes: 64e6 }, { engineMemoryBytes: 1e9 }])(
    "is what the user sets: %j",
    (set) => {
      for (const mib of [256, 512, 4096])
        expect(capacityOf(machine(mib), set)).toEqual({ ...capacityOf(machine(mib)), ...set });
    },
  );

  it.each([256, 300, 384, 511, 512, 4096])("fits in the %i MiB that it is derived from", (mib) => {
    expect(neededBytes(capacityOf(machine(mib)))).toBeLessThan(machine(mib).memoryBytes);
    expect(lackOf(machine(mib), capacityOf(machine(mib)))).toBeUndefined();
  });

  it("says what is less than the least, and what is set too large", () => {
    expect(lackOf(machine(128), capacityOf(machine(128)))).toMatchObject({
      message: "128 MiB of memory (container): less than 256 MiB was never seen to be enough",
      isSet: false,
    });
    expect(lackOf(machine(512), capacityOf(machine(512), { hoursInFlight: 20 }))).toMatchObject({
      message: "512 MiB of memory (container) is less than the 680 MiB that a run needs",
      isSet: true,
    });
  });

  it("is told in words", () => {
    expect(capacityText(machine(256, 1), capacityOf(machine(256, 1)))).toBe(
      "1 core and 256 MiB (container): 1 hour at a time in batches of 8 MB, 128 MB for 1 statement of DuckDB at a time, 16 MiB of GETs in flight",
    );
  });
});

it("a machine has cores, and a memory that is no control group's absurd limit", () => {
  const { cores, memoryBytes } = machineOf();
  expect(cores).toBe(availableParallelism());
  expect(memoryBytes).toBeGreaterThan(64 * 2 ** 20);
  expect(memoryBytes).toBeLessThan(2 ** 50);
});
