/** One RPC of control that changes something, called as its rightful caller, and the record it has to leave. */

import type { AuditedStage } from "./audited-stage.ts";

export interface AuditedCase {
  /** The call; repeated after a first attempt that could not be recorded. */
  readonly call: (stage: AuditedStage) => Promise<unknown>;
  /** The action of its one own record. */
  readonly action: string;
  /** What its object begins with. */
  readonly object: string;
  /** Records of what it entailed. */
  readonly entails?: readonly string[];
  /** Who the record names. Default: the operator. */
  readonly actor?: "node" | "anonymous";
  /** Of no cluster: it is about the installation. */
  readonly installation?: true;
  /** It has an organization. */
  readonly organization?: true;
  readonly before?: true;
  readonly after?: true;
}
