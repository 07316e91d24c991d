import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { encodeContract, signContract } from "../../../../fabric/contract.ts";
import type { ChannelOpen, ChannelOrigin } from "../../../../fabric/trunk/messages.ts";
import { ChannelEnd } from "../../../../gen/weft/channel/v1/channel_pb.ts";
import { LeaseContractSchema, LeaseKind } from "../../../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, NodeRole, OriginAssurance, ServiceClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { admitChannel, type ChannelQuestion, type FarPeer } from "../../../../node/roles/admit-channel.ts";
import { installation, nowMs, signer } from "../../fabric/snapshot/stage.ts";

const { BULK, INTERACTIVE, DROPPABLE, UNSPECIFIED } = ChannelClass;
const target = { defaultClass: INTERACTIVE, allowedClasses: [BULK], port: 80, poolId: "pl-1", organizationId: "org-1" };

/** An egress of two organizations with two entries; each entry has one listener, each organization one client. */
const fields = {
  self: {
    roles: [
      { role: NodeRole.EGRESS, organizationId: "org-1" },
      { role: NodeRole.EGRESS, organizationId: "org-2" },
    ],
  },
  members: [
    { nodeId: "nd-e1", roles: [{ role: NodeRole.ENTRY, organizationId: "org-1" }] },
    { nodeId: "nd-e2", roles: [{ role: NodeRole.ENTRY, organizationId: "" }] },
    { nodeId: "nd-relay", roles: [{ role: NodeRole.RELAY, organizationId: "" }] },
  ],
  resourceTargets: [
    { ...target, name: "web", host: "web.internal" },
    { ...target, name: "sure", minimumAssurance: OriginAssurance.ENTRY_ASSERTED },
    { ...target, name: "surest", minimumAssurance: OriginAssurance.PROVED },
    { ...target, name: "elsewhere", poolId: "pl-3" },
    { ...target, name: "web", organizationId: "org-2", poolId: "pl-2", host: "other.internal" },
    { ...target, name: "secret", organizationId: "org-2", poolId: "pl-2" },
  ],
  pools: [
    { poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["nd-self"] },
    { poolId: "pl-2", organizationId: "org-2", egressNodeIds: ["nd-self"] },
    { poolId: "pl-3", organizationId: "org-1", egressNodeIds: ["nd-other"] },
  ],
  listenerGrants: [
    { listenerId: "ls-1", entryNodeId: "nd-e1", organizationId: "org-1", resourceName: "web" },
    { listenerId: "ls-2", entryNodeId: "nd-e2", organizationId: "org-1", resourceName: "web" },
    { listenerId: "ls-3", entryNodeId: "nd-e1", organizationId: "org-2", resourceName: "web" },
  ],
  clients: [
    { clientId: "ct-1", organizationId: "org-1" },
    { clientId: "ct-2", organizationId: "org-2" },
  ],
};

const shown = (over: object = {}): Snapshot => create(SnapshotSchema, { ...fields, ...over });
const entry: FarPeer = { kind: "entry", nodeId: "nd-e1" };
const client: FarPeer = { kind: "client", clientId: "ct-1" };

const anonymous: ChannelOrigin = {
  assurance: OriginAssurance.ANONYMOUS,
  clientId: "",
  organizationId: "org-1",
  entryNodeId: "nd-e1",
  listenerId: "ls-1",
  sourceAddress: "127.0.0.1:1",
};
const asserted: ChannelOrigin = {
  ...anonymous,
  assurance: OriginAssurance.ENTRY_ASSERTED,
  clientId: "ct-1",
  listenerId: "",
};
const proved: ChannelOrigin = { ...asserted, assurance: OriginAssurance.PROVED, entryNodeId: "" };

interface Case extends Partial<Omit<ChannelQuestion, "open">> {
  readonly open?: Partial<ChannelOpen>;
}

const trusting =
  (clusterId: string, atMs = nowMs) =>
  () => ({ installationSpki: installation.spkiDer, clusterId, nowMs: atMs });

function ask({ open = {}, ...over }: Case) {
  return admitChannel({
    open: { resource: "web", class: UNSPECIFIED, origin: anonymous, correlationId: "x", ...open },
    snapshot: shown(),
    selfNodeId: "nd-self",
    peer: entry,
    organizationId: "org-1",
    draining: false,
    mayOpen: () => true,
    entryNodeId: "nd-e1",
    trust: trusting("cl-a"),
    ...over,
  });
}

const allowed: Record<string, Case> = {
  "an anonymous connection of the entry's own listener": {},
  "a client the entry asserts": { open: { origin: asserted } },
  "a client that speaks for itself": { peer: client, open: { origin: proved } },
  "an asserted client where assertion is enough": { open: { resource: "sure", origin: asserted } },
  "a proved client where proof is demanded": { peer: client, open: { resource: "surest", origin: proved } },
  "an entry for every organization": {
    peer: { kind: "entry", nodeId: "nd-e2" },
    open: { origin: { ...anonymous, entryNodeId: "nd-e2", listenerId: "ls-2" } },
  },
};

describe("the egress admits", () => {
  it.each(Object.entries(allowed))("%s", (_what, question) => {
    expect(ask(question)).toMatchObject({ ok: true, class: INTERACTIVE, target: { organizationId: "org-1" } });
  });

  it("the organization's own resource, when two have one of the same name", () => {
    expect(ask({})).toMatchObject({ target: { host: "web.internal" } });
  });
});

const NOT_ALLOWED = ChannelEnd.NOT_ALLOWED;
const UNKNOWN = ChannelEnd.UNKNOWN_RESOURCE;
const lies: Record<string, readonly [Case, ChannelEnd, string]> = {
  "no origin": [{ open: { origin: undefined } }, NOT_ALLOWED, "no origin"],
  "an origin of another organization": [
    { open: { origin: { ...anonymous, organizationId: "org-2" } } },
    NOT_ALLOWED,
    "origin of another organization",
  ],
  "another entry's listener": [
    { open: { origin: { ...anonymous, listenerId: "ls-2" } } },
    NOT_ALLOWED,
    "listener not granted",
  ],
  "another entry's listener under that entry's name": [
    { open: { origin: { ...anonymous, listenerId: "ls-2", entryNodeId: "nd-e2" } } },
    NOT_ALLOWED,
    "an entry speaks for itself only",
  ],
  "its own listener of another organization": [
    { open: { origin: { ...anonymous, listenerId: "ls-3" } } },
    NOT_ALLOWED,
    "listener not granted",
  ],
  "its own listener for another resource": [
    { open: { resource: "sure", origin: anonymous } },
    NOT_ALLOWED,
    "listener not granted",
  ],
  "no listener": [{ open: { origin: { ...anonymous, listenerId: "" } } }, NOT_ALLOWED, "listener not granted"],
  "a client nobody knows": [
    { open: { origin: { ...asserted, clientId: "ct-9" } } },
    NOT_ALLOWED,
    "asserted client not known",
  ],
  "a client of another organization": [
    { open: { origin: { ...asserted, clientId: "ct-2" } } },
    NOT_ALLOWED,
    "asserted client not known",
  ],
  "no client at all, asserted": [
    { open: { origin: { ...asserted, clientId: "" } } },
    NOT_ALLOWED,
    "asserted client not known",
  ],
  "PROVED from an entry": [
    { open: { origin: { ...proved, entryNodeId: "nd-e1" } } },
    NOT_ALLOWED,
    "an entry cannot prove a client",
  ],
  "an assurance nobody named": [
    { open: { origin: { ...anonymous, assurance: OriginAssurance.UNSPECIFIED } } },
    NOT_ALLOWED,
    "an entry cannot prove a client",
  ],
  "an assurance from a later version": [
    { open: { origin: { ...asserted, assurance: 9 as OriginAssurance } } },
    NOT_ALLOWED,
    "an entry cannot prove a client",
  ],
  "a client asserting another client": [
    { peer: client, open: { origin: { ...proved, clientId: "ct-2" } } },
    NOT_ALLOWED,
    "a client speaks for itself only",
  ],
  "a client that says an entry asserts it": [
    { peer: client, open: { origin: asserted } },
    NOT_ALLOWED,
    "a client speaks for itself only",
  ],
  "a client that calls itself anonymous": [
    { peer: client, open: { origin: anonymous } },
    NOT_ALLOWED,
    "a client speaks for itself only",
  ],
  "a client of another organization on this trunk": [
    { peer: { kind: "client", clientId: "ct-2" }, open: { origin: { ...proved, clientId: "ct-2" } } },
    NOT_ALLOWED,
    "client not known",
  ],
  "a client whose grant is gone": [
    { peer: client, snapshot: shown({ clients: [] }), open: { origin: proved } },
    NOT_ALLOWED,
    "client not known",
  ],
  "a relay that plays entry": [
    { peer: { kind: "entry", nodeId: "nd-relay" }, open: { origin: { ...anonymous, entryNodeId: "nd-relay" } } },
    NOT_ALLOWED,
    "not an entry of this organization",
  ],
  "a node nobody knows": [
    { peer: { kind: "entry", nodeId: "nd-x" }, open: { origin: { ...asserted, entryNodeId: "nd-x" } } },
    NOT_ALLOWED,
    "not an entry of this organization",
  ],
  "an entry of one organization on a trunk of another": [
    { organizationId: "org-2", open: { origin: { ...anonymous, organizationId: "org-2", listenerId: "ls-3" } } },
    NOT_ALLOWED,
    "not an entry of this organization",
  ],
  "an anonymous origin where assertion is demanded": [
    {
      open: { resource: "sure" },
      snapshot: shown({ listenerGrants: [{ ...fields.listenerGrants[0], resourceName: "sure" }] }),
    },
    NOT_ALLOWED,
    "the resource demands a surer origin",
  ],
  "an asserted client where proof is demanded": [
    { open: { resource: "surest", origin: asserted } },
    NOT_ALLOWED,
    "the resource demands a surer origin",
  ],
  "a class the resource does not allow": [{ open: { class: DROPPABLE } }, NOT_ALLOWED, "class not allowed"],
  "a class nobody knows": [{ open: { class: 9 as ChannelClass } }, NOT_ALLOWED, "class not allowed"],
  "a resource nobody knows": [{ open: { resource: "none" } }, UNKNOWN, "unknown resource"],
  "another organization's resource": [{ open: { resource: "secret", origin: asserted } }, UNKNOWN, "unknown resource"],
  "a resource of a pool this node is not in": [
    { open: { resource: "elsewhere", origin: asserted } },
    UNKNOWN,
    "not in the resource's pool",
  ],
  "a resource whose pool is gone": [{ snapshot: shown({ pools: [] }) }, UNKNOWN, "not in the resource's pool"],
  "anything while draining": [{ draining: true }, ChannelEnd.DRAINING, "draining"],
  "a resource whose offline policy stops new channels": [
    { mayOpen: () => false },
    ChannelEnd.OFFLINE,
    "offline policy stops new channels",
  ],
  "LAW-C3 what it does not know, offline as at any other time": [
    { mayOpen: () => false, open: { resource: "none" } },
    UNKNOWN,
    "unknown resource",
  ],
  "anything without the egress role": [
    { snapshot: shown({ self: { roles: [] } }) },
    NOT_ALLOWED,
    "no egress role for this organization",
  ],
  "anything with the egress role for another organization": [
    { snapshot: shown({ self: { roles: [{ role: NodeRole.EGRESS, organizationId: "org-2" }] } }) },
    NOT_ALLOWED,
    "no egress role for this organization",
  ],
  "anything by an empty snapshot": [
    { snapshot: create(SnapshotSchema) },
    NOT_ALLOWED,
    "no egress role for this organization",
  ],
};

describe("REVIEW-13 the egress refuses", () => {
  it.each(Object.entries(lies))("%s", (_what, [question, end, why]) => {
    expect(ask(question)).toEqual({ ok: false, end, why });
  });

  it("every single change of a good origin", () => {
    const changes: Partial<ChannelOrigin>[] = [
      { assurance: OriginAssurance.PROVED },
      { assurance: OriginAssurance.ENTRY_ASSERTED },
      { organizationId: "org-2" },
      { organizationId: "" },
      { entryNodeId: "nd-e2" },
      { entryNodeId: "" },
      { listenerId: "ls-2" },
      { listenerId: "ls-3" },
    ];
    expect(changes.filter((change) => ask({ open: { origin: { ...anonymous, ...change } } }).ok)).toEqual([]);
  });
});

describe("the class of a channel", () => {
  it.each([
    [UNSPECIFIED, INTERACTIVE],
    [INTERACTIVE, INTERACTIVE],
    [BULK, BULK],
  ])("asked as %s is %s", (wanted, given) => {
    expect(ask({ open: { class: wanted } })).toMatchObject({ ok: true, class: given });
  });
});

const signing = signer("contract", "cl-a");

/** A lease for the client at the entry, and the channel it is for. */
const lease = {
  clusterId: "cl-a",
  leaseId: "sl-1",
  kind: LeaseKind.SERVICE_CHANNEL,
  resourceId: "rs-1",
  organizationId: "org-1",
  clientId: "ct-1",
  serviceClass: ServiceClass.DATABASE,
  channelClass: INTERACTIVE,
  entryNodeId: "nd-e1",
  route: { poolId: "pl-1" },
  flowIsolationId: "flow-1",
  fence: { epoch: 1n, counter: 1n },
  issuedAtMs: BigInt(nowMs),
  notAfterMs: BigInt(nowMs + 60_000),
};
type LeaseFields = Partial<Record<keyof typeof lease, unknown>>;

function contract(over: LeaseFields = {}): Uint8Array {
  return encodeContract(signContract(signing, create(LeaseContractSchema, { ...lease, ...over } as typeof lease)));
}

const leased = {
  ...target,
  resourceId: "rs-1",
  name: "leased",
  serviceClass: ServiceClass.DATABASE,
  requiresLease: true,
};
const withLease = (over: object = {}): Snapshot =>
  shown({ resourceTargets: [leased, { ...leased, name: "free", resourceId: "rs-2", requiresLease: false }], ...over });
const carrying = (bytes: Uint8Array | undefined, over: Partial<ChannelOpen> = {}): Partial<ChannelOpen> => ({
  resource: "leased",
  origin: asserted,
  flowIsolationId: "flow-1",
  ...(bytes === undefined ? {} : { contract: bytes }),
  ...over,
});
const askLeased = ({ snapshot = withLease(), ...question }: Case) => ask({ snapshot, ...question });

describe("M-A24 a resource that needs a lease", () => {
  it("takes the channel its contract is for, by an entry's word or the client's own", () => {
    const taken = { ok: true, contract: { leaseId: "sl-1" } };
    expect(askLeased({ open: carrying(contract()) })).toMatchObject(taken);
    expect(askLeased({ peer: client, open: carrying(contract(), { origin: proved }) })).toMatchObject(taken);
    expect(askLeased({ open: carrying(contract({ clientId: "", channelClass: UNSPECIFIED })) })).toMatchObject(taken);
  });

  const refusals: Record<string, readonly [Case, string]> = {
    "no contract": [{ open: carrying(undefined, { flowIsolationId: "" }) }, "CONTRACT_MISSING"],
    "an empty contract": [{ open: carrying(new Uint8Array(), { flowIsolationId: "" }) }, "CONTRACT_MISSING"],
    "a flow and no contract": [{ open: carrying(undefined) }, "CONTRACT_FLOW"],
    "bytes that are no contract": [{ open: carrying(Buffer.from("lease")) }, "CONTRACT_MALFORMED"],
    "an anonymous origin": [
      {
        snapshot: withLease({ listenerGrants: [{ ...fields.listenerGrants[0], resourceName: "leased" }] }),
        open: carrying(contract({ clientId: "" }), { origin: anonymous }),
      },
      "CONTRACT_CLIENT",
    ],
    "another client's": [{ open: carrying(contract({ clientId: "ct-2" })) }, "CONTRACT_CLIENT"],
    "another entry's": [{ open: carrying(contract({ entryNodeId: "nd-e2" })) }, "CONTRACT_ENTRY"],
    "its own, by several entries": [{ entryNodeId: "", open: carrying(contract()) }, "CONTRACT_ENTRY"],
    "another resource's": [{ open: carrying(contract({ resourceId: "rs-2" })) }, "CONTRACT_RESOURCE"],
    "another organization's": [{ open: carrying(contract({ organizationId: "org-2" })) }, "CONTRACT_ORGANIZATION"],
    "another service's": [{ open: carrying(contract({ serviceClass: ServiceClass.WEB })) }, "CONTRACT_SERVICE_CLASS"],
    "another class": [{ open: carrying(contract(), { class: BULK }) }, "CONTRACT_CHANNEL_CLASS"],
    "another pool's": [{ open: carrying(contract({ route: { poolId: "pl-3" } })) }, "CONTRACT_ROUTE"],
    "another flow's": [{ open: carrying(contract(), { flowIsolationId: "flow-2" }) }, "CONTRACT_FLOW"],
    "one without its flow": [{ open: carrying(contract(), { flowIsolationId: "" }) }, "CONTRACT_FLOW"],
    "an exclusive one": [
      { open: carrying(contract({ kind: LeaseKind.EXCLUSIVE, clientId: "", holderNodeId: "nd-e1" } as LeaseFields)) },
      "CONTRACT_OTHER_KIND",
    ],
    "one that ended": [
      { snapshot: withLease({ endedLeaseIds: ["sl-0", "sl-1"] }), open: carrying(contract()) },
      "CONTRACT_ENDED",
    ],
    "one that has run out": [
      { trust: trusting("cl-a", nowMs + 60_000), open: carrying(contract()) },
      "CONTRACT_EXPIRED",
    ],
    "one of another cluster": [{ trust: trusting("cl-b"), open: carrying(contract()) }, "CONTRACT_STATEMENT"],
  };
  it.each(Object.entries(refusals))("refuses %s", (_what, [question, why]) => {
    expect(askLeased(question)).toEqual({ ok: false, end: NOT_ALLOWED, why });
  });

  it("and one that needs none refuses a wrong contract all the same", () => {
    const free = { resource: "free", flowIsolationId: "" };
    expect(askLeased({ open: carrying(undefined, free) })).toMatchObject({ ok: true });
    expect(askLeased({ open: carrying(contract(), { resource: "free" }) })).toMatchObject({ why: "CONTRACT_RESOURCE" });
    expect(askLeased({ open: carrying(contract({ resourceId: "rs-2" }), { resource: "free" }) })).toMatchObject({
      ok: true,
      contract: { leaseId: "sl-1" },
    });
  });
});
