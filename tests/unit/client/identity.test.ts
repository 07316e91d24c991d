import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connect } from "../../../client/connect.ts";
import { clientIdentity, readClientFolder } from "../../../client/identity.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki("cl-a");
const leaf = await pki.leaf("client", "ct-a");
const node = await pki.leaf("node", "nd-a");
const facts = { clusterSlug: "default", organizationId: "org-a", entries: ["127.0.0.1:7444", "[::1]:7445"] };

let dir: string;
const write = (name: string, text: string): void => writeFileSync(join(dir, name), text, { mode: 0o600 });
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weft-client-"));
  write("client.key", leaf.keyPem);
  write("client.crt", leaf.certificatePem);
  write("servers.pem", pki.cas.node.root.pem);
  write("pools.pem", pki.cas.pool.root.pem);
  write("client.json", JSON.stringify(facts));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("a client folder", () => {
  it("says who the client is by its certificate, and where entries are", () => {
    const { pems, entries } = readClientFolder(dir);
    expect(entries).toEqual(facts.entries);
    expect(clientIdentity(pems)).toMatchObject({
      clientId: "ct-a",
      clusterId: "cl-a",
      clusterSlug: "default",
      organizationId: "org-a",
      trustDomain: pki.trustDomain,
    });
  });

  it("says what entries and pools are called, when it was made by a version that wrote it", () => {
    expect(readClientFolder(dir).names).toEqual({});
    write("client.json", JSON.stringify({ ...facts, names: { "nd-a": "entry-1" } }));
    expect(readClientFolder(dir).names).toEqual({ "nd-a": "entry-1" });
  });

  it("CI1 with a key that others may read is refused", () => {
    chmodSync(join(dir, "client.key"), 0o644);
    expect(() => readClientFolder(dir)).toThrow(expect.objectContaining({ reason: "failed_precondition" }));
  });

  it.each(["client.crt", "servers.pem", "pools.pem", "client.json"])("without %s is none", (name) => {
    rmSync(join(dir, name));
    expect(() => readClientFolder(dir)).toThrow(expect.objectContaining({ detail: "CLIENT_FOLDER_MISSING" }));
  });

  it.each(["{", "{}", JSON.stringify({ ...facts, organizationId: undefined })])(
    "with facts like %s is damaged",
    (text) => {
      write("client.json", text);
      expect(() => readClientFolder(dir)).toThrow(expect.objectContaining({ detail: "CLIENT_FOLDER_DAMAGED" }));
    },
  );
});

describe("an identity", () => {
  const pems = () => readClientFolder(dir).pems;

  it.each<[string, () => object, string]>([
    ["a node's certificate", () => ({ keyPem: node.keyPem, certificatePem: node.certificatePem }), "LEAF_KIND"],
    ["another's key", () => ({ keyPem: node.keyPem }), "LEAF_KEY"],
    ["no roots of pools", () => ({ poolRootsPem: "" }), "ROOT_MISSING"],
    ["no roots of entries", () => ({ entryRootsPem: "" }), "ROOT_MISSING"],
    ["a leaf as a root", () => ({ poolRootsPem: leaf.certificatePem }), "ROOT_PROFILE"],
  ])("with %s is none", (_what, over, detail) => {
    expect(() => clientIdentity({ ...pems(), ...over() })).toThrow(expect.objectContaining({ detail }));
  });
});

describe("connect", () => {
  it("dials nobody before there is something to open, and ends at once", async () => {
    const client = connect({ identity: dir });
    expect(client.clientId).toBe("ct-a");
    expect(client.trunks()).toEqual([]);
    await client.close();
    await expect(client.open("web")).rejects.toMatchObject({ reason: "unavailable" });
    await expect(client.forward({ resource: "web", port: 0 })).rejects.toMatchObject({ detail: "CLOSED" });
  });

  it.each([[[]], [["nowhere"]], [["127.0.0.1:0"]], [["127.0.0.1:70000"]]])("refuses entries like %j", (entries) => {
    expect(() => connect({ identity: dir, entries })).toThrow(expect.objectContaining({ reason: "invalid_argument" }));
  });

  it("binds loopback unless told otherwise, and says when a port is taken", async () => {
    const client = connect({ identity: dir });
    const forward = await client.forward({ resource: "web", port: 0 });
    expect(forward.host).toBe("127.0.0.1");
    await expect(client.forward({ resource: "web", port: forward.port })).rejects.toMatchObject({
      reason: "failed_precondition",
      detail: "FORWARD_BIND",
      message: expect.stringContaining("in use: choose another port, or 0"),
    });
    await client.close();
  });
});
