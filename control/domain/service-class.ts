/** What kind of work a resource serves, told from the free word its operator gave: what route intents can be about. */

import { ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceKindName } from "./placement.ts";

const byService: Readonly<Record<string, ServiceClass>> = {
  ssh: ServiceClass.REMOTE_WORKSPACE,
  rdp: ServiceClass.REMOTE_WORKSPACE,
  vnc: ServiceClass.REMOTE_WORKSPACE,
  spice: ServiceClass.REMOTE_WORKSPACE,
  x11: ServiceClass.REMOTE_WORKSPACE,
  workspace: ServiceClass.REMOTE_WORKSPACE,
  remote_workspace: ServiceClass.REMOTE_WORKSPACE,
  database: ServiceClass.DATABASE,
  postgres: ServiceClass.DATABASE,
  mysql: ServiceClass.DATABASE,
  redis: ServiceClass.DATABASE,
  web: ServiceClass.WEB,
  http: ServiceClass.WEB,
  https: ServiceClass.WEB,
  sftp: ServiceClass.FILE_TRANSFER,
  ftp: ServiceClass.FILE_TRANSFER,
  smb: ServiceClass.FILE_TRANSFER,
  nfs: ServiceClass.FILE_TRANSFER,
  rsync: ServiceClass.FILE_TRANSFER,
};

/** The class of a service; a message resource without a known service is messaging. */
export function serviceClassOf(service: string, kind: ResourceKindName): ServiceClass {
  const known = byService[service.toLowerCase()];
  if (known !== undefined) return known;
  return kind === "message" ? ServiceClass.MESSAGING : ServiceClass.OTHER;
}
