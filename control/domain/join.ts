/**
 * What a joining host may say about itself: pure checks that run before its token is touched. Names are wishes, facts are
 * shown and never used, roles are asked for within what the token allows.
 */

import { isIP } from "node:net";
import { isNodeName } from "../../fabric/server-names.ts";
import type { EnrollRequest } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { AddressRow } from "../store/nodes.ts";
import { capabilities, roles } from "../store/vocabulary.ts";
import type { GrantRow } from "./placement.ts";

export interface JoinWish {
  readonly nodeName: string;
  readonly capabilities: readonly string[];
  readonly requestedRoles: readonly GrantRow[];
  readonly addresses: readonly AddressRow[];
  readonly dialOutOnly: boolean;
  readonly region: string;
  readonly facts: Readonly<Record<string, string>>;
}

const HOST_NAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const REGION = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;
const ORGANIZATION_ID = /^[a-z0-9-]{0,63}$/;

/** First 20 hex digits of a key hash in groups of 4: what the joining host prints and the operator compares. */
export function keyFingerprint(keyHash: string): string {
  return keyHash.slice(0, 20).match(/.{4}/g)?.join("-") ?? "";
}

/** What a host wishes, checked. Throws `invalid_argument` (INVALID_FIELD) naming the field. */
export function checkJoinWish(request: EnrollRequest): JoinWish {
  if (!isNodeName(request.nodeName)) throw invalid("node_name", "a node's name is one lower-case DNS label");
  const addresses = checkAddresses(request.addresses);
  if (request.dialOutOnly && addresses.length > 0) throw invalid("addresses", "a dial-out-only node has no addresses");
  if (!request.dialOutOnly && addresses.length === 0)
    throw invalid("addresses", "a node that others dial needs an address");
  if (request.region !== "" && (!REGION.test(request.region) || request.region.length > limits.regionMaxBytes)) {
    throw invalid("region", "a region has lower-case letters, digits, dots and dashes");
  }
  return {
    nodeName: request.nodeName,
    capabilities: checkCapabilities(request.capabilities),
    requestedRoles: checkRequestedRoles(request.requestedRoles),
    addresses,
    dialOutOnly: request.dialOutOnly,
    region: request.region,
    facts: checkFacts(request.facts),
  };
}

/** Addresses others may dial: host lower-cased, order kept, none twice. Throws `invalid_argument` (INVALID_FIELD). */
export function checkAddresses(
  addresses: readonly { readonly host: string; readonly port: number }[],
): readonly AddressRow[] {
  if (addresses.length > limits.joinListItemsMaxCount) throw invalid("addresses", "too many addresses");
  const seen = new Set<string>();
  return addresses.map(({ host, port }) => {
    const lower = host.toLowerCase();
    const known = isIP(lower) !== 0 ? !lower.includes("%") : HOST_NAME.test(lower) && !/^[0-9.]+$/.test(lower);
    if (!known || port < 1 || port > 65_535)
      throw invalid("addresses", "an address is an IP address or host name, and a port");
    const key = `${lower} ${port}`;
    if (seen.has(key)) throw invalid("addresses", "an address is listed twice");
    seen.add(key);
    return { host: lower, port };
  });
}

function checkCapabilities(values: EnrollRequest["capabilities"]): readonly string[] {
  if (values.length > limits.joinListItemsMaxCount) throw invalid("capabilities", "too many capabilities");
  // What this version does not know it cannot use: a newer node may report it.
  const texts = values.flatMap((value) => capabilities.text(value) ?? []);
  return [...new Set(texts)].sort();
}

function checkRequestedRoles(grants: EnrollRequest["requestedRoles"]): readonly GrantRow[] {
  if (grants.length > limits.joinListItemsMaxCount) throw invalid("requested_roles", "too many roles");
  const rows = new Map<string, GrantRow>();
  for (const { role: value, organizationId } of grants) {
    const role = roles.text(value);
    if (role === undefined) throw invalid("requested_roles", "an unknown role");
    if (!ORGANIZATION_ID.test(organizationId)) throw invalid("requested_roles", "not an organization id");
    rows.set(`${role} ${organizationId}`, { role, organizationId });
  }
  return [...rows.values()];
}

function checkFacts(facts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (Buffer.byteLength(JSON.stringify(facts)) > limits.factsMaxBytes) {
    throw invalid("facts", `facts are at most ${limits.factsMaxBytes} bytes`);
  }
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [escaped(key), escaped(value)]));
}

/**
 * Control, formatting (bidi, zero-width) and line-separator characters as `\u{...}`: what an operator reads in a terminal
 * or browser is what was sent.
 */
export function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu,
    (each) => `\\u{${each.codePointAt(0)?.toString(16) ?? ""}}`,
  );
}

/**
 * Whether a token's scope covers what is asked for: its roles (none listed: any), for its organizations (none: any), under
 * a name that begins as it says.
 */
export function isWithinScope(
  token: {
    readonly roles: readonly string[];
    readonly organizationIds: readonly string[];
    readonly namePrefix: string;
  },
  { requestedRoles, nodeName }: Pick<JoinWish, "requestedRoles" | "nodeName">,
): boolean {
  if (!nodeName.startsWith(token.namePrefix)) return false;
  return requestedRoles.every(
    ({ role, organizationId }) =>
      (token.roles.length === 0 || token.roles.includes(role)) &&
      (token.organizationIds.length === 0 || token.organizationIds.includes(organizationId)),
  );
}

function invalid(field: string, message: string): WeftError {
  return new WeftError("invalid_argument", message, { detail: "INVALID_FIELD", metadata: { field } });
}
