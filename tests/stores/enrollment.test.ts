import { createPublicKey, X509Certificate } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { rootsOf, verifyTrustBundle } from "../../certs/bundle.ts";
import { readCertificate } from "../../certs/certificate.ts";
import { parseJoinToken } from "../../certs/join-token.ts";
import { judgeCertificate } from "../../certs/judge.ts";
import { generateP256, keyHash, signEs256 } from "../../certs/keys.ts";
import {
  createWorld,
  enrollRequest,
  freshHost,
  joinNode,
  Replica,
  signedPoll,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { recordingSql } from "../harness/recording-sql.ts";
import { describeStores } from "./stores.ts";

async function refusalOf(call: Promise<unknown>): Promise<WeftError> {
  const thrown: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeftError)) throw new Error(`not refused: ${String(thrown)}`);
  return thrown;
}

describeStores("enrollment", (store) => {
  let world: World;
  const token = async (options: { maxUses?: number; roles?: NodeRole[] } = {}) =>
    await world.operator.tokens.createToken({ clusterId: world.clusterId, ...options });

  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  it("M-A3 M-A4 brings a host from token to a verified identity with server-chosen names only", async () => {
    const joined = await joinNode(world, "relay-1");
    const { text } = await token();
    const parsed = parseJoinToken(text);
    const answer = await world.stranger.enrollment.getTrustBundle({ clusterSlug: "default" });
    const bundle = verifyTrustBundle(
      { bytes: answer.bundle, signature: answer.signature },
      answer.installationPublicKey,
      parsed?.installationKeyHash ?? "",
    );
    const verdict = judgeCertificate(joined.identity.certificateDer, {
      kind: "node",
      trustDomain: bundle.trustDomain,
      clusterId: world.clusterId,
      roots: rootsOf(bundle, "node"),
      nowMs: () => Date.now(),
    });
    expect(verdict).toMatchObject({ ok: true, keyHash: joined.host.keys.keyHash });
    const leaf = new X509Certificate(joined.identity.certificateDer);
    expect(leaf.subjectAltName).toMatch(/URI:spiffe:\/\/.*DNS:link-.*DNS:relay-1\.default\.weft\.internal/);
    expect(leaf.subjectAltName).toContain("IP Address:127.0.0.1");
    expect(joined.identity.controlName).toBe("control.default.weft.internal");
  });

  it("THR-E3 LAW-I2 refuses wrong, used, expired, revoked, unknown, foreign and too narrow tokens in one way", async () => {
    const used = await token();
    await world.stranger.enrollment.enroll(enrollRequest(used.text, await freshHost()));
    const expired = await token();
    await world.sql.query("update join_token set expires_at_ms = now_ms() - 1000 where id = $1", [
      expired.token?.id ?? "",
    ]);
    const revoked = await token();
    await world.operator.tokens.revokeToken({ clusterId: world.clusterId, tokenId: revoked.token?.id ?? "" });
    const narrow = await token({ roles: [NodeRole.EGRESS] });
    const good = await token();
    const [version, slug, id, secret, hash] = good.text.split(".");
    const other = await world.operator.clusters.createCluster({ slug: "other" });
    const foreign = await world.operator.tokens.createToken({ clusterId: other.cluster?.id ?? "" });
    const texts = [
      used.text,
      expired.text,
      revoked.text,
      narrow.text,
      foreign.text,
      [version, slug, id, Buffer.alloc(32, 7).toString("base64url"), hash].join("."),
      [version, slug, "tk-unknown", secret, hash].join("."),
      [version, slug, id, secret, Buffer.alloc(32, 7).toString("base64url")].join("."),
      "not a token",
      "",
    ];
    const seen = new Set<string>();
    const work = new Set<string>();
    const { sql, statements } = recordingSql(world.sql);
    const door = new Replica(sql, world.sealingKey).as(strangerOf(world.clusterId)).enrollment;
    for (const text of texts) {
      statements.length = 0;
      const refusal = await refusalOf(door.enroll(enrollRequest(text, await freshHost())));
      work.add(statements.join("\n"));
      seen.add(JSON.stringify([refusal.reason, refusal.detail, refusal.message, Object.keys(refusal.metadata)]));
    }
    expect([...seen]).toEqual([
      JSON.stringify(["permission_denied", "JOIN_TOKEN_REFUSED", "the join token was not accepted", ["requestId"]]),
    ]);
    // Comparable time: the very same statements, whatever is wrong.
    expect(work.size).toBe(1);
    expect(statements.length).toBeGreaterThan(5);
    const refused = await world.sql.query("select 1 from audit where result = 'refused:JOIN_TOKEN_REFUSED'");
    expect(refused).toHaveLength(texts.length);
    // None of it used anything up.
    await world.stranger.enrollment.enroll(enrollRequest(good.text, await freshHost()));
    const [row] = await world.sql.query("select used_count from join_token where id = $1", [narrow.token?.id ?? ""]);
    expect(row).toEqual({ used_count: 0 });
  });

  it("THR-E5 judges the request before the token: a bad one uses nothing up", async () => {
    const { text } = await token();
    const host = await freshHost();
    const broken = Uint8Array.from(host.csr);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
    const bad = [
      enrollRequest(text, { ...host, csr: broken }),
      enrollRequest(text, { ...host, csr: new Uint8Array(1_000_000) }),
      enrollRequest(text, host, { nodeName: "client" }),
      enrollRequest(text, host, { nodeName: "UPPER" }),
      enrollRequest(text, host, { addresses: [{ host: "10.0.0.1%eth0", port: 1 }] }),
      enrollRequest(text, host, { addresses: [] }),
      enrollRequest(text, host, { requestedRoles: [{ role: 99 as NodeRole }] }),
      enrollRequest(text, host, { facts: { big: "x".repeat(9_000) } }),
    ];
    for (const request of bad)
      expect((await refusalOf(world.stranger.enrollment.enroll(request))).reason).toBe("invalid_argument");
    const { tokens } = await world.operator.tokens.listTokens({ clusterId: world.clusterId });
    expect(tokens.map((each) => each.usedCount)).toEqual([0]);
    await world.stranger.enrollment.enroll(enrollRequest(text, host));
  });

  it("THR-E7 refuses a key that is certified already, without using the token up", async () => {
    const first = await joinNode(world, "relay-1");
    const { text } = await token();
    const again = await refusalOf(world.stranger.enrollment.enroll(enrollRequest(text, first.host)));
    expect(again).toMatchObject({ reason: "invalid_argument", detail: "KEY_IN_USE" });
    await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost()));
  });

  it("gives the same token and key the same request, also when the token is used up, at once and at the same time", async () => {
    const { text } = await token();
    const host = await freshHost();
    const answers = await Promise.all([1, 2, 3].map(() => world.stranger.enrollment.enroll(enrollRequest(text, host))));
    const later = await world.stranger.enrollment.enroll(enrollRequest(text, host));
    expect(new Set([...answers, later].map((each) => each.requestId)).size).toBe(1);
    expect(later.keyFingerprint).toMatch(/^([0-9a-f]{4}-){4}[0-9a-f]{4}$/);
    const { requests } = await world.operator.requests.listRequests({ clusterId: world.clusterId });
    expect(requests).toHaveLength(1);
  });

  it("escapes what a terminal or browser would obey in facts", async () => {
    const { text } = await token();
    const facts = { "os\u202e": "linux\u001b[31m\u0000", name: "zero\u200bwidth" };
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost(), { facts }));
    const { request } = await world.operator.requests.getRequest({ clusterId: world.clusterId, requestId });
    expect(request?.facts).toEqual({ "os\\u{202e}": "linux\\u{1b}[31m\\u{0}", name: "zero\\u{200b}width" });
  });

  it("answers a poll only to the key of the request, within the clocks' tolerance, on the cluster's own door", async () => {
    const { text } = await token();
    const host = await freshHost();
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, host));
    const poll = world.stranger.enrollment.pollEnrollment;
    expect((await poll(signedPoll(requestId, host.keys))).state).toBe(RequestState.PENDING);
    const other = generateP256();
    const wrongKey = await refusalOf(poll(signedPoll(requestId, other)));
    const unknown = await refusalOf(poll(signedPoll("a".repeat(26), host.keys)));
    expect([wrongKey.detail, wrongKey.message]).toEqual([unknown.detail, unknown.message]);
    expect(await refusalOf(poll(signedPoll(requestId, host.keys, Date.now() - 3_600_000)))).toMatchObject({
      detail: "CLOCK_SKEW",
    });
    const made = await world.operator.clusters.createCluster({ slug: "other" });
    const elsewhere = world.replica.as(strangerOf(made.cluster?.id ?? ""));
    expect((await refusalOf(elsewhere.enrollment.pollEnrollment(signedPoll(requestId, host.keys)))).detail).toBe(
      "POLL_REFUSED",
    );
  });

  it("hands the identity out again when the answer to a poll was lost", async () => {
    const joined = await joinNode(world, "relay-1");
    const again = await world.stranger.enrollment.pollEnrollment(signedPoll(joined.requestId, joined.host.keys));
    expect(again.identity?.certificateDer).toEqual(joined.identity.certificateDer);
    const leaves = await world.sql.query("select status from certificate where subject_kind = 'node'");
    expect(leaves).toEqual([{ status: "current" }]);
  });

  it("tells a rejected host the reviewer's words, and an expired one that it is", async () => {
    const { text } = await token({ maxUses: 2 });
    const [first, second] = [await freshHost(), await freshHost()];
    const rejected = await world.stranger.enrollment.enroll(enrollRequest(text, first));
    const reason = "unknown host";
    await world.operator.requests.rejectRequest({ clusterId: world.clusterId, requestId: rejected.requestId, reason });
    const answer = await world.stranger.enrollment.pollEnrollment(signedPoll(rejected.requestId, first.keys));
    expect(answer).toMatchObject({ state: RequestState.REJECTED, reason });
    const late = await world.stranger.enrollment.enroll(enrollRequest(text, second, { nodeName: "late" }));
    await world.sql.query("update join_request set expires_at_ms = now_ms() - 1 where id = $1", [late.requestId]);
    const expired = await world.stranger.enrollment.pollEnrollment(signedPoll(late.requestId, second.keys));
    expect(expired.state).toBe(RequestState.EXPIRED);
  });

  describe("approval", () => {
    async function pending(capabilities = [NodeCapability.CAN_ACCEPT_NODE_INGRESS, NodeCapability.CAN_ROUTE_MESH]) {
      const { text } = await token();
      const host = await freshHost();
      const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, host, { capabilities }));
      const { request } = await world.operator.requests.getRequest({ clusterId: world.clusterId, requestId });
      if (request === undefined) throw new Error("no request");
      const { keyHash: seen, addresses, requestedRoles: roles } = request;
      return {
        host,
        requestId,
        order: { clusterId: world.clusterId, requestId, keyHash: seen, addresses, roles, name: "edge-1" },
      };
    }

    it("REVIEW-19 fails when key or addresses are not those shown", async () => {
      const { order, requestId } = await pending();
      const approve = world.operator.requests.approveRequest;
      const otherKey = { ...order, keyHash: new Uint8Array(32) };
      expect(await refusalOf(approve(otherKey))).toMatchObject({ detail: "REQUEST_CHANGED" });
      await world.sql.query(`update join_request set addresses = '[{"host":"10.9.9.9","port":4433}]' where id = $1`, [
        requestId,
      ]);
      expect(await refusalOf(approve(order))).toMatchObject({
        detail: "REQUEST_CHANGED",
        metadata: { fields: "addresses" },
      });
      expect(await world.sql.query("select 1 from node")).toEqual([]);
      expect(await world.sql.query("select 1 from audit where result = 'refused:REQUEST_CHANGED'")).toHaveLength(2);
    });

    it("REVIEW-19 fails when the stored CSR was exchanged behind the shown key hash", async () => {
      const { order, requestId } = await pending();
      const attacker = await freshHost();
      await world.sql.query("update join_request set csr = $2 where id = $1", [requestId, attacker.csr]);
      expect(await refusalOf(world.operator.requests.approveRequest(order))).toMatchObject({
        detail: "REQUEST_CHANGED",
      });
    });

    it("M-A5 refuses a role the host does not report the capability for", async () => {
      const { order } = await pending();
      const roles = [{ role: NodeRole.EGRESS }];
      const refusal = await refusalOf(world.operator.requests.approveRequest({ ...order, roles }));
      expect(refusal).toMatchObject({ reason: "failed_precondition", detail: "CAPABILITY_MISSING" });
    });

    it("refuses a taken or reserved name and an unknown organization, and changes nothing", async () => {
      await joinNode(world, "edge-1");
      const { order } = await pending();
      expect(await refusalOf(world.operator.requests.approveRequest(order))).toMatchObject({
        detail: "NODE_NAME_TAKEN",
      });
      expect((await refusalOf(world.operator.requests.approveRequest({ ...order, name: "control" }))).reason).toBe(
        "invalid_argument",
      );
      const roles = [{ role: NodeRole.RELAY, organizationId: "org-none" }];
      expect((await refusalOf(world.operator.requests.approveRequest({ ...order, roles, name: "b" }))).reason).toBe(
        "not_found",
      );
      await world.operator.requests.approveRequest({ ...order, name: "edge-2" });
    });

    it("THR-E10 approve, approve and reject at the same time have one outcome and one serial", async () => {
      const { order, requestId } = await pending();
      const outcomes = await Promise.allSettled([
        world.operator.requests.approveRequest(order),
        world.operator.requests.approveRequest(order),
        world.operator.requests.rejectRequest({ clusterId: world.clusterId, requestId, reason: "no" }),
      ]);
      expect(outcomes.filter((each) => each.status === "fulfilled")).toHaveLength(1);
      for (const each of outcomes)
        if (each.status === "rejected") expect(each.reason).toMatchObject({ detail: "REQUEST_DECIDED" });
      const [row] = await world.sql.query<{ state: string }>("select state from join_request");
      const serials = await world.sql.query("select serial from certificate where subject_kind = 'node'");
      expect(serials).toHaveLength(row?.state === "approved" ? 1 : 0);
    });

    it("LAW-C1 is not found from another cluster", async () => {
      const { order } = await pending();
      const made = await world.operator.clusters.createCluster({ slug: "other" });
      const elsewhere = { ...order, clusterId: made.cluster?.id ?? "" };
      expect((await refusalOf(world.operator.requests.approveRequest(elsewhere))).reason).toBe("not_found");
    });
  });

  it("LAW-I2 THR-E2 keeps no raw token anywhere: no table, no audit record, no certificate", async () => {
    const { text } = await token();
    const secret = Buffer.from(parseJoinToken(text)?.secret ?? []);
    expect(secret).toHaveLength(32);
    await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost()));
    await refusalOf(world.stranger.enrollment.enroll(enrollRequest(text, await freshHost())));
    const tables = await world.sql.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public'",
    );
    let dump = "";
    for (const { name } of tables) {
      const rows = await world.sql.query<{ row: string }>(`select to_jsonb(t)::text as row from "${name}" t`);
      dump += rows.map((each) => each.row).join("\n");
    }
    expect(dump).toContain("tk-");
    for (const form of [
      secret.toString("base64url"),
      secret.toString("base64").replace(/=$/, ""),
      secret.toString("hex"),
      secret.toString("latin1"),
      text,
    ]) {
      expect(dump.includes(form)).toBe(false);
    }
    // bytea columns show as hex: the hash is there, the secret is not.
    expect(dump.toLowerCase().includes(secret.toString("hex"))).toBe(false);
  });

  it("LAW-I1 keeps no private key unencrypted", async () => {
    await joinNode(world, "relay-1");
    const rows = await world.sql.query<{ sealed: Uint8Array }>(
      "select sealed_key as sealed from authority union all select sealed_key from signing_key union all select sealed_key from installation",
    );
    expect(rows.length).toBeGreaterThanOrEqual(8);
    for (const { sealed } of rows) expect(Buffer.from(sealed).toString("latin1")).not.toContain("PRIVATE KEY");
  });

  it("knows a key by the hash of its SPKI", async () => {
    const joined = await joinNode(world, "relay-1");
    const facts = readCertificate(joined.identity.certificateDer);
    if (typeof facts === "string") throw new Error(facts);
    const spki = createPublicKey(joined.host.keys.privateKey).export({ type: "spki", format: "der" });
    expect(facts.keyHash).toBe(keyHash(spki));
  });

  it("recovers nobody whose leaf is still valid, and lets no stranger recover anybody", async () => {
    const joined = await joinNode(world, "relay-1");
    const issuedAtMs = Date.now();
    const signed = (keys: typeof joined.host.keys, csr: Uint8Array) => ({
      expiredCertificateDer: joined.identity.certificateDer,
      csr,
      issuedAtMs: BigInt(issuedAtMs),
      signature: signEs256(
        keys.privateKey,
        Buffer.concat([Buffer.from("weft/recover/v1\0"), csr, Buffer.from(String(issuedAtMs))]),
      ),
    });
    const own = await refusalOf(world.stranger.enrollment.recover(signed(joined.host.keys, joined.host.csr)));
    const thief = await freshHost();
    const stolen = await refusalOf(world.stranger.enrollment.recover(signed(thief.keys, thief.csr)));
    expect([own.detail, own.message]).toEqual([stolen.detail, stolen.message]);
    expect(own.detail).toBe("RECOVER_REFUSED");
  });
});
