/** Roles of nodes as people write them. */

import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { enumValue } from "./output.ts";

/** `relay,entry` as roles. */
export function rolesOf(text: string): NodeRole[] {
  return text.split(",").map((name) => enumValue(NodeRole, name.trim(), "role"));
}
