/**
 * What `weft route explain` says of routes to people: first what a new trunk would take from each start and why, then what else there
 * is, in a table; every term of the scores only when all is asked for. Pure.
 */

import type { Candidate, RouteExplanation } from "../gen/weft/routing/v1/routing_pb.ts";
import { safeText, table } from "./output.ts";
import { policyLines } from "./route-policy.ts";

/** Candidates that lost and are shown nevertheless, unless all are asked for. */
const lostShownCount = 3;

/** Scores nearer than this are the same. */
const scoreTolerance = 1e-6;

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 3 : 1);
}

const pathText = ({ names }: Candidate): string => names.join(" -> ");

/** In words, why the primary is the primary. */
function whyText(primary: Candidate, others: readonly Candidate[]): string {
  const { total } = primary;
  if (total === undefined || others.length === 0) return "it is the only path there is";
  const score = `score ${number(total)}`;
  const scores = others.flatMap((other) => other.total ?? []);
  if (scores.some((other) => other < total - scoreTolerance))
    return `${score}; what scores lower, and why it was not taken, is below`;
  const same = scores.filter((other) => other <= total + scoreTolerance).length;
  if (same > 0) return `${score}, the lowest; ${same} more have it too, and the choice of this start falls on this one`;
  const more = Math.min(...scores) - total;
  return `${score}, the lowest of ${scores.length + 1}; the next one costs ${number(more)} more`;
}

/** Why a candidate is what it is, with the relays it shares with the primary: they are among its own hops. */
function reasonText({ reason, sharedHops, nodeIds, names }: Candidate): string {
  const shared = sharedHops.map((hop) => names[nodeIds.indexOf(hop)] ?? hop);
  return [...(reason === "" ? [] : [reason]), ...(shared.length === 0 ? [] : [`shares ${shared.join(", ")}`])].join(
    "; ",
  );
}

function answerLines(route: RouteExplanation, used: readonly Candidate[], lost: readonly Candidate[]): string[] {
  const [primary, standby] = used;
  if (primary === undefined) return [`from ${route.fromName} there is no path`, ...policyLines(route)];
  const others = [...(standby === undefined ? [] : [standby]), ...lost];
  const spare = standby === undefined ? "none" : `${pathText(standby)} (${reasonText(standby)})`;
  return [
    `from ${route.fromName} a new trunk would take ${pathText(primary)}`,
    `  why      ${whyText(primary, others)}`,
    `  standby  ${spare}`,
    ...policyLines(route),
  ];
}

function candidateRow(candidate: Candidate): string[] {
  const { outcome, total } = candidate;
  return [outcome, pathText(candidate), total === undefined ? "-" : number(total), reasonText(candidate) || "-"];
}

function termRows(candidate: Candidate): string[][] {
  return candidate.parts.map((part, at) => [
    at === 0 ? pathText(candidate) : "",
    part.input,
    part.value === undefined ? "not measured" : `${number(part.value)} ${part.unit}`,
    number(part.weight),
    number(part.cost),
  ]);
}

/** One start: the answer, then the candidates, then what of them is not shown. */
function startText(route: RouteExplanation, all: boolean, lineWidth: number | undefined): string {
  const of = (outcome: string): Candidate[] => route.candidates.filter((candidate) => candidate.outcome === outcome);
  const used = [...of("primary"), ...of("standby")];
  const [lost, filtered] = [of("lost"), of("filtered")];
  const shownLost = all ? lost : lost.slice(0, lostShownCount);
  // Without any path, what cannot be used is the answer.
  const shownFiltered = all || used.length === 0 ? filtered : [];
  const shown = [...used, ...shownLost, ...shownFiltered];
  const hidden = [
    ...(lost.length > shownLost.length ? [`${lost.length - shownLost.length} more that lost`] : []),
    ...(filtered.length > shownFiltered.length ? [`${filtered.length} that cannot be used`] : []),
  ];
  const terms = all ? shown.flatMap(termRows) : [];
  return [
    // Of a channel it is a node that explains.
    answerLines(route, used, lost).map(safeText).join("\n"),
    ...(shown.length === 0 ? [] : [table(["OUTCOME", "PATH", "SCORE", "WHY"], shown.map(candidateRow), lineWidth)]),
    ...(hidden.length === 0 ? [] : [`... ${hidden.join(", ")}`]),
    ...(terms.length === 0 ? [] : [table(["PATH", "TERM", "VALUE", "WEIGHT", "COST"], terms, lineWidth)]),
  ].join("\n\n");
}

/** Every start; `all`: every candidate, with every term of its score. `lineWidth`: as of `table`. */
export function explanationText(
  routes: readonly RouteExplanation[],
  all: boolean,
  lineWidth: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  return routes.map((route) => startText(route, all, lineWidth)).join("\n\n");
}

/** What people may want to know next; the last lines. */
export function explanationHints(all: boolean): string {
  return [
    "a trunk that runs stays on the path it has; weft top shows that",
    ...(all ? [] : ["every candidate, with every term of its score: --all"]),
  ].join("\n");
}
