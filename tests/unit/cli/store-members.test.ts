/** What people are told of the store beside a change of trust. */

import { expect, it } from "vitest";
import { storeMembersText } from "../../../cli/store-members.ts";

const embedded = { driver: "embedded", primary: true, timeline: 0, epoch: 1, members: [] } as const;

it("says nothing of a store that has no other members, and what is known of one that may", () => {
  expect(storeMembersText(embedded)).toBe("");
  const postgres = { ...embedded, driver: "postgres", timeline: 3 } as const;
  expect(storeMembersText(postgres)).toBe("\nstore: primary, timeline 3, epoch 1; in sync: none");
  const members = [
    { name: "db-2", state: "streaming", inSync: true },
    { name: "", state: "streaming", inSync: false },
  ];
  expect(storeMembersText({ ...postgres, members })).toBe(
    "\nstore: primary, timeline 3, epoch 1; in sync: db-2; not in sync: unnamed",
  );
  const named = { ...postgres, members: [{ name: "db\u001b[1A\nx", state: "streaming", inSync: true }] };
  for (const evil of [named, { unknown: "a\u001b[1A\nx" }])
    for (const obeyed of ["\u001b", "\nx"]) expect(storeMembersText(evil)).not.toContain(obeyed);
  expect(storeMembersText({ unknown: "control is away" })).toBe("\nstore: unknown (control is away)");
});
