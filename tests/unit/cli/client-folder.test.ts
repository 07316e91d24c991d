/** What the folder that makes somebody a client tells of the fabric. */

import { expect, it } from "vitest";
import { clientSurroundings } from "../../../cli/client-folder.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";

type Nodes = Parameters<typeof clientSurroundings>[0];

function node(name: string, role: NodeRole, organizationId: string, identityStatus = "active"): Nodes[number] {
  const addresses = [{ host: `${name}.example`, port: 7_443 }] as Nodes[number]["addresses"];
  const roles = [{ role, organizationId }] as Nodes[number]["roles"];
  return { id: `nd-${name}`, name, identityStatus, roles, addresses };
}

it("LAW-C3 has the entries a client may use and its organization's pools, and nothing of anybody else", () => {
  const nodes = [
    node("entry-all", NodeRole.ENTRY, ""),
    node("entry-ours", NodeRole.ENTRY, "org-ours"),
    node("entry-theirs", NodeRole.ENTRY, "org-theirs"),
    node("entry-revoked", NodeRole.ENTRY, "", "revoked"),
    { ...node("entry-unreachable", NodeRole.ENTRY, ""), addresses: [] },
    node("relay", NodeRole.RELAY, ""),
    node("egress", NodeRole.EGRESS, "org-ours"),
  ];
  const pools = ["ours", "theirs"].map((name) => ({ id: `pl-${name}`, name, organizationId: `org-${name}` }));
  expect(clientSurroundings(nodes, pools, "org-ours")).toEqual({
    entries: ["entry-all.example:7443", "entry-ours.example:7443"],
    names: { "nd-entry-all": "entry-all", "nd-entry-ours": "entry-ours", "pl-ours": "ours" },
  });
});
