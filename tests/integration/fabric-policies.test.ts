/** What operators lay down for the use of a fabric (rates, intents, contracts, leases), on one fabric. */

import { afterAll, describe } from "vitest";
import { fabricWithinMs, stopSharedFabric } from "../harness/fabric.ts";

afterAll(stopSharedFabric, fabricWithinMs);

describe("policies", async () => void (await import("./on-fabric/policy.ts")));
describe("organizations", async () => void (await import("./on-fabric/isolation.ts")));
describe("contracts", async () => void (await import("./on-fabric/contracts.ts")));
describe("exclusive resources", async () => void (await import("./on-fabric/exclusive-resources.ts")));
