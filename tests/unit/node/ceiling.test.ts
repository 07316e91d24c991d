import { describe, expect, it } from "vitest";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { type CeilingJudge, createCeilingJudge } from "../../../node/ceiling.ts";
import { type Ceiling, loadNodeConfig } from "../../../node/config.ts";

const base = { stateDir: "s", control: "c:1" };
const defaults: Ceiling = loadNodeConfig({ env: {}, flags: base }).ceiling;
const judge = (over: Partial<Ceiling> = {}): CeilingJudge => createCeilingJudge({ ...defaults, ...over });
const rules = (...cidrs: string[]): CeilingJudge =>
  judge({ targets: cidrs.map((cidr) => ({ cidr, fromPort: 1, toPort: 65_535 })) });

const guarded = [
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["0.0.0.0", "this host"],
  ["0.1.2.3", "this network"],
  ["169.254.169.254", "metadata"],
  ["169.254.0.1", "link-local"],
  ["100.100.100.200", "metadata of another cloud"],
  ["::1", "loopback"],
  ["0:0:0:0:0:0:0:1", "loopback in full"],
  ["::", "this host"],
  ["fe80::1", "link-local"],
  ["febf::1", "link-local"],
  ["fd00:ec2::254", "metadata"],
  ["::ffff:127.0.0.1", "mapped, dotted"],
  ["::ffff:7f00:1", "mapped, hexadecimal"],
  ["::FFFF:A9FE:A9FE", "mapped metadata, upper case"],
  ["0:0:0:0:0:ffff:7f00:1", "mapped in full"],
  ["0000:0000:0000:0000:0000:ffff:127.0.0.1", "mapped in full, dotted"],
  ["::127.0.0.1", "compatible"],
  ["::ffff:0:127.0.0.1", "translated"],
  ["64:ff9b::7f00:1", "behind NAT64"],
  ["64:ff9b::169.254.169.254", "metadata behind NAT64"],
] as const;

describe("LAW-C6 REVIEW-17 what an egress may ever dial", () => {
  it.each(guarded)("%s (%s) is refused by default and by rules for everything", (address) => {
    expect(judge().allowsTarget(address, 80)).toBe(false);
    expect(rules("0.0.0.0/0", "::/0").allowsTarget(address, 80)).toBe(false);
    // The two halves of everything are still everything.
    expect(rules("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1").allowsTarget(address, 80)).toBe(false);
  });

  it.each([
    "10.0.0.1",
    "93.184.216.34",
    "192.168.1.1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "64:ff9b::a00:1",
    "100.100.100.201",
    "128.0.0.1",
    "fec0::1",
  ])("%s is allowed by default", (address) => {
    expect(judge().allowsTarget(address, 80)).toBe(true);
  });

  it.each([
    ["127.0.0.0/8", "127.0.0.1", "169.254.169.254"],
    ["127.0.0.1/32", "127.0.0.1", "127.0.0.2"],
    ["127.0.0.1/32", "::ffff:7f00:1", "::1"],
    ["169.254.169.254/32", "169.254.169.254", "169.254.169.253"],
    ["::1/128", "::1", "::"],
    ["fe80::/10", "fe80::1", "::1"],
  ])("a rule inside a guarded network (%s) opens %s and not %s", (cidr, opened, closed) => {
    const ceiling = rules("0.0.0.0/0", "::/0", cidr);
    expect(ceiling.allowsTarget(opened, 80)).toBe(true);
    expect(ceiling.allowsTarget(closed, 80)).toBe(false);
  });

  it.each(["126.0.0.0/7", "127.0.0.0/7", "169.254.0.0/15", "0.0.0.0/7", "fe80::/9", "::/127"])(
    "a rule wider than a guarded network (%s) opens none of it",
    (cidr) => {
      const ceiling = rules(cidr);
      for (const [address] of guarded) expect(ceiling.allowsTarget(address, 80), address).toBe(false);
    },
  );

  it("a rule speaks for its own family", () => {
    expect(rules("::/0").allowsTarget("10.0.0.1", 80)).toBe(false);
    expect(rules("::/0").allowsTarget("::ffff:10.0.0.1", 80)).toBe(false);
    expect(rules("0.0.0.0/0").allowsTarget("2001:db8::1", 80)).toBe(false);
    expect(rules("0.0.0.0/0").allowsTarget("::ffff:10.0.0.1", 80)).toBe(true);
  });

  it("port ranges are inclusive, and belong to their rule", () => {
    const ceiling = judge({
      targets: [
        { cidr: "10.0.0.0/8", fromPort: 100, toPort: 200 },
        { cidr: "10.1.0.0/16", fromPort: 300, toPort: 300 },
      ],
    });
    const ports = (address: string): number[] =>
      [99, 100, 200, 201, 300].filter((port) => ceiling.allowsTarget(address, port));
    expect(ports("10.0.0.1")).toEqual([100, 200]);
    expect(ports("10.1.0.1")).toEqual([100, 200, 300]);
    expect(ports("11.0.0.1")).toEqual([]);
  });

  it.each([0, -1, 65_536, Number.NaN])("port %s is no port", (port) => {
    expect(judge().allowsTarget("10.0.0.1", port)).toBe(false);
  });

  it.each([
    "localhost",
    "",
    "10.0.0",
    "10.0.0.1 ",
    "010.0.0.1",
    "2130706433",
    "0x7f.1",
    "::1%lo",
    "::ffff:127.0.0.1%lo",
  ])("%j is no address and never allowed: names are resolved before", (text) => {
    expect(rules("0.0.0.0/0", "::/0", "127.0.0.0/8", "fe80::/10").allowsTarget(text, 80)).toBe(false);
  });

  it("an address with a zone is judged like the address", () => {
    expect(rules("0.0.0.0/0", "::/0").allowsTarget("fe80::1%eth0", 80)).toBe(false);
    expect(rules("fe80::/10").allowsTarget("fe80::1%eth0", 80)).toBe(true);
  });

  it("nothing is allowed by no rules", () => {
    expect(judge({ targets: [] }).allowsTarget("10.0.0.1", 80)).toBe(false);
  });

  it("a network that does not parse stops the node instead of opening anything", () => {
    expect(() => rules("10.0.0/8")).toThrow("10.0.0/8");
    expect(() => rules("10.0.0.0/33")).toThrow();
  });
});

describe("LAW-C6 Unix sockets", () => {
  const ceiling = judge({ unixPrefixes: ["/run/app", "/srv/sockets/"] });

  it.each(["/run/app", "/run/app/a.sock", "/run/app/b/..c", "/srv/sockets/x"])("%s is within the prefixes", (path) => {
    expect(ceiling.allowsUnixPath(path)).toBe(true);
  });

  it.each([
    "/run/app/../docker.sock",
    "/run/app/b/../../docker.sock",
    "/run/app/..",
    "/run/application/a.sock",
    "/run/app-other/a.sock",
    "/run/docker.sock",
    "run/app/a.sock",
    "",
    "\0/run/app/a",
    "/run/app/a\0/../../docker.sock",
    " /run/app/a",
  ])("%j is not", (path) => {
    expect(ceiling.allowsUnixPath(path)).toBe(false);
  });

  it("none are allowed by default, and an empty prefix is none", () => {
    expect(judge().allowsUnixPath("/run/app")).toBe(false);
    expect(judge({ unixPrefixes: [""] }).allowsUnixPath("/run/app")).toBe(false);
  });
});

describe("LAW-C6 roles and listeners", () => {
  it("splits grants into those this host runs and those it never will", () => {
    const grant = (role: NodeRole) => ({
      $typeName: "weft.fabric.v1.RoleGrant" as const,
      role,
      organizationId: "org-1",
    });
    const { allowed, refused } = judge({ roles: ["relay"] }).splitRoles(
      [NodeRole.RELAY, NodeRole.EGRESS, NodeRole.VPN_EXIT, NodeRole.UNSPECIFIED, 99 as NodeRole].map(grant),
    );
    expect(allowed.map(({ role }) => role)).toEqual([NodeRole.RELAY]);
    expect(refused).toHaveLength(4);
  });

  it("even the default ceiling refuses roles the agent cannot run", () => {
    const able = Object.values(NodeRole).filter((role) => typeof role === "number" && judge().allowsRole(role));
    expect(able).toEqual([NodeRole.ENTRY, NodeRole.RELAY, NodeRole.EGRESS]);
  });

  it("binds listeners to loopback unless the host says otherwise", () => {
    expect(
      ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "127.0.0.2"].filter((host) =>
        judge().allowsListenerHost(host),
      ),
    ).toEqual(["127.0.0.1", "::1", "localhost"]);
    expect(judge({ listenerHosts: ["0.0.0.0"] }).allowsListenerHost("127.0.0.1")).toBe(false);
  });
});
