/** The command line in all its length, and a second cluster of the installation, on one fabric. */

import { afterAll, describe } from "vitest";
import { fabricWithinMs, stopSharedFabric } from "../harness/fabric.ts";

afterAll(stopSharedFabric, fabricWithinMs);

describe("weft", async () => void (await import("./on-fabric/cli-fabric.ts")));
describe("two clusters", async () => void (await import("./on-fabric/two-clusters.ts")));
