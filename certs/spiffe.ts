/**
 * SPIFFE ids, the only identity a certificate of Weft carries.
 *
 * I1. `formatSpiffe` and `parseSpiffe` are inverse; one exact regular expression decides, never a URL parser: those
 *     normalise `%2e%2e`, case and ports, and would turn one identity into another.
 * I2. Operators belong to the installation, everybody else to a cluster: the operator's cluster segment is the constant
 *     `installation`, and no other kind may use it.
 */

import { WeftError } from "../lib/errors.ts";

/** The kinds of peer. Each has a root and a leaf profile of its own. */
export const spiffeKinds = ["node", "control", "pool", "client", "operator"] as const;

export type SpiffeKind = (typeof spiffeKinds)[number];

/** The cluster segment of operators. */
export const INSTALLATION = "installation";

export interface SpiffeId {
  readonly trustDomain: string;
  /** `installation` for operators. */
  readonly clusterId: string;
  readonly kind: SpiffeKind;
  readonly id: string;
}

const SPIFFE =
  /^spiffe:\/\/([a-z0-9.-]{1,255})\/cluster\/([a-z0-9-]{1,63})\/(node|control|pool|client|operator)\/([a-z0-9-]{1,63})$/;

/** The id named by exactly this text, or undefined. */
export function parseSpiffe(uri: string): SpiffeId | undefined {
  const match = SPIFFE.exec(uri);
  if (match === null) return undefined;
  const [, trustDomain = "", clusterId = "", kind = "", id = ""] = match;
  if ((kind === "operator") !== (clusterId === INSTALLATION)) return undefined;
  return { trustDomain, clusterId, kind: kind as SpiffeKind, id };
}

/** The text of an id. Throws `invalid_argument` (SPIFFE_ID) when its parts do not make one. */
export function formatSpiffe(id: SpiffeId): string {
  const uri = `spiffe://${id.trustDomain}/cluster/${id.clusterId}/${id.kind}/${id.id}`;
  const parsed = parseSpiffe(uri);
  const same =
    parsed !== undefined &&
    parsed.trustDomain === id.trustDomain &&
    parsed.clusterId === id.clusterId &&
    parsed.kind === id.kind &&
    parsed.id === id.id;
  if (!same) throw new WeftError("invalid_argument", "not a valid identity", { detail: "SPIFFE_ID" });
  return uri;
}

/** The cluster segment a kind of peer of `clusterId` carries (I2). */
export function clusterSegment(kind: SpiffeKind, clusterId: string): string {
  return kind === "operator" ? INSTALLATION : clusterId;
}
