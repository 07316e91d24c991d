import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkAddresses, checkJoinWish, escaped, isWithinScope, keyFingerprint } from "../../../control/domain/join.ts";
import { EnrollRequestSchema } from "../../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";

const wish = (init: MessageInitShape<typeof EnrollRequestSchema>) =>
  checkJoinWish(create(EnrollRequestSchema, { nodeName: "n", addresses: [{ host: "a.example", port: 1 }], ...init }));

describe("what a joining host may say", () => {
  it("is taken as stored words, each once", () => {
    const row = wish({
      capabilities: [NodeCapability.CAN_ROUTE_MESH, NodeCapability.CAN_ROUTE_MESH, 99 as NodeCapability],
      requestedRoles: [{ role: NodeRole.RDP_WORKER }, { role: NodeRole.RDP_WORKER }],
      addresses: [{ host: "A.Example", port: 4433 }],
      region: "eu-west.1",
    });
    expect(row).toMatchObject({
      capabilities: ["can_route_mesh"],
      requestedRoles: [{ role: "rdp-worker", organizationId: "" }],
      addresses: [{ host: "a.example", port: 4433 }],
    });
  });

  it("is refused with the name of the field", () => {
    const bad: [string, MessageInitShape<typeof EnrollRequestSchema>][] = [
      ["node_name", { nodeName: "join" }],
      ["node_name", { nodeName: "link-x" }],
      ["node_name", { nodeName: "a.b" }],
      ["node_name", { nodeName: "" }],
      ["addresses", { addresses: [] }],
      ["addresses", { dialOutOnly: true }],
      ["region", { region: "EU" }],
      ["region", { region: "x".repeat(64) }],
      ["capabilities", { capabilities: new Array(33).fill(NodeCapability.CAN_ROUTE_MESH) }],
      ["requested_roles", { requestedRoles: [{ role: NodeRole.UNSPECIFIED }] }],
      ["requested_roles", { requestedRoles: [{ role: NodeRole.RELAY, organizationId: "../x" }] }],
      ["facts", { facts: { k: "ü".repeat(5_000) } }],
    ];
    for (const [field, init] of bad) {
      expect(() => wish(init), field).toThrow(
        expect.objectContaining({ reason: "invalid_argument", metadata: { field } }),
      );
    }
  });

  it("names no address twice, and none that is neither an IP address nor a host name", () => {
    const good = ["10.0.0.1", "::1", "a", "a-b.c_d.example", "xn--bcher-kva.example"];
    for (const host of good)
      if (!host.includes("_")) expect(checkAddresses([{ host, port: 443 }])).toEqual([{ host, port: 443 }]);
    const bad = [
      "",
      " ",
      "a b",
      "1.2.3",
      "10.0.0.256",
      "fe80::1%eth0",
      "-a",
      "a..b",
      "[::1]",
      "a:1",
      "a/b",
      "ä",
      "a\u0000",
    ];
    for (const host of bad) expect(() => checkAddresses([{ host, port: 443 }]), JSON.stringify(host)).toThrow();
    for (const port of [0, 65_536]) expect(() => checkAddresses([{ host: "a", port }])).toThrow();
    const twice = [
      { host: "A", port: 1 },
      { host: "a", port: 1 },
    ];
    expect(() => checkAddresses(twice)).toThrow();
  });

  it("REVIEW-19 never shows a character that a terminal or browser obeys instead of showing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(escaped(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      }),
    );
    expect(escaped("a\u001b[2Jb\u202ec\u2028\ud800")).toBe("a\\u{1b}[2Jb\\u{202e}c\\u{2028}\\u{d800}");
    expect(escaped("plain ü 漢 🙂")).toBe("plain ü 漢 🙂");
  });
});

describe("a token's scope", () => {
  const relay = { role: "relay", organizationId: "" };
  const egress = { role: "egress", organizationId: "" };
  const token = { roles: [] as string[], organizationIds: [] as string[], namePrefix: "" };
  const covers = (scope: Partial<typeof token>, requestedRoles: (typeof relay)[], nodeName = "relay-1"): boolean =>
    isWithinScope({ ...token, ...scope }, { requestedRoles, nodeName });
  it("covers what it lists, everything when it lists nothing, and no whole cluster when it lists organizations", () => {
    expect(covers({}, [relay])).toBe(true);
    expect(covers({ roles: ["relay"] }, [relay])).toBe(true);
    expect(covers({ roles: ["egress"] }, [relay])).toBe(false);
    expect(covers({ roles: ["relay"] }, [relay, egress])).toBe(false);
    expect(covers({ organizationIds: ["org-a"] }, [relay])).toBe(false);
    expect(covers({ organizationIds: ["org-a"] }, [{ role: "relay", organizationId: "org-a" }])).toBe(true);
    expect(covers({ organizationIds: ["org-a"] }, [])).toBe(true);
  });
  it("covers only names that begin as it says", () => {
    expect(covers({ namePrefix: "relay-" }, [relay])).toBe(true);
    expect(covers({ namePrefix: "edge-" }, [relay])).toBe(false);
    expect(covers({ namePrefix: "edge-" }, [relay], "my-edge-1")).toBe(false);
  });
});

it("a fingerprint is the first 20 hex digits in fours", () => {
  expect(keyFingerprint("0123456789abcdef0123456789abcdef")).toBe("0123-4567-89ab-cdef-0123");
});
