/** What `weft request approve` compares, and what it says of what it did not compare. */

import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { approvedText, isSameFingerprint } from "../../../cli/commands/request.ts";
import { ApproveRequestResponseSchema } from "../../../gen/weft/admin/v1/request_pb.ts";

const printed = "adfa-9e2c-0b17-4d5e-88f0";

it("a fingerprint is the same however it was read out, and never in part", () => {
  for (const said of [printed, "adfa 9e2c 0b17 4d5e 88f0", "ADFA9E2C0B174D5E88F0"])
    expect(isSameFingerprint(said, printed), said).toBe(true);
  // Digits of another script, and what looks like a letter, are not the same.
  const others = [
    "",
    "-",
    "\u00a0",
    "adfa\u20139e2c-0b17-4d5e-88f0",
    "\u0430dfa-9e2c-0b17-4d5e-88f0",
    "ad\u200bfa-9e2c-0b17-4d5e-88f0",
  ];
  for (const said of [...others, "adfa-9e2c", `${printed}-0000`, "adfa-9e2c-0b17-4d5e-88f1"])
    expect(isSameFingerprint(said, printed), said).toBe(false);
});

it("an approval tells which key it was, and whether that was compared with anything", () => {
  const answer = create(ApproveRequestResponseSchema, {
    request: { nodeName: "relay-1", nodeId: "nd-1", keyFingerprint: printed },
  });
  expect(approvedText(answer, { fingerprint: printed })).toBe(
    `approved: node relay-1 has id nd-1; its key is ${printed}, as given`,
  );
  const { request } = answer;
  const evil = { ...answer, request: { ...request, nodeName: "relay-1\u001b[2K\nx" } } as typeof answer;
  for (const obeyed of ["\u001b", "\n"]) expect(approvedText(evil, {})).not.toContain(obeyed);
  expect(approvedText(answer, {})).toBe(
    `approved: node relay-1 has id nd-1; its key is ${printed}, not compared (see --fingerprint)`,
  );
});
