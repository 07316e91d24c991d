/**
 * Cutting a cluster down to what one node may hold: the table says which classes of data (`data-classes.ts`).
 *
 * C3a. A field of a snapshot is filled only from its data class, and a data class only when a role of the node has it.
 * C3b. A role for organization X fills a class with X's rows alone (`visibility.ts`).
 * C3c. A class that comes with the membership is filled with rows of the node itself alone.
 */

import { create } from "@bufbuild/protobuf";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { addressesOf, type Builder, builders, type Fields, type Subject } from "./builders.ts";
import type { ClusterView, FullView, LastingNode } from "./cluster-view.ts";
import { classesOfMember, classesOfRole, type DataClass, dataClasses } from "./data-classes.ts";
import { encodeFields, type Section } from "./encode.ts";
import { clusterPolicy } from "./offline-scope.ts";
import { indexOf, keptOfNode } from "./view-index.ts";
import { type OrganizationScope, scopeOfRoles } from "./visibility.ts";

export interface SnapshotDates {
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
}

/** The snapshot of one node. Throws `not_found` (NODE_UNKNOWN) when the view has no such node. */
export function scopeSnapshot(view: ClusterView, nodeId: string, dates: SnapshotDates): Snapshot {
  const full = fullView(view);
  const node = requireNode(full, nodeId);
  const fields: Fields = core(view, node, dates);
  for (const dataClass of dataClasses) Object.assign(fields, builders[dataClass].build(subjectOf(full, node)));
  return create(SnapshotSchema, fields);
}

/**
 * The same snapshot, encoded: the core, then each data class. What a node was given last is used again for as long as
 * nothing it is made from is another object. Throws `not_found` (NODE_UNKNOWN) when the view has no such node.
 */
export function encodeSnapshot(view: ClusterView, nodeId: string, dates: SnapshotDates): readonly Section[] {
  const full = fullView(view);
  const node = requireNode(full, nodeId);
  const subject = subjectOf(full, node);
  const given = givenSections.get(node) ?? new Map<DataClass, GivenSection>();
  givenSections.set(node, given);
  const sections = dataClasses.map((dataClass) => {
    const builder: Builder = builders[dataClass];
    const from = builder.parts.map((part) => full[part]);
    const last = given.get(dataClass);
    if (last?.from.every((list, at) => list === from[at]) === true) return last.section;
    const section = encodeFields(SnapshotSchema, builder.build(subject));
    given.set(dataClass, { from, section });
    return section;
  });
  return [encodeFields(SnapshotSchema, core(view, node, dates)), ...sections];
}

const fullViews = new WeakMap<ClusterView, FullView>();

/** The same view; one object for one. */
function fullView(view: ClusterView): FullView {
  const made = fullViews.get(view) ?? { ...view, lasting: view.lasting ?? view.nodes };
  fullViews.set(view, made);
  return made;
}

interface GivenSection {
  /** The parts of the view that it was made from. */
  readonly from: readonly unknown[];
  readonly section: Section;
}

const givenSections = new WeakMap<LastingNode, Map<DataClass, GivenSection>>();

function requireNode(view: FullView, nodeId: string): LastingNode {
  const node = indexOf(view).byId.get(nodeId);
  if (node === undefined) throw new WeftError("not_found", "no such node", { detail: "NODE_UNKNOWN" });
  return node;
}

const noScope: OrganizationScope = { all: false, ids: new Set() };

function subjectOf(view: FullView, node: LastingNode): Subject {
  const scopes = scopesOf(node);
  return {
    view,
    node,
    scope: (dataClass) => scopes.get(dataClass) ?? noScope,
    ofMember: (dataClass) => classesOfMember.includes(dataClass),
  };
}

const scopesOfNodes = new WeakMap<LastingNode, ReadonlyMap<DataClass, OrganizationScope>>();

/** The organizations a node's roles cover, by data class. */
function scopesOf(node: LastingNode): ReadonlyMap<DataClass, OrganizationScope> {
  const known = scopesOfNodes.get(node);
  if (known !== undefined) return known;
  const made = new Map(dataClasses.map((each) => [each, scopeOfRoles(node.roles, rolesWith.get(each) ?? [])]));
  scopesOfNodes.set(node, made);
  return made;
}

const rolesWith: ReadonlyMap<DataClass, readonly NodeRole[]> = new Map(
  dataClasses.map((dataClass) => {
    const table: Readonly<Record<number, readonly DataClass[]>> = classesOfRole;
    return [dataClass, Object.values(NodeRole).filter((role) => table[role]?.includes(dataClass) === true)];
  }),
);

function core(view: ClusterView, node: LastingNode, dates: SnapshotDates): Fields {
  return {
    trustDomain: view.trustDomain,
    clusterId: view.clusterId,
    clusterSlug: view.clusterSlug,
    nodeId: node.nodeId,
    epoch: view.epoch,
    version: view.version,
    issuedAtMs: BigInt(Math.floor(dates.issuedAtMs)),
    notAfterMs: BigInt(Math.floor(dates.notAfterMs)),
    auditHead: { seq: view.auditHead.seq, hash: view.auditHead.hash },
    bundle: view.bundle,
    ...(view.signedBundle === undefined ? {} : { signedBundle: bundleFields(view.signedBundle) }),
    offline: clusterPolicy(view),
    testTelemetryOff: (view.telemetryOff ?? []).some(
      ({ organizationId, nodeId }) => organizationId === "" && (nodeId === "" || nodeId === node.nodeId),
    ),
    self: keptOfNode(node, "self", () => ({
      name: node.name,
      roles: node.roles.map(({ role, organizationId }) => ({ role, organizationId })),
      region: node.region,
      addresses: addressesOf(node),
      linkLabel: node.linkLabel,
      dialOutOnly: node.dialOutOnly,
    })),
  };
}

type SignedBundle = NonNullable<ClusterView["signedBundle"]>;

const bundles = new WeakMap<SignedBundle, ReturnType<typeof bundleFields>>();

/** One object for all nodes: it is the largest thing that all of them hold. */
function bundleFields(signed: SignedBundle): { readonly bundle: Uint8Array; readonly signature: Uint8Array } {
  const known = bundles.get(signed);
  if (known !== undefined) return known;
  const made = { bundle: signed.bytes, signature: signed.signature };
  bundles.set(signed, made);
  return made;
}
