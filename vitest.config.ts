// The one test runner. `node scripts/check.mjs` runs it last; `vitest run tests/unit/x.test.ts` runs one file.
// WEFT_SOAK=1 raises the counts (tests/harness/counts.ts) and the time a test may take.
//
// Three projects run in processes that serve file after file, which saves starting one for each and loading everything anew:
// their files may not change what others see (prototypes, globals, the environment). The rest has a process per file.

import { defineConfig } from "vitest/config";
import packageFacts from "./package.json" with { type: "json" };
import { FailureReporter } from "./tests/harness/failures.ts";
import { LongestFirst } from "./tests/harness/longest-first.ts";
import { reportPath } from "./tests/harness/report-path.ts";

const soak = process.env["WEFT_SOAK"] === "1";

const units = ["tests/*.test.ts", "tests/unit/**/*.test.ts"];
/** Control's parts inside the process of the test, on stores of their own. */
const stores = [
  "tests/stores/**/*.test.ts",
  "tests/integration/{enrollment,hints}-*.test.ts",
  "tests/integration/{control-nodes,control-record,control-strangers,rotation-nodes}.test.ts",
];
/** Nodes, edges and paths inside the process of the test, with listeners of their own. Simulations change what all see: not here. */
const meshes = [
  "tests/integration/{edge,hostile,node-roles,paths,snapshot}-*.test.ts",
  "tests/integration/{certs-tls,client-asks,exclusive-egress,listener-strangers,message-channels,organizations,relay-splice}.test.ts",
];

/** Files of a project; projects run in the order of their names. A process per file is as brief as its embedded stores. */
const project = (name: string, include: readonly string[], isolate: boolean, exclude: readonly string[] = []) => ({
  test: {
    name,
    include: [...include],
    exclude: ["node_modules/**", "console/**", ...exclude],
    isolate,
    pool: "forks" as const,
    execArgv: isolate ? [...packageFacts.config.briefControlFlags] : [],
    testTimeout: soak ? 900_000 : 30_000,
    hookTimeout: 120_000,
  },
});

export default defineConfig({
  test: {
    projects: [
      project("alone", ["tests/**/*.test.ts"], true, [...meshes, ...stores, ...units]),
      project("meshes", meshes, false),
      project("stores", stores, false),
      project("units", units, false),
    ],
    globalSetup: ["tests/harness/global-setup.ts"],
    sequence: { sequencer: LongestFirst },
    // More than two cores take: some of what runs waits, for processes and for time.
    maxWorkers: 4,
    allowOnly: false,
    passWithNoTests: false,
    reporters: ["default", ["json", { outputFile: reportPath }], new FailureReporter()],
  },
});
