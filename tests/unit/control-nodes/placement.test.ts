/** What may be placed where: every rule with something it lets through and something it stops. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkListener,
  checkName,
  checkResource,
  defaultClassOf,
  grantsRoleFor,
  type ListenerDraft,
  type ResourceDraft,
} from "../../../control/domain/placement.ts";
import { runs } from "../../harness/counts.ts";

const resource = (fields: Partial<ResourceDraft> = {}) =>
  checkResource({
    name: "web",
    kind: undefined,
    service: "",
    defaultClass: undefined,
    allowedClasses: [],
    minimumAssurance: undefined,
    host: "10.0.0.1",
    port: 80,
    unixPath: "",
    exclusiveLeaseMs: 0,
    requiresLease: false,
    ...fields,
  });
const listener = (fields: Partial<ListenerDraft> = {}) =>
  checkListener({ name: "web", bindHost: "", bindPort: 0, allowedSources: [], ...fields });
const refused = (field: string) => expect.objectContaining({ reason: "invalid_argument", metadata: { field } });

describe("names", () => {
  it("are DNS labels", () => {
    for (const name of ["a", "web-1", "x".repeat(63)]) expect(checkName(name)).toBe(name);
    for (const name of ["", "Web", "-a", "a-", "a.b", "a b", "x".repeat(64), "ü", "a\n"])
      expect(() => checkName(name), name).toThrow(refused("name"));
  });
});

describe("resources", () => {
  it("ssh, rdp, vnc and database are interactive, everything else bulk, unless said otherwise", () => {
    for (const service of ["ssh", "rdp", "vnc", "database", "SSH"]) expect(defaultClassOf(service)).toBe("interactive");
    for (const service of ["", "http", "sshd"]) expect(defaultClassOf(service)).toBe("bulk");
    expect(resource({ service: "ssh", defaultClass: "bulk" }).defaultClass).toBe("bulk");
  });

  it("allow their default class always, and droppable for messages alone", () => {
    expect(resource({ allowedClasses: ["interactive"] }).allowedClasses).toEqual(["bulk", "interactive"]);
    expect(() => resource({ allowedClasses: ["droppable"] })).toThrow(refused("allowed_classes"));
    expect(resource({ kind: "message", defaultClass: "droppable" }).allowedClasses).toEqual(["droppable"]);
  });

  it("have a host and port, or for messages a Unix path, never both", () => {
    for (const host of ["db.internal", "_srv.x", "2001:db8::1", "127.0.0.1", "LOCALHOST"])
      expect(resource({ host }).host).toBe(host.toLowerCase());
    for (const host of ["", "a b", "http://x", "x/y", "10.0.0", "1.2.3.4.5", "a..b", "x".repeat(254), "[::1]"])
      expect(() => resource({ host }), host).toThrow(refused("host"));
    for (const port of [0, -1, 65_536, 1.5]) expect(() => resource({ port }), String(port)).toThrow(refused("port"));
    const unix = { kind: "message", host: "", port: 0 } as const;
    expect(resource({ ...unix, unixPath: "/run/app.sock" })).toMatchObject({
      host: "",
      port: 0,
      unixPath: "/run/app.sock",
    });
    for (const unixPath of ["run/app.sock", "/run/../etc/x", `/${"x".repeat(100)}`, "/a\0b"])
      expect(() => resource({ ...unix, unixPath }), unixPath).toThrow(refused("unix_path"));
    expect(() => resource({ unixPath: "/run/app.sock", host: "", port: 0 })).toThrow(refused("unix_path"));
    expect(() => resource({ ...unix, unixPath: "/run/app.sock", host: "h" })).toThrow(refused("unix_path"));
  });
});

describe("listeners", () => {
  it("bind loopback unless told otherwise, and beyond it need sources", () => {
    expect(listener().bindHost).toBe("127.0.0.1");
    for (const bindHost of ["127.0.0.1", "127.9.9.9", "::1"]) expect(listener({ bindHost }).bindHost).toBe(bindHost);
    for (const bindHost of ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1"]) {
      expect(() => listener({ bindHost }), bindHost).toThrow(expect.objectContaining({ detail: "SOURCES_REQUIRED" }));
      expect(listener({ bindHost, allowedSources: ["10.0.0.0/8"] }).allowedSources).toEqual(["10.0.0.0/8"]);
    }
    expect(() => listener({ bindHost: "localhost" })).toThrow(refused("bind_host"));
    expect(() => listener({ bindPort: 65_536 })).toThrow(refused("bind_port"));
  });

  it("take well-formed source ranges only", () => {
    for (const source of ["0.0.0.0/0", "::/0", "10.1.2.3/32", "2001:db8::/128"])
      expect(listener({ allowedSources: [source] }).allowedSources).toEqual([source]);
    for (const source of [
      "",
      "10.0.0.0",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/8/8",
      "x/8",
      "10.0.0.0/-1",
      "10.0.0.0/ 8",
    ]) {
      expect(() => listener({ allowedSources: [source] }), source).toThrow(refused("allowed_sources"));
    }
  });
});

describe("roles", () => {
  it("M-A5 a role for organization X does not serve Y, one for all serves both", () => {
    const id = fc.constantFrom("", "x", "y", "z");
    const grant = fc.record({ role: fc.constantFrom("entry", "egress"), organizationId: id });
    fc.assert(
      fc.property(fc.array(grant), fc.constantFrom("x", "y"), (grants, organizationId) => {
        const served = grants.filter((each) => each.role === "entry").map((each) => each.organizationId);
        expect(grantsRoleFor(grants, "entry", organizationId)).toBe(
          served.includes("") || served.includes(organizationId),
        );
      }),
      { numRuns: runs(200, 5_000) },
    );
  });
});
