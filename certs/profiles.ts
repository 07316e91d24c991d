/**
 * The leaf profile of each kind of peer: what its certificate says it may do in TLS, and how long it lives. The issuer
 * writes it and the judge demands it, byte for byte, from this one total table.
 */

import { limits } from "../lib/limits.ts";
import type { SpiffeKind } from "./spiffe.ts";

export type Usage = "serverAuth" | "clientAuth";

export interface LeafProfile {
  /** In this order in the certificate. */
  readonly usages: readonly Usage[];
  readonly lifeMs: number;
  /** Whether the certificate may carry DNS and IP names, for stock TLS stacks. */
  readonly hostNames: boolean;
}

export const leafProfiles = {
  node: { usages: ["serverAuth", "clientAuth"], lifeMs: limits.leafLifeMs, hostNames: true },
  control: { usages: ["serverAuth"], lifeMs: limits.leafLifeMs, hostNames: true },
  pool: { usages: ["serverAuth"], lifeMs: limits.leafLifeMs, hostNames: true },
  client: { usages: ["clientAuth"], lifeMs: limits.leafLifeMs, hostNames: false },
  operator: { usages: ["clientAuth"], lifeMs: limits.operatorLeafLifeMs, hostNames: false },
} as const satisfies Record<SpiffeKind, LeafProfile>;

/** Extended key usage OIDs (RFC 5280, 4.2.1.12). */
export const usageOids = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const satisfies Record<Usage, string>;
