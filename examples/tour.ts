/** Everything else an example client shows: refusals, watching nodes and routes, becoming a node. Each is judged. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Fabric } from "../cli/up/fabric.ts";
import { approve, tokenFor } from "../cli/up/provision.ts";
import { NodeAdminService } from "../gen/weft/admin/v1/node_pb.ts";
import { type ExampleClient, type Running, runExample } from "./example-client.ts";

export interface Place {
  readonly fabric: Fabric;
  readonly client: ExampleClient;
  /** Client folder. */
  readonly identity: string;
  /** A folder for secrets of this run. */
  readonly scratch: string;
}

const withinMs = 60_000;

/** An error as the examples print it. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly reason?: string;
  readonly stage?: string;
  readonly retry?: string;
  readonly request_id?: string;
}

/** Languages write the codes in their own way: NOT_FOUND, NotFound; CANCELLED, Canceled. */
export function codeOf({ code }: Refusal): string {
  return code.replaceAll("_", "").toLowerCase().replace("cancelled", "canceled");
}

/** How the calls of `refusals` ended, by what was tried. */
export async function tryRefusals({ client, fabric, identity }: Place): Promise<Readonly<Record<string, Refusal>>> {
  const entry = String(fabric.process("entry-1").facts.public);
  return await runExample<Record<string, Refusal>>(client, "refusals", { identity, entry }, withinMs).answer;
}

/** What is wrong with how they ended; empty when they ended as they should. */
export function problemsOf(refusals: Readonly<Record<string, Refusal>>): string[] {
  const expected: Readonly<Record<string, Partial<Refusal>>> = {
    unknown_resource: { code: "notfound", reason: "UNKNOWN_RESOURCE", stage: "ENTRY" },
    open_first: { code: "invalidargument", reason: "ACCESS_OPEN_FIRST" },
    deadline: { code: "deadlineexceeded" },
    cancelled: { code: "canceled" },
  };
  return Object.entries(expected).flatMap(([name, { code, reason, stage }]) => {
    const found = refusals[name];
    const isRight =
      found !== undefined &&
      codeOf(found) === code &&
      (reason === undefined || (found.reason === reason && found.request_id !== undefined)) &&
      (stage === undefined || found.stage === stage);
    return isRight ? [] : [`${name}: ${JSON.stringify(found)}`];
  });
}

export interface Watched {
  readonly nodes: readonly { readonly name: string; readonly health: string }[];
  readonly routes: Readonly<Record<string, readonly string[]>>;
  readonly events: Readonly<Record<string, number>>;
}

/** Watches until an entry tells that a trunk has moved. `told("watching")` resolves once every entry was asked. */
export function watchMoves({ client, fabric }: Place): Running<Watched> {
  return runExample(client, "watch", { context: fabric.contextDir, until: "trunk_moved" }, withinMs);
}

/** What is wrong with what was watched. */
export function problemsOfWatched({ nodes, routes, events }: Watched, { plan }: Fabric): string[] {
  const names = nodes.map(({ name }) => name);
  const unseen = plan.nodes.filter(({ name }) => !names.includes(name)).map(({ name }) => `${name} was not seen`);
  const entries = plan.nodes.filter(({ role }) => role === "entry");
  const noRoute = entries
    .filter(({ name }) => routes[name]?.[0] !== name || (routes[name]?.length ?? 0) < 3)
    .map(({ name }) => `no route from ${name}`);
  return [...unseen, ...noRoute, ...(events["trunk_moved"] === undefined ? ["no move was heard of"] : [])];
}

export interface Enrolled {
  readonly node_id: string;
  readonly name: string;
  readonly health: string;
  readonly beats: number;
}

/** Lets the client become a node, as an operator, hears it beat, and revokes it again. */
export async function tryEnrollment({ client, fabric, scratch }: Place): Promise<Enrolled> {
  const node = { name: `${client.language}-example`, role: "egress" } as const;
  const tokenFile = join(scratch, `${client.language}.token`);
  const text = await fabric.withSession((session) => tokenFor(session, node));
  writeFileSync(tokenFile, text, { mode: 0o600 });
  const control = String(fabric.process("control").facts.public);
  const running = runExample<Enrolled>(
    client,
    "enroll",
    { control, "token-file": tokenFile, name: node.name },
    withinMs,
  );
  const { request_id, fingerprint } = await running.told("request_id", "fingerprint");
  return await fabric.withSession(async (session) => {
    await approve(session, node, { requestId: String(request_id), keyFingerprint: String(fingerprint) });
    const enrolled = await running.answer;
    const clusterId = await session.clusterId();
    await session
      .client(NodeAdminService)
      .revokeNode({ clusterId, nodeId: enrolled.node_id, reason: "the example is over" });
    return enrolled;
  });
}
