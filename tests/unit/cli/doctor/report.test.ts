/** What doctor tells people: what was checked and how much of it, why something was not, and what all of it is about. */

import { expect, it } from "vitest";
import { type Facts, noFacts, type PlaceFact, together } from "../../../../cli/doctor/facts.ts";
import { type CheckName, diagnose, judgements } from "../../../../cli/doctor/judgements.ts";
import { diagnosisText, withReasons } from "../../../../cli/doctor/report.ts";

const at = (kind: PlaceFact["kind"]): Partial<Facts> => ({ places: [{ kind, at: `/the/${kind}` }] });
const reached: Partial<Facts> = {
  configurations: [{ file: "/c", problems: [] }],
  names: [{ host: "c", usedBy: "/c" }],
  dials: [{ address: "c:1", usedBy: "/c", outcome: "answered" }],
  clocks: [{ whose: "control", own: true, aheadMs: { min: 0, max: 1 } }],
};
const down: Partial<Facts> = { dials: [{ address: "d:1", usedBy: "/c", outcome: "no-answer", why: "ECONNREFUSED" }] };

function said(...parts: readonly Partial<Facts>[]): string {
  const facts = together(parts);
  return diagnosisText(facts, diagnose(facts), { paint: (_state, text) => text });
}

const checks = Object.keys(judgements) as CheckName[];

it("M-F12 doctor calls what is fine by its subject and not by its fault, and says what its numbers count", () => {
  const text = said(at("operator context"), reached);
  expect(text).toMatch(/^ok +way to control: 1 address called$/m);
  expect(text).toMatch(/^ok +clocks: 1 compared with control's or an entry's$/m);
  for (const fault of checks.filter((check) => check.includes("-"))) expect(text).not.toContain(fault);
  expect(said(at("operator context"), reached, reached)).toMatch(/^ok +way to control: 2 addresses called$/m);
  expect(text).not.toMatch(/\(\d+\)/);
});

it("M-F12 doctor says of everything it did not look at why, and what to pass to have it looked at", () => {
  const lines = said(at("operator context"), reached).split("\n");
  const line = (subject: string): string | undefined => lines.find((each) => each.includes(` ${subject}: `));
  expect(line("way to entries")).toMatch(/^not looked at +way to entries: .*--identity DIR$/);
  expect(line("ports")).toMatch(/^not looked at +ports: .*--node-config FILE or --control-config FILE$/);
  expect(line("snapshot of the node")).toMatch(/--node-config FILE$/);
  // Nobody is told to pass what was passed.
  expect(line("control's store")).toMatch(/^not looked at +control's store: .*did not tell/);
  for (const kind of ["operator context", "node", "control", "client"] as const) {
    const { places } = together([at(kind)]);
    const none = withReasons(diagnose({ ...noFacts, places }).checks, places);
    for (const { check, why } of none) expect(why, `${check} of ${kind}`).toMatch(/\w/);
  }
  const fine = withReasons(diagnose(together([reached])).checks, []).find(({ check }) => check === "clock");
  expect(fine).not.toHaveProperty("why");
});

it("M-F12 doctor tells a mistake under its subject, with the fix", () => {
  const text = said(at("node"), reached, down);
  expect(text).toMatch(
    /^problem +way to control: 1 problem, 2 addresses called\n {2}\/c, d:1: control does not answer there \(ECONNREFUSED\)\n {4}fix: /m,
  );
  expect(text).toMatch(/^1 problem found/m);
});

it("M-F12 doctor claims nothing about the fabric: it ends with what it looked at, and where the fabric's health is", () => {
  for (const text of [said(at("operator context"), reached), said(at("control")), said(at("node"), reached, down)]) {
    expect(text).not.toMatch(/nothing is wrong/);
    const [counted = "", about = ""] = text.split("\n").slice(-2);
    expect(counted).toMatch(/ \(\d+ of 13 subjects looked at, on this host\)$/);
    expect(about).toMatch(/set up.*fabric.*: weft alert list, weft node list --health/);
  }
  const facts = together([at("operator context"), reached]);
  const meant = { context: "plant two", cluster: "east" };
  expect(diagnosisText(facts, diagnose(facts), { meant })).toContain(
    "weft alert list --context 'plant two' --cluster east, weft node list --health --context 'plant two' --cluster east",
  );
  expect(said(at("operator context"), reached)).toMatch(/^no known mistake found \(5 of 13 subjects/m);
});
