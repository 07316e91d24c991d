/**
 * What may be placed where: resources in pools, listeners at entries, nodes in pools. Pure checks of what an operator
 * asks for; each returns the checked and completed value or throws `invalid_argument` / `failed_precondition`.
 *
 * - A name is a DNS label: it appears in lists, logs and client requests.
 * - A target is a host and port, or (for messages) a Unix socket path, never both. Whether the address may be dialled is
 *   decided by the egress after resolution, within its own ceiling; control does not resolve names.
 * - A listener binds an IP address, loopback unless a source list says who may connect.
 */

import { isIP } from "node:net";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";

export type ResourceKindName = "tcp" | "message";
export type ClassName = "bulk" | "interactive" | "droppable";
export type AssuranceName = "anonymous" | "entry-asserted" | "proved";

/** A role as stored: for one organization, or for all when `organizationId` is empty. */
export interface GrantRow {
  readonly role: string;
  readonly organizationId: string;
}

/** Whether one of `grants` gives `role` for `organizationId`. */
export function grantsRoleFor(grants: readonly GrantRow[], role: string, organizationId: string): boolean {
  return grants.some(
    (grant) => grant.role === role && (grant.organizationId === "" || grant.organizationId === organizationId),
  );
}

function invalid(message: string, field: string): WeftError {
  return new WeftError("invalid_argument", message, { detail: "INVALID_FIELD", metadata: { field } });
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Whether it is one: lower-case letters, digits and inner dashes, at most 63. */
export function isName(name: string): boolean {
  return NAME.test(name);
}

/** The name of a pool, resource or listener. Throws `invalid_argument` (INVALID_FIELD) unless it is one. */
export function checkName(name: string, field = "name"): string {
  if (!isName(name)) {
    throw invalid("a name is lower-case letters, digits and inner dashes, at most 63 characters", field);
  }
  return name;
}

const HOST_NAME =
  /^(?=.{1,253}$)([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*$/;

function checkHost(host: string): string {
  if (isIP(host) === 0 && !HOST_NAME.test(host))
    throw invalid("the host is neither an IP address nor a host name", "host");
  // A resolver reads these as addresses; the egress judges what they resolve to, but nobody means them.
  if (isIP(host) === 0 && /^[0-9.]+$/.test(host)) throw invalid("the host is not a complete IP address", "host");
  return host.toLowerCase();
}

function checkUnixPath(path: string): string {
  const plain = path.startsWith("/") && !path.includes("\0") && !path.split("/").includes("..");
  if (!plain || Buffer.byteLength(path) > limits.unixPathMaxBytes) {
    throw invalid(
      `a Unix socket path is absolute, without "..", at most ${limits.unixPathMaxBytes} bytes`,
      "unix_path",
    );
  }
  return path;
}

/** Kinds of service whose users feel every millisecond. */
const interactiveServices: ReadonlySet<string> = new Set(["ssh", "rdp", "vnc", "database"]);

/** The class a resource gets when its operator names none. */
export function defaultClassOf(service: string): ClassName {
  return interactiveServices.has(service.toLowerCase()) ? "interactive" : "bulk";
}

/** What an operator asks for; an absent field was left open. */
export interface ResourceDraft {
  readonly name: string;
  readonly kind: ResourceKindName | undefined;
  readonly service: string;
  readonly defaultClass: ClassName | undefined;
  readonly allowedClasses: readonly ClassName[];
  readonly minimumAssurance: AssuranceName | undefined;
  readonly host: string;
  readonly port: number;
  readonly unixPath: string;
  /** 0: not exclusive. */
  readonly exclusiveLeaseMs: number;
  readonly requiresLease: boolean;
}

/** A resource with every question answered. `allowedClasses` always holds the default class. */
export interface ResourceSpec {
  readonly name: string;
  readonly kind: ResourceKindName;
  readonly service: string;
  readonly defaultClass: ClassName;
  readonly allowedClasses: readonly ClassName[];
  readonly minimumAssurance: AssuranceName;
  readonly host: string;
  readonly port: number;
  readonly unixPath: string;
  readonly exclusiveLeaseMs: number;
  readonly requiresLease: boolean;
}

/** Checks a resource and fills in its defaults. */
export function checkResource(draft: ResourceDraft): ResourceSpec {
  const kind = draft.kind ?? "tcp";
  const defaultClass = draft.defaultClass ?? defaultClassOf(draft.service);
  const allowedClasses = [...new Set([defaultClass, ...draft.allowedClasses])].sort();
  if (kind === "tcp" && allowedClasses.includes("droppable")) {
    throw invalid("a byte stream cannot lose parts: droppable is for message resources", "allowed_classes");
  }
  if (draft.service.length > 63 || /[^\w.-]/.test(draft.service)) {
    throw invalid("a service is one word of at most 63 characters", "service");
  }
  return {
    name: checkName(draft.name),
    kind,
    service: draft.service,
    defaultClass,
    allowedClasses,
    minimumAssurance: draft.minimumAssurance ?? "anonymous",
    exclusiveLeaseMs: checkExclusive(draft),
    requiresLease: checkRequiresLease(draft),
    ...checkTarget(kind, draft),
  };
}

/** Whoever is an edge itself has no entry that could hold the lease for it, so it could never be let in. */
function checkExclusive({ exclusiveLeaseMs, minimumAssurance }: ResourceDraft): number {
  if (exclusiveLeaseMs === 0) return 0;
  const { exclusiveLeaseMinMs, exclusiveLeaseMaxMs } = limits;
  if (!(exclusiveLeaseMs >= exclusiveLeaseMinMs && exclusiveLeaseMs <= exclusiveLeaseMaxMs)) {
    const message = `the lease of an exclusive resource lasts ${exclusiveLeaseMinMs / 1_000} s to ${exclusiveLeaseMaxMs / 1_000} s`;
    throw invalid(message, "exclusive_lease_ms");
  }
  if (minimumAssurance === "proved") {
    throw invalid("an exclusive resource is reached through an entry: it cannot demand proved", "exclusive_lease_ms");
  }
  return exclusiveLeaseMs;
}

/** A channel shows one contract: the entry's, or its client's. */
function checkRequiresLease({ requiresLease, exclusiveLeaseMs }: ResourceDraft): boolean {
  if (requiresLease && exclusiveLeaseMs !== 0) {
    throw invalid("a resource is exclusive or requires leases of its clients, not both", "requires_lease");
  }
  return requiresLease;
}

type Target = Pick<ResourceSpec, "host" | "port" | "unixPath">;

function checkTarget(kind: ResourceKindName, draft: Target): Target {
  if (draft.unixPath !== "") {
    if (kind !== "message") throw invalid("only a message resource may use a Unix socket", "unix_path");
    if (draft.host !== "" || draft.port !== 0)
      throw invalid("a target is a host and port or a Unix socket", "unix_path");
    return { host: "", port: 0, unixPath: checkUnixPath(draft.unixPath) };
  }
  if (draft.host === "") throw invalid("a resource needs a host", "host");
  if (!Number.isInteger(draft.port) || draft.port < 1 || draft.port > 65_535) {
    throw invalid("a port is 1 to 65535", "port");
  }
  return { host: checkHost(draft.host), port: draft.port, unixPath: "" };
}

export interface ListenerDraft {
  readonly name: string;
  readonly bindHost: string;
  readonly bindPort: number;
  readonly allowedSources: readonly string[];
}

/** Checks a listener; an empty bind host becomes 127.0.0.1. */
export function checkListener(draft: ListenerDraft): ListenerDraft {
  const bindHost = draft.bindHost === "" ? "127.0.0.1" : draft.bindHost;
  if (isIP(bindHost) === 0) throw invalid("a listener binds an IP address", "bind_host");
  if (!Number.isInteger(draft.bindPort) || draft.bindPort < 0 || draft.bindPort > 65_535) {
    throw invalid("a port is 0 (any) to 65535", "bind_port");
  }
  if (draft.allowedSources.length > limits.listenerSourcesMaxCount) {
    throw invalid(`at most ${limits.listenerSourcesMaxCount} source ranges`, "allowed_sources");
  }
  for (const source of draft.allowedSources) checkCidr(source);
  if (!isLoopback(bindHost) && draft.allowedSources.length === 0) {
    throw new WeftError("failed_precondition", "a listener beyond loopback needs allowed_sources", {
      detail: "SOURCES_REQUIRED",
      metadata: { field: "allowed_sources" },
    });
  }
  return { name: checkName(draft.name), bindHost, bindPort: draft.bindPort, allowedSources: [...draft.allowedSources] };
}

function isLoopback(address: string): boolean {
  return address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}

function checkCidr(text: string): void {
  const [address = "", prefix = "", ...rest] = text.split("/");
  const family = isIP(address);
  const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (family === 0 || rest.length > 0 || bits < 0 || bits > (family === 4 ? 32 : 128)) {
    throw invalid("a source range is address/prefix length", "allowed_sources");
  }
}
