/** A fabric that loses its parts one after the other. */

import { afterAll, describe } from "vitest";
import { fabricWithinMs, stopSharedFabric } from "../harness/fabric.ts";

afterAll(stopSharedFabric, fabricWithinMs);

describe("a relay in use", async () => void (await import("./on-fabric/failover.ts")));
describe("whatever may go", async () => void (await import("./on-fabric/loss.ts")));
