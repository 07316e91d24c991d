/** Role coverage: which needs there are, and who counts. */

import { describe, expect, it } from "vitest";
import { coverageDetail, coverageObject, coverageOf, type RoleCount } from "../../../control/domain/coverage.ts";

const count = (role: string, organizationId: string, holders: number, able: number): RoleCount => {
  return { role, organizationId, holders, able };
};
const gaps = (counts: readonly RoleCount[], organizationIds: readonly string[] = [], direct = false) =>
  coverageOf(counts, { organizationIds, direct })
    .filter(({ gap }) => gap)
    .map(coverageObject);

describe("M-A6 role coverage", () => {
  it("is complete when somebody able has every role that was given", () => {
    expect(gaps([count("entry", "", 2, 1), count("relay", "", 1, 1), count("video-relay", "org-a", 1, 1)])).toEqual([]);
    expect(gaps([])).toEqual([]);
  });

  it("has a gap where all who have a role are unable", () => {
    expect(gaps([count("relay", "", 3, 0)])).toEqual(["role/relay"]);
    expect(gaps([count("relay", "org-a", 3, 0)])).toEqual(["role/relay@org-a"]);
  });

  it("counts whoever has the role for every organization, but never another organization's", () => {
    expect(gaps([count("relay", "", 1, 1), count("relay", "org-a", 1, 0)])).toEqual([]);
    expect(gaps([count("relay", "org-b", 1, 1), count("relay", "org-a", 1, 0)])).toEqual(["role/relay@org-a"]);
  });

  it("needs an entry, an egress and a relay for an organization with a resource, and no relay where routes go direct", () => {
    expect(gaps([], ["org-a"])).toEqual(["role/egress@org-a", "role/entry@org-a", "role/relay@org-a"]);
    expect(gaps([], ["org-a"], true)).toEqual(["role/egress@org-a", "role/entry@org-a"]);
    const shared = ["entry", "egress", "relay"].map((role) => count(role, "", 1, 1));
    expect(gaps(shared, ["org-a", "org-b"])).toEqual([]);
  });

  it("tells a gap of all organizations once, not once for each of them", () => {
    const shared = ["entry", "egress"].map((role) => count(role, "", 1, 1));
    const organizations = Array.from({ length: 50 }, (_, at) => `org-${at}`);
    expect(gaps([...shared, count("relay", "", 2, 0)], organizations)).toEqual(["role/relay"]);
  });

  it("shows numbers of both together, and words for people", () => {
    const rows = coverageOf([count("relay", "", 2, 1), count("relay", "org-a", 1, 1)], {
      organizationIds: [],
      direct: false,
    });
    expect(rows).toMatchObject([
      { organizationId: "", holders: 2, able: 1 },
      { organizationId: "org-a", holders: 3, able: 2 },
    ]);
    expect(coverageDetail({ role: "relay", holders: 0 })).toContain("weft role assign");
    expect(coverageDetail({ role: "relay", holders: 1 })).toContain("1 node has");
  });
});
