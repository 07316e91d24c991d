/** Contracts: signed by control, verified as received, judged field by field. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import { signDomain } from "../../../certs/signed.ts";
import {
  CONTRACT_DOMAIN,
  type ContractQuestion,
  type ContractRefusal,
  contractRefusals,
  encodeContract,
  judgeCarried,
  judgeContract,
  signContract,
  verifyContract,
} from "../../../fabric/contract.ts";
import {
  type LeaseContract,
  LeaseContractSchema,
  LeaseKind,
  type SignedContract,
  SignedContractSchema,
} from "../../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, ServiceClass } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { runs } from "../../harness/counts.ts";
import { detailOf, installation, nowMs, signer } from "./snapshot/stage.ts";

const signing = signer("contract");
const expecting = { installationSpki: installation.spkiDer, clusterId: "cl-a", nowMs };

type Fields = Partial<Omit<LeaseContract, "$typeName" | "$unknown">>;

function contractOf(over: Fields = {}): LeaseContract {
  return create(LeaseContractSchema, {
    clusterId: "cl-a",
    leaseId: "sl-1",
    name: "night-shift",
    kind: LeaseKind.SERVICE_CHANNEL,
    resourceId: "rs-db",
    organizationId: "or-a",
    clientId: "cn-laptop",
    serviceClass: ServiceClass.DATABASE,
    channelClass: ChannelClass.BULK,
    entryNodeId: "nd-entry",
    route: { poolId: "pl-a" },
    flowIsolationId: "flow-7",
    fence: { epoch: 1n, counter: 4n },
    issuedAtMs: BigInt(nowMs - 1_000),
    notAfterMs: BigInt(nowMs + 60_000),
    ...over,
  });
}

const exclusive: Fields = {
  kind: LeaseKind.EXCLUSIVE,
  clientId: "",
  holderNodeId: "nd-entry",
  holderBootId: "boot-1",
};

const question: ContractQuestion = {
  needs: LeaseKind.SERVICE_CHANNEL,
  resourceId: "rs-db",
  organizationId: "or-a",
  poolId: "pl-a",
  serviceClass: ServiceClass.DATABASE,
  channelClass: ChannelClass.BULK,
  clientId: "cn-laptop",
  entryNodeId: "nd-entry",
  flowIsolationId: "flow-7",
  endedLeaseIds: ["sl-0"],
};

/** Signs what `signContract` would not. */
function forged(over: Fields, by = signing): Uint8Array {
  const bytes = toBinary(LeaseContractSchema, contractOf(over));
  return encodeContract(
    create(SignedContractSchema, {
      contract: bytes,
      keyId: by.keyId,
      signature: signDomain(by.privateKey, CONTRACT_DOMAIN, bytes),
      signingKey: by.statement,
    }),
  );
}

const signed = (over: Fields = {}): Uint8Array => encodeContract(signContract(signing, contractOf(over)));

function refusalOf(bytes: Uint8Array, expect = expecting): ContractRefusal | "ok" {
  const verdict = verifyContract(bytes, expect);
  return verdict.ok ? "ok" : verdict.refusal;
}

function altered(change: (message: SignedContract) => void): Uint8Array {
  const message = fromBinary(SignedContractSchema, signed());
  change(message);
  return encodeContract(message);
}

/** Every refusal, and a contract or channel that earns it. */
const table: Record<ContractRefusal, () => ContractRefusal | "ok" | undefined> = {
  CONTRACT_SIZE: () => refusalOf(new Uint8Array(limits.contractMaxBytes + 1)),
  CONTRACT_MALFORMED: () => refusalOf(Buffer.from([0x0a, 0x7f])),
  CONTRACT_UNSIGNED: () => refusalOf(altered((message) => void delete message.signingKey)),
  CONTRACT_STATEMENT: () => refusalOf(forged({}, signer("contract", "cl-a", createInstallationKey()))),
  CONTRACT_SIGNATURE: () => refusalOf(altered((message) => void message.contract.set([0x63], 3))),
  CONTRACT_CLUSTER: () => refusalOf(forged({ clusterId: "cl-b" })),
  CONTRACT_KIND: () => refusalOf(forged({ kind: LeaseKind.UNSPECIFIED })),
  CONTRACT_IDS: () => refusalOf(forged({ leaseId: "" })),
  CONTRACT_FENCE: () => refusalOf(forged({ fence: undefined as never })),
  CONTRACT_DATES: () => refusalOf(forged({ notAfterMs: BigInt(nowMs - 1_000) })),
  CONTRACT_EARLY: () =>
    refusalOf(
      forged({
        issuedAtMs: BigInt(nowMs + limits.signedSkewMaxMs + 1),
        notAfterMs: BigInt(nowMs + limits.signedSkewMaxMs + 2),
      }),
    ),
  CONTRACT_EXPIRED: () => refusalOf(signed(), { ...expecting, nowMs: nowMs + 60_000 }),
  CONTRACT_MISSING: () => carried(undefined, { flowIsolationId: "" }),
  CONTRACT_OTHER_KIND: () => judgeContract(contractOf(exclusive), question),
  CONTRACT_RESOURCE: () => judgeContract(contractOf({ resourceId: "rs-other" }), question),
  CONTRACT_ORGANIZATION: () => judgeContract(contractOf({ organizationId: "or-b" }), question),
  CONTRACT_CLIENT: () => judgeContract(contractOf({ clientId: "cn-other" }), question),
  CONTRACT_ENTRY: () => judgeContract(contractOf({ entryNodeId: "nd-other" }), question),
  CONTRACT_SERVICE_CLASS: () => judgeContract(contractOf({ serviceClass: ServiceClass.WEB }), question),
  CONTRACT_CHANNEL_CLASS: () => judgeContract(contractOf({ channelClass: ChannelClass.INTERACTIVE }), question),
  CONTRACT_ROUTE: () =>
    judgeContract(contractOf({ route: { $typeName: "weft.fabric.v1.LeaseRoute", poolId: "pl-b" } }), question),
  CONTRACT_FLOW: () => judgeContract(contractOf({ flowIsolationId: "" }), question),
  CONTRACT_ENDED: () => judgeContract(contractOf({ leaseId: "sl-0" }), question),
};

function carried(
  bytes: Uint8Array | undefined,
  over: Partial<ContractQuestion> = {},
): ContractRefusal | "ok" | undefined {
  const verdict = judgeCarried(bytes, { ...question, ...over }, () => expecting);
  return verdict === undefined ? undefined : verdict.ok ? "ok" : verdict.refusal;
}

describe("a contract", () => {
  it("is taken as control signed it, and covers the channel it was made for", () => {
    const verdict = verifyContract(signed(), expecting);
    expect(verdict).toMatchObject({ ok: true, notAfterMs: nowMs + 60_000, contract: { leaseId: "sl-1" } });
    expect(carried(signed())).toBe("ok");
    expect(signed().length).toBeLessThan(limits.contractMaxBytes / 2);
  });

  it.each(contractRefusals)("M-A24 is refused with %s", (refusal) => {
    expect(table[refusal]()).toBe(refusal);
  });

  it("M-A24 is refused after any one bit of it was changed", () => {
    const bytes = signed();
    const taken = (at: number, bit: number): boolean => {
      const copy = new Uint8Array(bytes);
      copy[at] = (copy[at] ?? 0) ^ (1 << bit);
      const verdict = verifyContract(copy, expecting);
      return verdict.ok;
    };
    for (let at = 0; at < bytes.length; at += 1)
      for (let bit = 0; bit < 8; bit += 1) if (taken(at, bit)) throw new Error(`byte ${at}, bit ${bit}`);
  });

  it("says nothing for another cluster, under another use of the key, or of another installation", () => {
    expect(refusalOf(signed(), { ...expecting, clusterId: "cl-b" })).toBe("CONTRACT_STATEMENT");
    expect(refusalOf(forged({}, signer("snapshot")))).toBe("CONTRACT_STATEMENT");
    expect(refusalOf(forged({}, signer("feed")))).toBe("CONTRACT_STATEMENT");
    expect(refusalOf(forged({ clusterId: "cl-b" }, signer("contract", "cl-b")))).toBe("CONTRACT_STATEMENT");
    const other = createInstallationKey();
    expect(refusalOf(signed(), { ...expecting, installationSpki: other.spkiDer })).toBe("CONTRACT_STATEMENT");
    expect(refusalOf(forged({}, { ...signing, keyId: "0".repeat(64) }))).toBe("CONTRACT_SIGNATURE");
  });

  it("is refused with a field of a later version, inside or outside, or with a field twice", () => {
    const bytes = Buffer.concat([toBinary(LeaseContractSchema, contractOf()), Buffer.from([0xfa, 0x07, 0x01, 0x01])]);
    const message = create(SignedContractSchema, {
      contract: bytes,
      keyId: signing.keyId,
      signature: signDomain(signing.privateKey, CONTRACT_DOMAIN, bytes),
      signingKey: signing.statement,
    });
    expect(refusalOf(encodeContract(message))).toBe("CONTRACT_MALFORMED");
    const twice = Buffer.concat([signed(), Buffer.from([0x0a, 0x01, 0x00])]);
    expect(refusalOf(twice)).toBe("CONTRACT_MALFORMED");
    expect(refusalOf(Buffer.concat([signed(), Buffer.from([0x7a, 0x01, 0x01])]))).toBe("CONTRACT_MALFORMED");
  });

  it("ends at its date and not a moment later, and begins at most a clock's error early", () => {
    const at = (atMs: number) => refusalOf(signed(), { ...expecting, nowMs: atMs });
    expect([at(nowMs + 59_999), at(nowMs + 60_000)]).toEqual(["ok", "CONTRACT_EXPIRED"]);
    const early = signed({ issuedAtMs: BigInt(nowMs + limits.signedSkewMaxMs), notAfterMs: BigInt(nowMs + 900_000) });
    expect(refusalOf(early)).toBe("ok");
  });

  it.each<[string, Fields]>([
    ["an exclusive one with a client", { ...exclusive, clientId: "cn-laptop" }],
    ["an exclusive one whose holder is not the entry", { ...exclusive, holderNodeId: "nd-other" }],
    ["a service channel with a holder", { holderNodeId: "nd-entry" }],
    ["a service channel with a boot", { holderBootId: "boot-1" }],
    ["no cluster", { clusterId: "" }],
    ["no resource", { resourceId: "" }],
    ["no organization", { organizationId: "" }],
    ["no entry", { entryNodeId: "" }],
    ["a client that is no id", { clientId: "Not An Id" }],
    ["a flow that is no id", { flowIsolationId: "a/b" }],
  ])("control signs none that no hop would take: %s", (_name, over) => {
    expect(detailOf(() => signContract(signing, contractOf(over)))).toBe("CONTRACT_IDS");
    if (over.clusterId !== "") expect(refusalOf(forged(over))).toBe("CONTRACT_IDS");
  });

  it("control signs none that is too long to carry", () => {
    expect(detailOf(() => signContract(signing, contractOf({ name: "n".repeat(2_000) })))).toBe("CONTRACT_SIZE");
  });
});

describe("what a contract leaves open", () => {
  it("is the client it does not name, the class it does not say, the pool it has no route to", () => {
    expect(judgeContract(contractOf({ clientId: "" }), { ...question, clientId: "cn-anyone" })).toBeUndefined();
    expect(judgeContract(contractOf({ clientId: "" }), { ...question, clientId: "" })).toBe("CONTRACT_CLIENT");
    const anyClass = contractOf({ channelClass: ChannelClass.UNSPECIFIED });
    expect(judgeContract(anyClass, { ...question, channelClass: ChannelClass.INTERACTIVE })).toBeUndefined();
    const { route: _route, ...unrouted } = contractOf();
    expect(judgeContract(unrouted, { ...question, poolId: "pl-b" })).toBeUndefined();
  });

  it("an exclusive one is for whoever comes by its holder", () => {
    const holds = { ...question, needs: LeaseKind.EXCLUSIVE, clientId: "" };
    expect(judgeContract(contractOf(exclusive), holds)).toBeUndefined();
    expect(judgeContract(contractOf(exclusive), { ...holds, clientId: "cn-laptop" })).toBeUndefined();
    expect(judgeContract(contractOf(exclusive), { ...holds, entryNodeId: "nd-other" })).toBe("CONTRACT_ENTRY");
    expect(judgeContract(contractOf(), { ...holds, clientId: "cn-laptop" })).toBe("CONTRACT_OTHER_KIND");
  });

  it("a resource that needs none takes channels without, and refuses a wrong one all the same", () => {
    const free = { needs: LeaseKind.UNSPECIFIED, flowIsolationId: "" };
    expect(carried(undefined, free)).toBeUndefined();
    expect(carried(new Uint8Array(), free)).toBeUndefined();
    expect(carried(undefined, { ...free, flowIsolationId: "flow-7" })).toBe("CONTRACT_FLOW");
    expect(carried(signed(), { ...free, flowIsolationId: "flow-7", clientId: "cn-other" })).toBe("CONTRACT_CLIENT");
  });

  it("is its service class, to a hop that is not told the resource's because nothing is needed", () => {
    const untold = { ...question, serviceClass: ServiceClass.UNSPECIFIED };
    expect(judgeContract(contractOf(), { ...untold, needs: LeaseKind.UNSPECIFIED })).toBeUndefined();
    expect(judgeContract(contractOf(), untold)).toBe("CONTRACT_SERVICE_CLASS");
  });

  it("M-A24 nothing else: any channel that differs in one field is refused", () => {
    const other = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    const field = fc.constantFrom(
      ...(Object.keys(question) as (keyof ContractQuestion)[]).filter(
        (key) => key !== "needs" && key !== "endedLeaseIds",
      ),
    );
    fc.assert(
      fc.property(field, other, fc.integer({ min: 1, max: 3 }), (key, text, number) => {
        const value = typeof question[key] === "string" ? text : number;
        const verdict = judgeContract(contractOf(), { ...question, [key]: value });
        expect(verdict === undefined).toBe(value === question[key]);
      }),
      { numRuns: runs(300, 20_000) },
    );
  });

  it("is total on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(verifyContract(bytes, expecting).ok).toBe(false);
      }),
      { numRuns: runs(500, 50_000) },
    );
  });
});
