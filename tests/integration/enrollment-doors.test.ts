/** From token to renewed node through control's own ports: TLS, HTTP/2, policy and judge included. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { rootsOf, verifyTrustBundle } from "../../certs/bundle.ts";
import { makeCsr } from "../../certs/csr.ts";
import { parseJoinToken } from "../../certs/join-token.ts";
import { generateP256, type KeyPair, privateKeyPem, signEs256 } from "../../certs/keys.ts";
import { leafOfKind } from "../../certs/material.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { joinServerName } from "../../fabric/server-names.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { EnrollmentService, type IssuedIdentity, RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { TrustBundle } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import { joinTransport } from "../../rpc/join-transport.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";

let control: TestControl;
const opened: { close(): void }[] = [];
beforeAll(async () => {
  control = await startTestControl();
});
afterAll(async () => {
  for (const each of opened) each.close();
  await control[Symbol.asyncDispose]();
});

function door(tls: Parameters<typeof joinTransport>[0]["tls"]) {
  const transport = joinTransport({ address: control.running.publicAddress, tls });
  opened.push(transport);
  return rpcClient(EnrollmentService, transport);
}

const controlExpected = (bundle: TrustBundle) => ({
  kind: "control" as const,
  trustDomain: bundle.trustDomain,
  clusterId: bundle.clusterId,
  roots: rootsOf(bundle, "control"),
  nowMs: () => Date.now(),
});

/** What a new host does: pin by the token, verify, and only then say who it is. */
async function joinDoor(text: string) {
  const token = parseJoinToken(text);
  const serverName = joinServerName(token?.clusterSlug ?? "");
  const first = await door(tlsOptions("first-contact", { serverName })).getTrustBundle({});
  const pinned = token?.installationKeyHash ?? "";
  const bundle = verifyTrustBundle(
    { bytes: first.bundle, signature: first.signature },
    first.installationPublicKey,
    pinned,
  );
  return { bundle, join: door(tlsOptions("dial-join", { serverName, expect: controlExpected(bundle) })) };
}

/** The node door, as that node. */
function nodeDoor(keys: KeyPair, identity: IssuedIdentity, bundle: TrustBundle) {
  const leaf = leafOfKind("node", privateKeyPem(keys.privateKey), identity.certificateDer);
  const expect_ = controlExpected(bundle);
  return door(tlsOptions("dial-control", { identity: leaf, serverName: identity.controlName, expect: expect_ }));
}

it("M-A2 M-A3 M-A4 a host joins, renews, loses its old leaf to the new one, and everything once it is revoked", async () => {
  const transport = control.operator();
  const clusterId = control.outcome.cluster.id;
  const requests = rpcClient(RequestService, transport);
  const { text } = await rpcClient(TokenService, transport).createToken({ clusterId, roles: [NodeRole.RELAY] });
  const { bundle, join } = await joinDoor(text);
  const keys = generateP256();
  const wish = {
    token: text,
    csr: await makeCsr(keys),
    nodeName: "relay-1",
    capabilities: [NodeCapability.CAN_ACCEPT_NODE_INGRESS, NodeCapability.CAN_ROUTE_MESH],
    requestedRoles: [{ role: NodeRole.RELAY }],
    addresses: [{ host: "127.0.0.1", port: 4433 }],
  };
  const { requestId, keyFingerprint } = await join.enroll(wish);
  const { request } = await requests.getRequest({ clusterId, requestId });
  expect(request?.keyFingerprint).toBe(keyFingerprint);
  const issuedAtMs = BigInt(Date.now());
  const signature = signEs256(keys.privateKey, Buffer.from(`weft/poll/v1\0${requestId}\0${issuedAtMs}`));
  expect((await join.pollEnrollment({ requestId, issuedAtMs, signature })).state).toBe(RequestState.PENDING);
  const { keyHash = new Uint8Array(), addresses = [], requestedRoles: roles = [] } = request ?? {};
  await requests.approveRequest({ clusterId, requestId, keyHash, addresses, roles, name: "relay-1" });
  const { identity } = await join.pollEnrollment({ requestId, issuedAtMs, signature });
  if (identity === undefined) throw new Error("no identity");

  const old = nodeDoor(keys, identity, bundle);
  const nextKeys = generateP256();
  const renewed = await old.renew({ csr: await makeCsr(nextKeys) });
  if (renewed.identity === undefined) throw new Error("no identity");
  const fresh = nodeDoor(nextKeys, renewed.identity, bundle);
  await fresh.renew({ csr: await makeCsr(nextKeys) });
  // LAW-I4: the new leaf has been used; the old one is refused, also on the connection that was open.
  await expect(old.renew({ csr: await makeCsr(keys) })).rejects.toMatchObject({ name: "WeftError" });

  await rpcClient(NodeAdminService, transport).revokeNode({ clusterId, nodeId: identity.nodeId, reason: "stolen" });
  await expect(fresh.renew({ csr: await makeCsr(nextKeys) })).rejects.toMatchObject({ name: "WeftError" });
  await expect(nodeDoor(nextKeys, renewed.identity, bundle).renew({ csr: new Uint8Array() })).rejects.toBeInstanceOf(
    Error,
  );
  await expect(join.enroll(wish)).resolves.toMatchObject({ requestId });
  await expect(join.enroll({ ...wish, csr: await makeCsr(generateP256()) })).rejects.toMatchObject({
    reason: "permission_denied",
    detail: "JOIN_TOKEN_REFUSED",
  });

  const { records } = await rpcClient(AuditService, transport).listAudit({ limit: 500 });
  expect(records.map(({ action }) => action)).toEqual(
    expect.arrayContaining([
      "token.created",
      "request.received",
      "request.approved",
      "certificate.issued",
      "certificate.rotated",
      "node.revoked",
    ]),
  );
  const secret = Buffer.from(parseJoinToken(text)?.secret ?? []);
  const log = JSON.stringify(records, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  for (const form of [secret.toString("hex"), secret.toString("base64url")]) expect(log.includes(form)).toBe(false);
});
