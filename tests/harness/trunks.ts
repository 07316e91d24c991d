/** The trunks of a running node, as its operator port shows them. */

import { askNode } from "../../cli/node-port.ts";
import type { TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { eventually } from "./eventually.ts";
import type { TestFabric } from "./fabric.ts";

/** Every trunk of a node of the fabric. */
export async function trunksOf(world: TestFabric, name: string): Promise<TrunkStatus[]> {
  const { fabric } = world;
  return await fabric.withSession(async (session) => {
    const clusterId = await session.clusterId();
    const child = fabric.process(name);
    const target = { id: String(child.facts.nodeId), clusterId, address: world.operatorAddress(name) };
    return (await askNode(session, target, (client) => client.listTrunks({}))).trunks;
  });
}

/** Whether some trunk has a spare: a path over other relays that carries nothing, ready for every lane in use. */
function hasSpare(trunk: TrunkStatus): boolean {
  const relaysOf = (hops: readonly string[]): string => hops.slice(1, -1).join(" ");
  const active = trunk.attachments.filter((attachment) => attachment.active);
  const used = new Set(active.map(({ hops }) => relaysOf(hops)));
  return active.every(({ lane }) =>
    trunk.attachments.some((other) => other.lane === lane && other.ready && !used.has(relaysOf(other.hops))),
  );
}

/** Waits until every trunk of the node could lose the relay it uses. */
export async function standbyReady(world: TestFabric, name: string): Promise<void> {
  const ready = async (): Promise<boolean> => {
    const trunks = await trunksOf(world, name);
    return trunks.length > 0 && trunks.every(hasSpare);
  };
  await eventually(ready, { what: "a standby over another relay", withinMs: 20_000, everyMs: 100 });
}

/** The relay that the node's busiest trunk sends through. */
export async function activeRelay(world: TestFabric, name: string): Promise<string> {
  const trunks = await trunksOf(world, name);
  const busiest = trunks.toSorted((a, b) => Number(b.bytesSent - a.bytesSent))[0];
  const active = busiest?.attachments.filter((attachment) => attachment.active) ?? [];
  const hops = (active.find(({ lane }) => lane === "bulk") ?? active[0])?.hops ?? [];
  const found = world.fabric.processes.find(({ facts }) => facts.nodeId === hops[1]);
  if (found === undefined) throw new Error("no trunk is carried by a relay");
  return found.name;
}

/** How often the lanes of the node's trunks have moved. */
export async function movesOf(world: TestFabric, name: string): Promise<number> {
  const trunks = await trunksOf(world, name);
  return trunks.reduce((sum, { moves }) => sum + Number(moves), 0);
}
