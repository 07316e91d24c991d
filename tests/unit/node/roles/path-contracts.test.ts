/** What an entry lets a client that is an edge have paths for, where the resource needs a lease. */

import { create } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { generateP256 } from "../../../../certs/keys.ts";
import { encodeContract, signContract } from "../../../../fabric/contract.ts";
import { signAsk } from "../../../../fabric/path/ask.ts";
import { OpenClientPathRequestSchema } from "../../../../gen/weft/access/v1/access_pb.ts";
import { type LeaseContract, LeaseContractSchema, LeaseKind } from "../../../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, ServiceClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import type { PathOpener } from "../../../../node/paths.ts";
import { pathService } from "../../../../node/roles/path-service.ts";
import type { Routes } from "../../../../node/roles/routes.ts";
import { type Caller, kCaller } from "../../../../rpc/caller.ts";
import { offlineJudge } from "../../../harness/offline-judge.ts";
import { clusterId, deskOf, nowMs, selfId, signer, snapshotWith, testPorts } from "../stage.ts";

const noEnrollment = { renewClient: () => Promise.reject(new Error("nobody renews here")) };

const keys = generateP256();
const caller: Caller = {
  ...{ kind: "client", id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-1" }, clusterId },
  ...{ spiffe: "spiffe://weft.test/client/ct-1", spkiDer: keys.spkiDer, sourceAddress: "192.0.2.7" },
  ...{ arrivedBy: "client-name", organizationId: "org-1" },
};
const signing = signer("contract", clusterId);

type Fields = Partial<Omit<LeaseContract, "$typeName" | "$unknown">>;

function contract(over: Fields = {}): Uint8Array {
  const lease = create(LeaseContractSchema, {
    ...{ clusterId, leaseId: "sl-1", kind: LeaseKind.SERVICE_CHANNEL, resourceId: "rs-1", organizationId: "org-1" },
    ...{ clientId: "ct-1", serviceClass: ServiceClass.WEB, entryNodeId: selfId, flowIsolationId: "flow-1" },
    ...{ fence: { epoch: 1n, counter: 1n }, issuedAtMs: BigInt(nowMs), notAfterMs: BigInt(nowMs + 60_000) },
    ...over,
  });
  return encodeContract(signContract(signing, lease));
}

/** The detail of what a request for a path comes to; NO_PATH: it was allowed, and there is none here. */
async function asked(shown: Uint8Array | undefined, endedLeaseIds: string[] = []) {
  const ports = testPorts(snapshotWith({ endedLeaseIds }));
  const resource = {
    ...{ resourceId: "rs-1", name: "web", organizationId: "org-1", poolId: "pl-1", serviceClass: ServiceClass.WEB },
    ...{ defaultClass: ChannelClass.BULK, requiresLease: true },
  };
  const routes = { resource: () => resource, egresses: () => [] } as unknown as Routes;
  const none = () => ({}) as PathOpener;
  const offline = offlineJudge();
  const service = pathService({
    ports,
    routes,
    paths: none,
    offline,
    contracts: deskOf(ports),
    installationSpki: new Uint8Array(),
    enrollment: noEnrollment,
  });
  const { ask, signature } = signAsk(keys.privateKey, {
    ...{ clusterId, clientId: "ct-1", resource: "web", trunkId: new Uint8Array(16).fill(3) },
    ...{ nonce: new Uint8Array(16), issuedAtMs: BigInt(nowMs), expiresAtMs: BigInt(nowMs + 5_000) },
  });
  const fields = { ask, askSignature: signature, ...(shown === undefined ? {} : { contract: shown }) };
  const context = { values: createContextValues().set(kCaller, caller), signal: new AbortController().signal };
  const answers = service.openClientPath(
    create(OpenClientPathRequestSchema, fields),
    context as unknown as HandlerContext,
  ) as AsyncIterable<unknown>;
  const detail = await answers[Symbol.asyncIterator]()
    .next()
    .then(
      () => "opened",
      (thrown: unknown) => (thrown as { detail?: string }).detail,
    );
  return { detail, told: ports.seen.map(({ kind, facts }) => `${kind} ${facts["stage"]} ${facts["reason"]}`) };
}

describe("M-A24 a path to a resource that needs a lease", () => {
  it("is for the client and over the entry of the contract, of whichever flow", async () => {
    expect(await asked(contract())).toEqual({ detail: "NO_PATH", told: [] });
  });

  it.each<[string, Uint8Array | undefined, string]>([
    ["no contract", undefined, "CONTRACT_MISSING"],
    ["another entry's", contract({ entryNodeId: "nd-other" }), "CONTRACT_ENTRY"],
    ["another client's", contract({ clientId: "ct-2" }), "CONTRACT_CLIENT"],
    ["another resource's", contract({ resourceId: "rs-2" }), "CONTRACT_RESOURCE"],
    ["one that has run out", contract({ issuedAtMs: 1n, notAfterMs: BigInt(nowMs) }), "CONTRACT_EXPIRED"],
    ["one that ended", contract({ leaseId: "sl-ended" }), "CONTRACT_ENDED"],
  ])("is refused for %s; operators are told why", async (_what, shown, reason) => {
    expect(await asked(shown, ["sl-ended"])).toEqual({
      detail: "NOT_ALLOWED",
      told: [`contract_refused path ${reason}`],
    });
  });
});
