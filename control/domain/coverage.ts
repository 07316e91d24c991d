/**
 * Role coverage: whether somebody does what a cluster and its organizations need. Pure.
 *
 * Needed is every role that was given to a member, for whom it was given, and for an organization with a resource an
 * entry, an egress and (unless routes may go direct) a relay. A need is a gap when no member with the role for it is able:
 * it answers (online, or silent for less than a minute), takes new work (not draining, not disabled) and reports the
 * capability.
 */

/** Members with a role, as counted by the store. Those of an organization exclude whoever has the role for all of them. */
export interface RoleCount {
  readonly role: string;
  /** Empty: the role for every organization. */
  readonly organizationId: string;
  readonly holders: number;
  readonly able: number;
}

export interface RoleNeeds {
  /** Organizations with a resource. */
  readonly organizationIds: readonly string[];
  /** Whether a route intent lets paths go without relays. */
  readonly direct: boolean;
}

export interface RoleCoverage extends RoleCount {
  readonly gap: boolean;
}

const none = { holders: 0, able: 0 } as const;

/** Every need of a cluster with who covers it, by role and organization. */
export function coverageOf(counts: readonly RoleCount[], needs: RoleNeeds): readonly RoleCoverage[] {
  const keyOf = (role: string, organizationId: string): string => `${role}@${organizationId}`;
  const counted = new Map(counts.map((count) => [keyOf(count.role, count.organizationId), count]));
  const wanted = new Map<string, { readonly role: string; readonly organizationId: string }>(counted);
  for (const organizationId of needs.organizationIds) {
    for (const role of needs.direct ? ["entry", "egress"] : ["entry", "egress", "relay"]) {
      wanted.set(keyOf(role, organizationId), { role, organizationId });
    }
  }
  const rows = [...wanted.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return rows.map(([key, { role, organizationId }]) => {
    const own = counted.get(key) ?? none;
    const shared = organizationId === "" ? none : (counted.get(keyOf(role, "")) ?? none);
    const [holders, able] = [own.holders + shared.holders, own.able + shared.able];
    // With holders for all organizations only, the gap is theirs, and told once.
    const told = own.holders === 0 && shared.holders > 0;
    return { role, organizationId, holders, able, gap: able === 0 && !told };
  });
}

/** The object of a gap's alert: "role/relay", "role/relay@org-...". */
export function coverageObject({ role, organizationId }: Pick<RoleCount, "role" | "organizationId">): string {
  return `role/${role}${organizationId === "" ? "" : `@${organizationId}`}`;
}

/** What a gap's alert says. */
export function coverageDetail({ role, holders }: Pick<RoleCoverage, "role" | "holders">): string {
  if (holders === 0) return `no node has the role ${role} it needs: weft role assign <node> ${role}`;
  const nodes = holders === 1 ? "1 node has" : `${holders} nodes have`;
  return `${nodes} the role ${role}, and none of them answers, takes new work and reports the capability`;
}
