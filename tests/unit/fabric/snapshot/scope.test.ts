import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { AssignableRole } from "../../../../fabric/members.ts";
import { scopeSnapshot } from "../../../../fabric/snapshot/scope.ts";
import { NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { SnapshotSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import {
  dates,
  doubles,
  owners,
  pathOfflineMs,
  qosRate,
  resourceOfflineMs,
  resourceRate,
  roleNames,
  view,
} from "./scope-stage.ts";

function bytesOf(nodeId: string): Buffer {
  return Buffer.from(toBinary(SnapshotSchema, scopeSnapshot(view, nodeId, dates)));
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Buffer.from(bytes);
  }
}

const ofMember = ["workloadid", "workloadname", "workloadcommand", "workloadprint"];
/** What to search for, per kind of secret. */
const markers: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries(
    [
      "nodename",
      "nodehost",
      "linklabel",
      "region",
      "poolid",
      "poolname",
      "resourceid",
      "resourcename",
      "targethost",
      "unixpath",
      "listenerid",
      "listenername",
      "bindhost",
      "source",
      "clientid",
      "locator",
      "intentid",
      "intentname",
      "wanted",
      "owned",
      "endedlease",
      ...ofMember,
    ].map((name) => [name, Buffer.from(`${name}-`)]),
  ),
  ...Object.fromEntries(Object.entries(doubles).map(([name, value]) => [name, double(value)])),
  qos: varint(qosRate),
  resourceqos: varint(resourceRate),
  pathoffline: varint(BigInt(pathOfflineMs)),
  resourceoffline: varint(BigInt(resourceOfflineMs)),
};

const linkNumbers = ["rtt", "jitter", "loss", "reliability", "bandwidth", "failures"];
const everyone = ["nodename", "nodehost", "linklabel", "region", ...ofMember];
const entryMarkers = [
  "poolid",
  "poolname",
  "resourceid",
  "resourcename",
  "listenerid",
  "listenername",
  "bindhost",
  "source",
  "clientid",
  "locator",
  "load",
  "qos",
  "resourceqos",
  "intentid",
  "intentname",
  "wanted",
  "owned",
  "endedlease",
  "pathoffline",
  "resourceoffline",
  ...linkNumbers,
];
const egressMarkers = [
  "poolid",
  "poolname",
  "resourceid",
  "resourcename",
  "targethost",
  "unixpath",
  "listenerid",
  "clientid",
  "qos",
  "resourceqos",
  "endedlease",
  "pathoffline",
  "resourceoffline",
];
/** Written out again, independently of the code's table. */
const expected: Readonly<Record<AssignableRole, readonly string[]>> = {
  [NodeRole.ENTRY]: [...everyone, ...entryMarkers],
  [NodeRole.RELAY]: [...everyone, "qos", "pathoffline"],
  [NodeRole.EGRESS]: [...everyone, ...egressMarkers],
  [NodeRole.RDP_WORKER]: everyone,
  [NodeRole.VNC_WORKER]: everyone,
  [NodeRole.VPN_EXIT]: everyone,
  [NodeRole.VPN_CONNECTOR]: everyone,
  [NodeRole.FILE_STORAGE_CACHE]: everyone,
  [NodeRole.UPDATE_CACHE]: everyone,
  [NodeRole.VIDEO_RELAY]: everyone,
  [NodeRole.STORAGE]: everyone,
  [NodeRole.ADMIN_INGRESS]: everyone,
};

const tagOf = (role: string): string => role.toLowerCase().replaceAll("_", "-");
const cases = roleNames.flatMap(([name, role]) => owners.map((owner) => [tagOf(name), role, owner] as const));

describe("LAW-C3 A12 a node's bytes hold what its roles may hold and nothing else", () => {
  it.each(cases)("%s (%i) for %s: exactly the kinds of data of the table", (tag, role, owner) => {
    const bytes = bytesOf(`nd-${tag}-${owner}`);
    const found = Object.entries(markers).filter(([, marker]) => bytes.includes(marker));
    expect(found.map(([name]) => name).sort()).toEqual([...expected[role]].sort());
  });

  it("every kind of marker is found somewhere: the search can see", () => {
    const all = Buffer.concat(cases.map(([tag, , owner]) => bytesOf(`nd-${tag}-${owner}`)));
    expect(Object.entries(markers).filter(([, marker]) => !all.includes(marker))).toEqual([]);
  });

  it("every text of the view is a marker, an id of the cluster or an organization", () => {
    const texts: string[] = [];
    const walk = (value: unknown): void => {
      if (typeof value === "string") texts.push(value);
      else if (value instanceof Uint8Array) return;
      else if (typeof value === "object" && value !== null) Object.values(value).forEach(walk);
    };
    walk({ ...view, bundle: undefined });
    const known =
      /^(?:weft-test\.internal|cl-a|default|nd-.*|org[xy]||(?:nodename|nodehost|linklabel|region|poolid|poolname|resourceid|resourcename|targethost|unixpath|listenerid|listenername|bindhost|source|clientid|intentid|intentname|wanted|owned|endedlease|workloadid|workloadname|workloadcommand|workloadprint)-.*)$/;
    expect(texts.filter((text) => !known.test(text))).toEqual([]);
  });

  it.each(cases.filter(([, , owner]) => owner === "orgx"))(
    "%s (%i) for %s sees nothing of another organization",
    (tag) => {
      const bytes = bytesOf(`nd-${tag}-orgx`);
      expect(bytes.includes("orgy")).toBe(false);
    },
  );

  it.each(cases)("%s (%i) for %s knows its own workloads and nobody else's", (tag, _role, owner) => {
    const found = bytesOf(`nd-${tag}-${owner}`).toString("latin1");
    const own = found.matchAll(/workloadname-(nd-[a-z-]+-(?:all|org[xy]))/g);
    expect([...own].map((match) => match[1])).toEqual([`nd-${tag}-${owner}`]);
  });

  it.each([
    ["entry", ["relay"]],
    ["egress", ["relay"]],
    ["relay", ["entry", "relay", "egress"]],
    ["storage", []],
    ["rdp-worker", []],
  ])("%s knows hosts and link labels of its link neighbours only", (tag, kinds) => {
    const bytes = bytesOf(`nd-${tag}-all`).toString("latin1");
    for (const what of ["nodehost", "linklabel"]) {
      const seen = new Set(
        [...bytes.matchAll(new RegExp(`${what}-([a-z-]+)-(?:all|org)`, "g"))].map((match) => match[1]),
      );
      seen.delete(tag);
      expect([...seen].sort()).toEqual(kinds.filter((kind) => kind !== tag).sort());
    }
  });
});
