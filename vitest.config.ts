// The one test runner. `node scripts/check.mjs` runs it last; `vitest run tests/unit/x.test.ts` runs one file.
// WEFT_SOAK=1 raises the counts (tests/harness/counts.ts) and the time a test may take.

import { defineConfig } from "vitest/config";

const soak = process.env["WEFT_SOAK"] === "1";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["node_modules/**", "console/**"],
    globalSetup: ["tests/harness/global-setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: soak ? 900_000 : 20_000,
    hookTimeout: 60_000,
    allowOnly: false,
    passWithNoTests: false,
    reporters: ["default", ["json", { outputFile: "node_modules/.cache/weft/vitest.json" }]],
  },
});
