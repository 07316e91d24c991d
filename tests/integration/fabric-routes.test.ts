/** Routes as operators see and change them from the command line, the command line in all its length, and a second cluster, on one fabric that is traced. */

import { afterAll, beforeAll, describe } from "vitest";
import { fabricWithinMs, sharedFabric, stopSharedFabric } from "../harness/fabric.ts";
import { sharedOtlpReceiver } from "../harness/otlp-receiver.ts";

beforeAll(async () => void (await sharedFabric({ traces: (await sharedOtlpReceiver()).endpoint })), fabricWithinMs);
afterAll(async () => {
  await stopSharedFabric();
  await (await sharedOtlpReceiver()).close();
}, fabricWithinMs);

describe("weft doctor", async () => void (await import("./on-fabric/doctor.ts")));
describe("metrics", async () => void (await import("./on-fabric/metrics.ts")));
describe("traces", async () => void (await import("./on-fabric/traces.ts")));
describe("weft context", async () => void (await import("./on-fabric/named-contexts.ts")));
describe("weft probe", async () => void (await import("./on-fabric/probe.ts")));
describe("the package", async () => void (await import("./on-fabric/package.ts")));
describe("the SDK under libraries", async () => void (await import("./on-fabric/client-drivers.ts")));
describe("weft route", async () => void (await import("./on-fabric/route-commands.ts")));
describe("weft", async () => void (await import("./on-fabric/cli-fabric.ts")));
describe("weft node drain", async () => void (await import("./on-fabric/cli-drain.ts")));
describe("two clusters", async () => void (await import("./on-fabric/two-clusters.ts")));
