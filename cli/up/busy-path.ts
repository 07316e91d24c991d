/** Where the bytes of an edge's busiest trunk run, and which relay to hurt for them to move. */

import type { TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";

export interface BusyPath {
  /** The first relay of it. */
  readonly node: string;
  /** Node names, edge to edge. */
  readonly path: readonly string[];
  readonly trunk: string;
  /** Ready attachments of its lane that do not run over that relay. */
  readonly standbys: number;
}

/** The active path of the bulk lane of the trunk that sent most of those with open channels; undefined when there is none over a relay. */
export function busyPath(trunks: readonly TrunkStatus[], nameOf: (id: string) => string): BusyPath | undefined {
  const busiest = trunks
    .filter(({ channels }) => channels > 0)
    .toSorted((a, b) => Number(b.bytesSent - a.bytesSent))[0];
  const bulk = busiest?.attachments.filter(({ lane }) => lane === "bulk") ?? [];
  const active = bulk.find((attachment) => attachment.active)?.hops ?? [];
  const [id] = active.slice(1, -1);
  if (busiest === undefined || id === undefined) return undefined;
  const standbys = bulk.filter((attachment) => attachment.ready && !attachment.active && !attachment.hops.includes(id));
  return { node: nameOf(id), path: active.map(nameOf), trunk: busiest.trunkId, standbys: standbys.length };
}
