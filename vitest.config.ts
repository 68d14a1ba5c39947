import { defineConfig } from "vitest/config";

/** A ring is a folder of test/ and a project here; test/README.md says what each shows. */
const ring = (name: string, testTimeout: number) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: 900_000 },
});

export default defineConfig({
  test: {
    projects: [
      ring("unit", 20_000),
      ring("contract", 60_000),
      ring("golden", 60_000),
      ring("crash", 300_000),
      ring("e2e", 120_000),
    ],
    globalSetup: ["test/support/global.ts"],
    maxWorkers: 2,
    reporters: ["default", "./test/support/closing-line.ts"],
  },
});
