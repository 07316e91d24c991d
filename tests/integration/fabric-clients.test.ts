/** Whoever speaks to a fabric from outside, stock clients and the SDK, on one fabric. */

import { afterAll, describe } from "vitest";
import { fabricWithinMs, stopSharedFabric } from "../harness/fabric.ts";

afterAll(stopSharedFabric, fabricWithinMs);

describe("grpcurl", async () => void (await import("./on-fabric/interop-grpcurl.ts")));
describe("grpcurl as documented", async () => void (await import("./on-fabric/grpcurl-document.ts")));
describe("stock clients", async () => void (await import("./on-fabric/interop-clients.ts")));
describe("stock clients on links", async () => void (await import("./on-fabric/interop-links.ts")));
describe("messages", async () => void (await import("./on-fabric/messages.ts")));
describe("what clients see", async () => void (await import("./on-fabric/client-visible.ts")));
describe("clients that misbehave", async () => void (await import("./on-fabric/bad-input.ts")));
// It adds nodes, and revokes them.
describe("clients in other languages", async () => void (await import("./on-fabric/other-languages.ts")));
// Last: it ends an egress for good.
describe("clients that are edges", async () => void (await import("./on-fabric/client-edge.ts")));
