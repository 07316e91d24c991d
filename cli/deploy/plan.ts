/** The plan of a deployment as one object: what programs get, and what people read. It holds no secret and no key. */

import { styleText } from "node:util";
import type { OperatorContextFile } from "../../rpc/operator-context.ts";
import { safeText } from "../output.ts";
import { type Compared, compare, type Difference, type PlannedAction, type Running, unlisted } from "./compare.ts";
import { type Inventory, remarksOn } from "./inventory.ts";
import {
  configurationOf,
  controlStepsOf,
  forMeant,
  inOrder,
  type Meant,
  type Step,
  stepsForMeant,
  stepsOf,
  tokenCommand,
  tokenFile,
} from "./steps.ts";

type Pinned = Pick<OperatorContextFile, "trustDomain" | "installationKeyHash" | "clusters" | "defaultCluster">;

interface PlannedNode {
  readonly name: string;
  readonly host: string;
  readonly action: PlannedAction;
  readonly differences: readonly Difference[];
  readonly unwell: readonly string[];
  /** What proves the installation to the node before its token leaves it. */
  readonly caPin: string;
  /** What its certificate will say, or says. */
  readonly identity: string;
  /** The identity of every control it will talk to begins so. */
  readonly controlIdentity: string;
  /** Only of nodes that join: where its token will be and what makes it. Never its text. */
  readonly token?: { readonly file: string; readonly command: string };
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly steps: readonly Step[];
}

export interface DeployPlan {
  readonly cluster: string;
  /** false: nobody asked control, and every node is planned as if it were new. */
  readonly compared: boolean;
  readonly pending: number;
  readonly unwell: number;
  readonly control: readonly Step[];
  readonly nodes: readonly PlannedNode[];
  readonly unlisted: readonly string[];
  /** What is allowed, and yet seldom meant. */
  readonly remarks: readonly string[];
}

const unknownHere = "not known here: it is in the operator's context, and weft control init makes it";

function identitiesOf(pinned: Pinned | undefined, cluster: string) {
  const id = pinned?.clusters.find(({ id, slug }) => id === cluster || slug === cluster)?.id;
  if (pinned === undefined || id === undefined) return undefined;
  return { prefix: `spiffe://${pinned.trustDomain}/cluster/${id}`, pin: `sha256:${pinned.installationKeyHash}` };
}

function plannedNode(
  inventory: Inventory,
  { file, meant = {} }: { readonly file: string; readonly meant?: Meant },
  pinned: ReturnType<typeof identitiesOf>,
  each: Compared,
) {
  const { node, action, differences, unwell, nodeId } = each;
  const joins = action === "join" || action === "rejoin";
  const id = joins || nodeId === undefined ? "{id: given when it is approved}" : nodeId;
  return {
    ...{ name: node.name, host: node.host, action, differences, unwell },
    caPin: pinned?.pin ?? unknownHere,
    identity: pinned === undefined ? unknownHere : `${pinned.prefix}/node/${id}`,
    controlIdentity: pinned === undefined ? unknownHere : `${pinned.prefix}/control/`,
    ...(joins ? { token: { file: tokenFile(node), command: forMeant(tokenCommand(node), meant) } } : {}),
    configuration: configurationOf(inventory, node),
    steps: stepsForMeant(stepsOf(file, each), meant),
  };
}

/**
 * The plan for an inventory out of `file`: of all nodes, or of `only` one. Nothing is done.
 */
export function planOf(
  inventory: Inventory,
  about: {
    readonly file: string;
    readonly cluster: string;
    readonly pinned: Pinned | undefined;
    readonly running: Running | undefined;
    readonly only?: string | undefined;
    readonly meant?: Meant;
  },
): DeployPlan {
  const all = inOrder(compare(inventory, about.running)).filter(
    ({ node }) => about.only === undefined || node.name === about.only,
  );
  const pinned = identitiesOf(about.pinned, about.cluster);
  return {
    cluster: about.cluster,
    compared: about.running !== undefined,
    pending: all.filter(({ action }) => action !== "keep").length,
    unwell: all.filter(({ unwell }) => unwell.length > 0).length,
    control: about.only === undefined ? stepsForMeant(controlStepsOf(inventory, all), about.meant ?? {}) : [],
    nodes: all.map((each) => plannedNode(inventory, about, pinned, each)),
    unlisted: about.only === undefined ? unlisted(inventory, about.running) : [],
    remarks: about.only === undefined ? remarksOn(inventory) : [],
  };
}

const marks = { join: "green", rejoin: "red", change: "yellow", keep: "dim" } as const;

/** How an action looks on a terminal. */
const painted = (action: PlannedAction, text: string): string => styleText(marks[action], text);

function stepLines(steps: readonly Step[]): string[] {
  return steps.flatMap(({ what, on, commands, rollback }, at) => [
    `  ${at + 1}. ${what} [${on}]`,
    ...commands.map((command) => `       ${command}`),
    ...rollback.map((command, index) => `     ${index === 0 ? "back:" : "     "} ${command}`),
  ]);
}

function nodeLines(node: PlannedNode, paint: typeof painted): string[] {
  const { name, host, action, differences, unwell, token } = node;
  const head = paint(action, action.padEnd(7)) + safeText(`${name} on ${host}`);
  const lines = [
    ...differences.map(({ what, now, wanted }) => `  ${what}: ${now || "none"} -> ${wanted || "none"}`),
    ...unwell.map((why) => `  not well: ${why}`),
    ...(action === "keep"
      ? []
      : [
          `  CA pin            ${node.caPin}`,
          `  identity          ${node.identity}`,
          `  control identity  ${node.controlIdentity}${node.controlIdentity === unknownHere ? "" : "{id: each control has its own}"}`,
          ...(token === undefined ? [] : [`  token             in ${token.file}, once: ${token.command}`]),
          ...stepLines(node.steps),
        ]),
    "",
  ];
  return [head, ...lines.map(safeText)];
}

/** For people. */
export function planText(plan: DeployPlan, paint: typeof painted = painted): string {
  const { cluster, compared, pending, unwell, nodes } = plan;
  const before = [
    compared
      ? `cluster ${cluster}, compared with what control knows; nothing was changed`
      : `cluster ${cluster}, not compared with any control: every node is taken as new; nothing was changed`,
    "",
    ...(plan.control.length === 0 ? [] : ["first, control", ...stepLines(plan.control), ""]),
  ];
  const after = [
    ...(plan.unlisted.length === 0
      ? []
      : [
          `not in the file, left alone: ${plan.unlisted.join(", ")} (weft node drain and weft node revoke take one out)`,
          "",
        ]),
    ...plan.remarks.map((remark) => `remark: ${remark}`),
    pending === 0 && unwell === 0
      ? `nothing to do: ${nodes.length} node${nodes.length === 1 ? " is" : "s are"} as the file says`
      : `${pending} of ${nodes.length} to be changed, one at a time, in this order; ${unwell} not well`,
  ];
  return [...before.map(safeText), ...nodes.flatMap((node) => nodeLines(node, paint)), ...after.map(safeText)].join(
    "\n",
  );
}
