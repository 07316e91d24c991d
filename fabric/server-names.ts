/**
 * The DNS names peers put into a TLS ClientHello, built and read in one place. A name selects a server object before TLS;
 * it never authorizes anything.
 *
 * SN1. `parseServerName` is total and the inverse of the builders.
 * SN2. A node cannot be given a name that would be read as another kind (`isNodeName`).
 */

import { WeftError } from "../lib/errors.ts";

const SUFFIX = ".weft.internal";
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LINK_LABEL = /^link-[a-z2-7]{26}$/;
const ROLE_LABELS: ReadonlySet<string> = new Set(["client", "join", "control"]);

export type ServerName =
  | { readonly kind: "link"; readonly label: string; readonly slug: string }
  | { readonly kind: "client"; readonly slug: string }
  | { readonly kind: "join"; readonly slug: string }
  | { readonly kind: "control"; readonly slug: string }
  | { readonly kind: "node"; readonly name: string; readonly slug: string };

/** Whether `text` can be a cluster's slug: one lower-case DNS label. */
export function isClusterSlug(text: string): boolean {
  return LABEL.test(text);
}

/** Whether a node may be called `text`: a lower-case DNS label that names no other kind of server (SN2). */
export function isNodeName(text: string): boolean {
  return LABEL.test(text) && !ROLE_LABELS.has(text) && !text.startsWith("link-");
}

/** Whether `text` has the form of a link label: `link-` and 26 base32 characters (130 bits). */
export function isLinkLabel(text: string): boolean {
  return LINK_LABEL.test(text);
}

/** The name links to a node use. Throws `invalid_argument` (SERVER_NAME) when a part is not a label. */
export function linkServerName(label: string, slug: string): string {
  return build(isLinkLabel(label), label, slug);
}

/** The name clients use towards an entry of the cluster. Errors of `linkServerName`. */
export function clientServerName(slug: string): string {
  return build(true, "client", slug);
}

/** The name of control's anonymous joining server. Errors of `linkServerName`. */
export function joinServerName(slug: string): string {
  return build(true, "join", slug);
}

/** The name nodes use towards control. Errors of `linkServerName`. */
export function controlServerName(slug: string): string {
  return build(true, "control", slug);
}

/** The readable name of a node, for its operator port. Errors of `linkServerName`. */
export function nodeServerName(name: string, slug: string): string {
  return build(isNodeName(name), name, slug);
}

function build(valid: boolean, label: string, slug: string): string {
  if (!valid || !isClusterSlug(slug)) {
    throw new WeftError("invalid_argument", "not a valid server name", { detail: "SERVER_NAME" });
  }
  return `${label}.${slug}${SUFFIX}`;
}

/** What a server name asks for, or undefined when it is none of ours. Case does not matter (RFC 4343). */
export function parseServerName(text: string): ServerName | undefined {
  if (text.length > 253) return undefined;
  const lower = text.toLowerCase();
  if (!lower.endsWith(SUFFIX)) return undefined;
  const labels = lower.slice(0, -SUFFIX.length).split(".");
  const [label, slug] = labels;
  if (labels.length !== 2 || label === undefined || slug === undefined || !isClusterSlug(slug)) return undefined;
  if (label === "client" || label === "join" || label === "control") return { kind: label, slug };
  if (isLinkLabel(label)) return { kind: "link", label, slug };
  return isNodeName(label) ? { kind: "node", name: label, slug } : undefined;
}
