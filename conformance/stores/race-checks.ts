/** Enrollment and revocation as races between replicas, and what a store must never hold in clear. */

import { readCertificate } from "../../certs/certificate.ts";
import { parseJoinToken } from "../../certs/join-token.ts";
import type { Sql } from "../../control/store/sql.ts";
import { limits } from "../../lib/limits.ts";
import { type Check, holds, refused } from "../check.ts";
import { enrollRequest, freshHost, joinNode } from "./plane.ts";
import { pendingRequest, type StoreWorld, strangers } from "./world.ts";

const count = (outcomes: readonly PromiseSettledResult<unknown>[]): number =>
  outcomes.filter(({ status }) => status === "fulfilled").length;

async function singleUse(world: StoreWorld): Promise<string> {
  const { plane, connections } = world;
  const [rounds, uses] = [2, 50];
  for (let round = 0; round < rounds; round += 1) {
    const { text, token } = await plane.operator.tokens.createToken({ clusterId: plane.clusterId });
    const hosts = await Promise.all(Array.from({ length: uses }, () => freshHost()));
    const doors = strangers(world);
    const outcomes = await Promise.allSettled(
      hosts.map((host, at) => doors[at % doors.length]?.enroll(enrollRequest(text, host))),
    );
    const rows = await connections[0].query("select 1 from join_request where token_id = $1", [token?.id ?? ""]);
    holds(count(outcomes) === 1 && rows.length === 1, `${count(outcomes)} accepted, ${rows.length} requests`);
  }
  return `${rounds} rounds of ${uses} uses over two replicas, 1 request each`;
}

async function oneApproval(world: StoreWorld): Promise<string> {
  const { order, host } = await pendingRequest(world, "approved-once");
  const operators = world.replicas.map((replica) => replica.as(world.plane.operatorCaller).requests);
  const { clusterId, requestId } = order;
  const outcomes = await Promise.allSettled([
    ...[0, 1, 0, 1].map((at) => operators[at]?.approveRequest(order)),
    operators[1]?.rejectRequest({ clusterId, requestId, reason: "at the same time" }),
  ]);
  const q = world.connections[0];
  const nodes = await q.query("select 1 from node where key_hash = $1", [host.keys.keyHash]);
  const leaves = await q.query("select 1 from certificate where key_hash = $1", [host.keys.keyHash]);
  holds(count(outcomes) === 1, `${count(outcomes)} of 5 decisions were taken`);
  holds(nodes.length <= 1 && leaves.length === nodes.length, `${nodes.length} nodes, ${leaves.length} leaves`);
  return `5 decisions at once, 1 taken, ${leaves.length} leaf`;
}

async function uniformRefusals({ plane, connections }: StoreWorld): Promise<string> {
  const { clusterId, operator, stranger } = plane;
  const fresh = () => operator.tokens.createToken({ clusterId });
  const [used, expired, revoked, good] = [await fresh(), await fresh(), await fresh(), await fresh()];
  await stranger.enrollment.enroll(enrollRequest(used.text, await freshHost()));
  await connections[0].query("update join_token set expires_at_ms = now_ms() - 1 where id = $1", [
    expired.token?.id ?? "",
  ]);
  await operator.tokens.revokeToken({ clusterId, tokenId: revoked.token?.id ?? "" });
  const [version, slug, , secret, hash] = good.text.split(".");
  const unknown = [version, slug, "tk-unknown", secret, hash].join(".");
  const answers = new Set<string>();
  const texts = [used.text, expired.text, revoked.text, unknown, "not a token", ""];
  for (const text of texts) {
    answers.add(
      await refused(stranger.enrollment.enroll(enrollRequest(text, await freshHost())), /JOIN_TOKEN_REFUSED/),
    );
  }
  holds(answers.size === 1, `told apart: ${[...answers].join(" / ")}`);
  await stranger.enrollment.enroll(enrollRequest(good.text, await freshHost()));
  return `${texts.length} bad tokens, 1 answer; none used anything up`;
}

function leafOf(der: Uint8Array) {
  const facts = readCertificate(der);
  if (typeof facts === "string") throw new Error(facts);
  return facts;
}

async function issuerOf({ plane, connections }: StoreWorld): Promise<string> {
  return (await plane.replica.deps.authority.ca(connections[0], plane.clusterId, "node")).root.keyId;
}

/** Asks until a leaf may no longer act; resolves with how long that took. */
async function untilRefused(judge: () => Promise<{ readonly allowed: boolean }>): Promise<number> {
  const startedMs = performance.now();
  while ((await judge()).allowed) {
    const passedMs = performance.now() - startedMs;
    holds(passedMs < 5_000, `it may still act after ${Math.round(passedMs)} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return Math.round(performance.now() - startedMs);
}

async function revocationEverywhere(world: StoreWorld): Promise<string> {
  const { plane, replicas } = world;
  const joined = await joinNode(plane, "revoked-here");
  const { serialHex } = leafOf(joined.identity.certificateDer);
  const issuer = await issuerOf(world);
  const judges = replicas.map(
    ({ deps }) =>
      () =>
        deps.allowlist.judge(issuer, serialHex),
  );
  for (const judge of judges) holds((await judge()).allowed, "it may not act before it is revoked");
  await plane.operator.nodes.revokeNode({ clusterId: plane.clusterId, nodeId: joined.identity.nodeId });
  const [told = 0, other = 0] = await Promise.all(judges.map(untilRefused));
  holds(told <= 1_000, `the replica told took ${told} ms`);
  holds(other <= limits.allowlistStaleMaxMs + 1_000, `the other replica took ${other} ms`);
  return `the replica told ${told} ms, the other ${other} ms, without any hint`;
}

async function revokedWhileRenewing(world: StoreWorld): Promise<string> {
  const { plane } = world;
  const rounds = 6;
  const issuer = await issuerOf(world);
  for (let round = 0; round < rounds; round += 1) {
    const joined = await joinNode(plane, `renewing-${round}`);
    const { nodeId } = joined.identity;
    const callers = world.replicas.map((replica) => replica.as(joined.caller).enrollment);
    const renewals = Array.from({ length: 4 }, async (_, at) => {
      const host = await freshHost();
      return await callers[at % 2]?.renew({ csr: host.csr });
    });
    const revoke = plane.operator.nodes.revokeNode({ clusterId: plane.clusterId, nodeId });
    const outcomes = await Promise.allSettled([revoke, ...renewals]);
    holds(outcomes[0]?.status === "fulfilled", "the revocation failed");
    const live = await world.connections[0].query<{ serial: string }>(
      "select serial from certificate where holder_id = $1 and status in ('current', 'next')",
      [nodeId],
    );
    holds(live.length === 0, `round ${round}: ${live.length} leaves outlived the revocation`);
    const { serialHex } = leafOf(joined.identity.certificateDer);
    await untilRefused(() => plane.replica.deps.allowlist.judge(issuer, serialHex));
  }
  return `${rounds} revocations against 4 renewals each, no leaf outlived one`;
}

async function superseded(world: StoreWorld): Promise<string> {
  const joined = await joinNode(world.plane, "renewed");
  const next = await freshHost();
  const { identity } = await joined.node.enrollment.renew({ csr: next.csr });
  const issuer = await issuerOf(world);
  const [older, newer] = [joined.identity.certificateDer, identity?.certificateDer ?? new Uint8Array()].map(
    (der) => leafOf(der).serialHex,
  );
  const { allowlist } = world.plane.replica.deps;
  holds((await allowlist.judge(issuer, newer ?? "")).allowed, "the renewed leaf may not act");
  const verdict = await allowlist.judge(issuer, older ?? "");
  holds(!verdict.allowed && verdict.detail === "CERTIFICATE_SUPERSEDED", `the older one: ${JSON.stringify(verdict)}`);
  return "the first use of a renewed leaf ends the one before it";
}

/** Every row of every table as text; bytes show as hex. */
async function dumpOf(sql: Sql): Promise<string> {
  const tables = await sql.query<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public'",
  );
  const parts: string[] = [];
  for (const { name } of tables) {
    const rows = await sql.query<{ row: string }>(`select to_jsonb(t)::text as row from "${name}" t`);
    parts.push(...rows.map(({ row }) => row));
  }
  return parts.join("\n");
}

const formsOf = (bytes: Buffer): readonly string[] => [
  bytes.toString("hex"),
  bytes.toString("base64url"),
  bytes.toString("base64"),
];

async function tokensAtRest({ plane, connections }: StoreWorld): Promise<string> {
  const { text } = await plane.operator.tokens.createToken({ clusterId: plane.clusterId });
  await plane.stranger.enrollment.enroll(enrollRequest(text, await freshHost()));
  const secret = Buffer.from(parseJoinToken(text)?.secret ?? []);
  const dump = await dumpOf(connections[0]);
  holds(secret.length === 32 && dump.includes("tk-"), "the search would find nothing");
  for (const form of [text, ...formsOf(secret)]) holds(!dump.includes(form), "a raw token is in the store");
  return `${Math.round(dump.length / 1024)} KiB of rows searched for a token that was used`;
}

async function keysAtRest({ plane, connections }: StoreWorld): Promise<string> {
  const joined = await joinNode(plane, "searched-for");
  const key = joined.host.keys.privateKey.export({ format: "der", type: "pkcs8" });
  const dump = await dumpOf(connections[0]);
  holds(dump.includes("searched-for"), "the search would find nothing");
  for (const form of formsOf(key)) holds(!dump.includes(form), "a node's private key is in the store");
  for (const form of ["PRIVATE KEY", Buffer.from("PRIVATE KEY").toString("hex")]) {
    holds(!dump.includes(form), "an unsealed private key is in the store");
  }
  return `${Math.round(dump.length / 1024)} KiB of rows searched for private keys`;
}

async function confined({ plane }: StoreWorld): Promise<string> {
  const { operator } = plane;
  const { cluster } = await operator.clusters.createCluster({ slug: `other-${plane.clusterId.slice(-6)}` });
  const joined = await joinNode(plane, "of-one-cluster");
  const foreign = { clusterId: cluster?.id ?? "", nodeId: joined.identity.nodeId };
  await refused(operator.nodes.revokeNode(foreign), /not_found/);
  return "a node of one cluster is not found from another";
}

/** The checks of one server, each with its name. */
export function raceChecks(store: string): readonly Check<StoreWorld>[] {
  const on = (id: string, law: string, title: string, run: Check<StoreWorld>["run"]): Check<StoreWorld> => ({
    id: `${id}.${store}`,
    law,
    title: `${title}, on ${store}`,
    run,
  });
  return [
    on("I3.single-use", "LAW-I3", "a single-use token used at two replicas at once", singleUse),
    on("E10.one-approval", "THR-E10", "approvals and a rejection at once", oneApproval),
    on("E3.refusals", "THR-E3", "bad join tokens cannot be told apart", uniformRefusals),
    on("I4.revocation", "LAW-I4", "a revoked leaf at both replicas", revocationEverywhere),
    on("I4.revoked-while-renewing", "LAW-I4", "revocation against concurrent renewals", revokedWhileRenewing),
    on("I4.superseded", "LAW-I4", "a superseded leaf", superseded),
    on("I1.keys-at-rest", "LAW-I1", "no private key in any row", keysAtRest),
    on("I2.tokens-at-rest", "LAW-I2", "no raw token in any row", tokensAtRest),
    on("C1.clusters", "LAW-C1", "clusters are separate", confined),
  ];
}
