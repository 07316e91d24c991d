/** What operators lay down for the use of a fabric (rates, intents, contracts, leases), and what may go of it, on one fabric. */

import { afterAll, describe } from "vitest";
import { fabricWithinMs, stopSharedFabric } from "../harness/fabric.ts";

afterAll(stopSharedFabric, fabricWithinMs);

describe("policies", async () => void (await import("./on-fabric/policy.ts")));
describe("organizations", async () => void (await import("./on-fabric/isolation.ts")));
describe("contracts", async () => void (await import("./on-fabric/contracts.ts")));
describe("exclusive resources", async () => void (await import("./on-fabric/exclusive-resources.ts")));
describe("a relay in use", async () => void (await import("./on-fabric/failover.ts")));
describe("ssh and psql", async () => void (await import("./on-fabric/forwarded-programs.ts")));
// Last: control does not come back.
describe("whatever may go", async () => void (await import("./on-fabric/loss.ts")));
