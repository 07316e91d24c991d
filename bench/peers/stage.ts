/**
 * What both benches of the data plane stand on: a whole fabric of real processes, of which one entry and one egress give
 * their place to edges in processes of the bench. Relays, control and the rest run as they are shipped.
 */

import { join } from "node:path";
import { type Fabric, type FabricOptions, startFabric } from "../../cli/up/fabric.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { eventually } from "../../tests/harness/eventually.ts";
import { BenchChild } from "./child.ts";
import type { Route, TlsRoute } from "./route.ts";

export interface Stage {
  readonly fabric: Fabric;
  readonly near: BenchChild;
  readonly far: BenchChild;
  readonly farId: string;
  /** TLS ports of the far edge itself: end to end, and for relays that terminate. */
  readonly directPort: number;
  readonly terminatedPort: number;
  nodeId(name: string): string;
  stateDir(name: string): string;
  /** Along these relays. */
  path(...relays: readonly string[]): Route;
  /** No relay: the same trunk on one TLS connection. */
  readonly direct: TlsRoute;
  stop(): Promise<void>;
}

export const serverName = "far.bench.weft";

interface FarEnds {
  readonly nodeId: string;
  readonly organizationId: string;
  readonly directPort: number;
  readonly terminatedPort: number;
}

/** Ends a node of the fabric at once: what it leaves is taken over. */
async function replace(fabric: Fabric, name: string): Promise<void> {
  const { pid, exited } = fabric.process(name);
  process.kill(pid, "SIGKILL");
  await exited;
}

/** Brings everything up. `targetPort`: where channels to `target` go from the far edge. */
export async function setStage(
  say: (line: string) => void,
  { targetPort = 0, ...options }: { readonly targetPort?: number } & Pick<FabricOptions, "placeOf"> = {},
): Promise<Stage> {
  say("starting a fabric");
  const fabric = await startFabric({ logLevel: "error", ...options });
  const stateDir = (name: string): string => join(fabric.root, "nodes", name, "state");
  const nodeId = (name: string): string => loadIdentity(stateDir(name))?.identity.nodeId ?? "";
  say(`the fabric stands after ${(fabric.upMs / 1e3).toFixed(1)} s; taking the places of entry-1 and egress-1`);
  await Promise.all([replace(fabric, "entry-1"), replace(fabric, "egress-1")]);
  const near = BenchChild.start("near.ts");
  const far = BenchChild.start("far.ts");
  const port = fabric.plan.nodes.find(({ name }) => name === "egress-1")?.publicPort ?? 0;
  const started = { stateDir: stateDir("egress-1"), port, targetPort, nearId: nodeId("entry-1") };
  const [ends] = await Promise.all([
    far.call<FarEnds>("start", started),
    near.call("start", { stateDir: stateDir("entry-1") }),
  ]);
  const { nodeId: farId, organizationId } = ends;
  const path = (...relays: readonly string[]): Route => ({
    kind: "path",
    hops: [nodeId("entry-1"), ...relays.map(nodeId), farId],
    organizationId,
  });
  const direct: TlsRoute = { kind: "tls", port: ends.directPort, serverName, peerId: farId, terminated: false };
  const stage: Stage = {
    fabric,
    near,
    far,
    farId,
    directPort: ends.directPort,
    terminatedPort: ends.terminatedPort,
    nodeId,
    stateDir,
    path,
    direct,
    async stop() {
      await Promise.all([near.stop(), far.stop()]);
      await fabric.stop();
    },
  };
  // Relays need a moment to notice that the edges are others now.
  await eventually(() => near.call("pingPong", { route: path("relay-1"), bytes: 64, count: 10 }), {
    withinMs: 20_000,
    everyMs: 200,
    what: "bytes over relay-1",
  });
  return stage;
}
