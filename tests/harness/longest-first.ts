/**
 * The order of test files: those that start whole fabrics before everything else, so that no worker is left alone with one at
 * the end. Among equals vitest decides: by how long they took last time, where that is known.
 */

import { readFileSync } from "node:fs";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const WHOLE_FABRIC = /\b(attackFabric|fabricWithinMs|startFabric|startTestFabric)\b/;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const first = new Set(sorted.filter(({ moduleId }) => WHOLE_FABRIC.test(readFileSync(moduleId, "utf8"))));
    return [...first, ...sorted.filter((file) => !first.has(file))];
  }
}
