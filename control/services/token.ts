/** weft.admin.v1.TokenService. A token's text exists in the answer that makes it, and nowhere else. */

import type { ServiceImpl } from "@connectrpc/connect";
import { makeJoinToken } from "../../certs/join-token.ts";
import type { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import type { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { audited } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireOrganization } from "../store/organizations.ts";
import { insertToken, listTokens, revokeToken, type TokenRow } from "../store/tokens.ts";
import { roles } from "../store/vocabulary.ts";
import { callerOf, invalid, type ServiceDeps } from "./service-context.ts";

const NAME_PREFIX = /^[a-z0-9][a-z0-9-]{0,40}$/;

export function tokenService(deps: ServiceDeps): ServiceImpl<typeof TokenService> {
  return {
    async createToken(request, context) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const roleTexts = checkRoles(request.roles);
      const organizationIds: string[] = [];
      if (request.organizationIds.length > limits.joinListItemsMaxCount)
        throw invalid("organization_ids", "too many organizations");
      for (const id of request.organizationIds)
        organizationIds.push((await requireOrganization(deps.sql, cluster.id, id)).id);
      const lifeMs = checkLife(request.lifeMs);
      const maxUses = checkUses(request.maxUses);
      const { autoApprove, namePrefix } = request;
      if (namePrefix !== "" && !NAME_PREFIX.test(namePrefix))
        throw invalid("name_prefix", "a prefix is the beginning of one lower-case DNS label");
      if (autoApprove) requireTight({ roles: roleTexts, namePrefix, lifeMs, maxUses });
      const { keyHash } = await deps.authority.installation();
      const actor = callerOf(context).spiffe;
      const id = `tk-${randomLabel(deps.random, 16)}`;
      const about = { clusterSlug: cluster.slug, tokenId: id, installationKeyHash: keyHash };
      const { text, secretHash } = makeJoinToken(deps.random, about);
      const row = await audited(
        deps.sql,
        {
          actor,
          action: "token.created",
          object: `token/${id}`,
          clusterId: cluster.id,
          after: { roles: roleTexts, organizationIds, lifeMs, maxUses, autoApprove, namePrefix },
        },
        (tx) =>
          insertToken(tx, deps.seal, {
            id,
            clusterId: cluster.id,
            secretHash: Buffer.from(secretHash).toString("hex"),
            roles: roleTexts,
            organizationIds,
            lifeMs,
            maxUses,
            createdBy: actor,
            autoApprove,
            namePrefix,
          }),
      );
      return { token: tokenMessage(row), text };
    },
    async listTokens(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      return { tokens: (await listTokens(deps.sql, cluster.id)).map(tokenMessage) };
    },
    async revokeToken(request, context) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const row = await audited(
        deps.sql,
        {
          actor: callerOf(context).spiffe,
          action: "token.revoked",
          object: `token/${request.tokenId}`,
          clusterId: cluster.id,
          after: { status: "revoked" },
        },
        (tx) => revokeToken(tx, cluster.id, request.tokenId),
      );
      return { token: tokenMessage(row) };
    },
  };
}

/** A token that approves by itself says who may come: which roles, which names, how many, and not for long (M-A3). */
function requireTight(scope: {
  readonly roles: readonly string[];
  readonly namePrefix: string;
  readonly lifeMs: number;
  readonly maxUses: number;
}): void {
  if (scope.roles.length === 0) throw invalid("roles", "a token that approves by itself names the roles it gives");
  if (scope.namePrefix === "")
    throw invalid("name_prefix", "a token that approves by itself says how the names of its hosts begin");
  if (scope.lifeMs > limits.autoApproveLifeMaxMs)
    throw invalid("life_ms", `a token that approves by itself lives at most ${limits.autoApproveLifeMaxMs} ms`);
  if (scope.maxUses > limits.autoApproveUsesMaxCount)
    throw invalid("max_uses", `a token that approves by itself has at most ${limits.autoApproveUsesMaxCount} uses`);
}

function checkRoles(values: readonly NodeRole[]): readonly string[] {
  return [...new Set(values)].map((value) => {
    const text = roles.text(value);
    if (text === undefined) throw invalid("roles", "an unknown role");
    return text;
  });
}

function checkLife(lifeMs: bigint): number {
  if (lifeMs === 0n) return limits.joinTokenLifeDefaultMs;
  if (lifeMs < 0n || lifeMs > BigInt(limits.joinTokenLifeMaxMs)) {
    throw invalid("life_ms", `a token lives at most ${limits.joinTokenLifeMaxMs} ms`);
  }
  return Number(lifeMs);
}

function checkUses(maxUses: number): number {
  if (maxUses === 0) return 1;
  if (maxUses > limits.joinTokenUsesMaxCount) throw invalid("max_uses", `at most ${limits.joinTokenUsesMaxCount} uses`);
  return maxUses;
}

function tokenMessage(row: TokenRow) {
  return {
    id: row.id,
    clusterId: row.clusterId,
    roles: row.roles.map((role) => roles.value(role)),
    organizationIds: [...row.organizationIds],
    expiresAtMs: BigInt(row.expiresAtMs),
    maxUses: row.maxUses,
    usedCount: row.usedCount,
    createdBy: row.createdBy,
    createdAtMs: BigInt(row.createdAtMs),
    revokedAtMs: BigInt(row.revokedAtMs ?? 0),
    autoApprove: row.autoApprove,
    namePrefix: row.namePrefix,
  };
}
