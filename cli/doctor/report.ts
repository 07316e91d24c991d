/**
 * A diagnosis as people read it: what was checked and how much of it there was, each mistake with its fix, why something was not
 * looked at and what to pass to have it looked at. It claims nothing about what nobody looked at, the fabric's health first of all.
 */

import { styleText } from "node:util";
import { forMeant, type Meant } from "../deploy/steps.ts";
import { safeText } from "../output.ts";
import type { Facts, PlaceFact } from "./facts.ts";
import type { CheckName, CheckResult, Diagnosis } from "./judgements.ts";

type Place = PlaceFact["kind"];

/** A check as a subject: its name is that of the mistake. */
interface Subject {
  readonly name: string;
  /** What was counted, one of it and several. */
  readonly counted: readonly [one: string, many: string];
  /** Which places show it. */
  readonly shownBy: readonly Place[];
  /** Why there can be none of it in such a place. */
  readonly none: string;
}

const everywhere: readonly Place[] = ["operator context", "node", "control", "client"];
const identities: readonly Place[] = ["operator context", "node", "client"];

const subjects: Readonly<Record<CheckName, Subject>> = {
  configuration: {
    name: "configuration",
    counted: ["configuration read", "configurations read"],
    shownBy: everywhere,
    none: "none could be opened (see key files)",
  },
  "name-resolution": {
    name: "host names",
    counted: ["host looked up", "hosts looked up"],
    shownBy: everywhere,
    none: "what was looked at names no host, or cannot be used",
  },
  "control-unreachable": {
    name: "way to control",
    counted: ["address called", "addresses called"],
    shownBy: ["operator context", "node"],
    none: "there is no identity to call with (not joined, or not to be used), or no address that resolves",
  },
  "entry-unreachable": {
    name: "way to entries",
    counted: ["address called", "addresses called"],
    shownBy: ["client"],
    none: "the client's folder cannot be used, or names no entry that resolves",
  },
  "ca-mismatch": {
    name: "identity and CA of who answers",
    counted: ["answer judged", "answers judged"],
    shownBy: identities,
    none: "nobody answered whose certificate could be judged",
  },
  certificate: {
    name: "own certificates",
    counted: ["certificate read", "certificates read"],
    shownBy: identities,
    none: "there is none yet (not joined), or it cannot be read",
  },
  clock: {
    name: "clocks",
    counted: ["compared with control's or an entry's", "compared with control's or an entry's"],
    shownBy: identities,
    none: "nobody answered whose clock could be compared with this one",
  },
  "key-permissions": {
    name: "key files",
    counted: ["file looked at", "files looked at"],
    shownBy: everywhere,
    none: "what was looked at names none, or cannot be used",
  },
  ports: {
    name: "ports",
    counted: ["port tried", "ports tried"],
    shownBy: ["node", "control"],
    none: "the configuration fixes none, or cannot be used",
  },
  disk: {
    name: "disks",
    counted: ["folder written to", "folders written to"],
    shownBy: ["node", "control", "client"],
    none: "there is no folder for data on this host yet, none is needed (PostgreSQL), or what names it cannot be used",
  },
  "store-version": {
    name: "control's store",
    counted: ["store asked", "stores asked"],
    shownBy: ["control", "operator context"],
    none: "control did not tell of it, and it was not opened here (in use by a running control, or its key or configuration is not right)",
  },
  "old-snapshot": {
    name: "snapshot of the node",
    counted: ["snapshot read", "snapshots read"],
    shownBy: ["node"],
    none: "the node holds none yet, or it cannot be read",
  },
  "wrong-role": {
    name: "roles",
    counted: ["grant or placement compared", "grants and placements compared"],
    shownBy: ["operator context", "node"],
    none: "control did not tell of any, and no snapshot here does",
  },
};

const sources: Readonly<Record<Place, { readonly called: string; readonly flag: string }>> = {
  "operator context": { called: "an operator's context", flag: "--context CONTEXT" },
  node: { called: "a node's configuration", flag: "--node-config FILE" },
  control: { called: "a control's configuration", flag: "--control-config FILE" },
  client: { called: "a client's folder", flag: "--identity DIR" },
};

function whyNot(check: CheckName, places: Facts["places"]): string {
  const { shownBy, none } = subjects[check];
  if (places.some(({ kind }) => shownBy.includes(kind))) return none;
  const wanted = shownBy.map((kind) => sources[kind]);
  const list = (words: readonly string[]): string => words.join(" or ");
  return `only ${list(wanted.map(({ called }) => called))} shows that: pass ${list(wanted.map(({ flag }) => flag))}`;
}

export interface ReasonedCheck extends CheckResult {
  /** Why it was not looked at. */
  readonly why?: string;
}

/** Checks with the reason of each that was not looked at. */
export function withReasons(checks: readonly CheckResult[], places: Facts["places"]): readonly ReasonedCheck[] {
  return checks.map((each) => (each.state === "not looked at" ? { ...each, why: whyNot(each.check, places) } : each));
}

/** On a terminal, unless NO_COLOR is set. */
const colours = { ok: "green", problem: "red", "not looked at": "dim" } as const;
const painted = (state: CheckResult["state"], text: string): string => styleText(colours[state], text);

const problemsText = (count: number): string => `${count} problem${count === 1 ? "" : "s"}`;

function checkText({ check, state, looked, findings, why }: ReasonedCheck, paint: typeof painted): string {
  const { name, counted } = subjects[check];
  const said = [
    ...(findings.length === 0 ? [] : [problemsText(findings.length)]),
    ...(looked === 0 ? [] : [`${looked} ${counted[looked === 1 ? 0 : 1]}`]),
    ...(why === undefined ? [] : [why]),
  ];
  return [
    `${paint(state, state.padEnd(15))}${name}: ${said.join(", ")}`,
    ...findings.flatMap(({ about, problem, fix }) => [
      `  ${safeText(`${about}: ${problem}`)}`,
      `    fix: ${safeText(fix)}`,
    ]),
  ].join("\n");
}

/** For people; what they are told to run is for the installation that is `meant`. */
export function diagnosisText(
  { places }: Facts,
  { checks }: Diagnosis,
  { meant = {}, paint = painted }: { readonly meant?: Meant; readonly paint?: typeof painted } = {},
): string {
  const count = checks.reduce((sum, { findings }) => sum + findings.length, 0);
  const looked = checks.filter(({ state }) => state !== "not looked at").length;
  const health = ["weft alert list", "weft node list --health"].map((command) => forMeant(command, meant)).join(", ");
  return [
    ...places.map(({ kind, at }) => `${kind}: ${safeText(at)}`),
    "",
    ...withReasons(checks, places).map((each) => checkText(each, paint)),
    "",
    `${count === 0 ? "no known mistake" : problemsText(count)} found (${looked} of ${checks.length} subjects looked at, on this host)`,
    safeText(
      `This is about how this host is set up. The health of the fabric and its nodes operators see with: ${health}`,
    ),
  ].join("\n");
}
