/** Every service of control made from the store, in one record: what the surfaces route to. */

import type { Allowlist } from "./domain/allowlist.ts";
import type { Authority } from "./domain/authority.ts";
import { BundleAcks } from "./domain/bundle-acks.ts";
import { feedSource } from "./domain/feed.ts";
import { FeedReceiptBook } from "./domain/feed-receipts.ts";
import { snapshotSource } from "./domain/snapshot.ts";
import { startUpkeep } from "./domain/upkeep.ts";
import { startFeedWatch } from "./jobs/feed-watch.ts";
import { startControlJobs } from "./jobs/jobs.ts";
import { startNodeWatch } from "./jobs/node-watch.ts";
import { startRotationJob } from "./jobs/rotation.ts";
import type { ControlServices } from "./rpc/surfaces.ts";
import { alertService } from "./services/alert.ts";
import { auditService } from "./services/audit.ts";
import { caService } from "./services/ca.ts";
import { certificateService } from "./services/certificate.ts";
import { clusterService } from "./services/cluster.ts";
import { controlService } from "./services/control.ts";
import { enrollmentService } from "./services/enrollment.ts";
import { groupService } from "./services/group.ts";
import { heartbeatService } from "./services/heartbeat.ts";
import { identityService } from "./services/identity.ts";
import { routeIntentService } from "./services/intent.ts";
import { leaseService } from "./services/lease.ts";
import { leaseAdminService } from "./services/lease-admin.ts";
import { listenerService } from "./services/listener.ts";
import { membershipService } from "./services/membership.ts";
import { nodeAdminService } from "./services/node.ts";
import { organizationService } from "./services/organization.ts";
import { policyService } from "./services/policy.ts";
import { poolService } from "./services/pool.ts";
import { qosService } from "./services/qos.ts";
import { requestService } from "./services/request.ts";
import { resourceService } from "./services/resource.ts";
import { roleService } from "./services/role.ts";
import { routingService } from "./services/routing.ts";
import { serviceChannelService } from "./services/service-channel.ts";
import { storeService } from "./services/store.ts";
import { testTelemetryService } from "./services/test-telemetry.ts";
import { tokenService } from "./services/token.ts";
import { workloadService } from "./services/workload.ts";
import type { StoreContext } from "./store/context.ts";

export interface OpenServices {
  readonly services: ControlServices;
  /** Ends the jobs behind them. */
  stop(): Promise<void>;
}

/** Makes the services and starts the upkeep they rely on. */
export function createServices(ctx: StoreContext, authority: Authority, allowlist: Allowlist): OpenServices {
  const deps = { ...ctx, authority, allowlist };
  const snapshots = snapshotSource(deps);
  const feeds = feedSource(deps);
  const feedReceipts = new FeedReceiptBook(deps);
  const feedWatch = startFeedWatch(ctx, feeds);
  const upkeep = startUpkeep(ctx);
  const jobs = startControlJobs(ctx);
  const watch = startNodeWatch(ctx);
  const rotation = startRotationJob(deps);
  const services: ControlServices = {
    enrollment: enrollmentService(deps),
    control: controlService({ ...deps, hold: allowlist.hold, snapshots, feeds }),
    heartbeat: heartbeatService({ ...deps, hold: allowlist.hold, bundleAcks: new BundleAcks(deps), feedReceipts }),
    lease: leaseService(deps),
    routing: routingService({ ...deps, snapshots }),
    alert: alertService(deps),
    audit: auditService(deps),
    ca: caService(deps),
    certificate: certificateService({ ...deps, feeds }),
    cluster: clusterService(deps),
    group: groupService(deps),
    identity: identityService(deps),
    leaseAdmin: leaseAdminService(deps),
    listener: listenerService(deps),
    nodeAdmin: nodeAdminService(deps),
    membership: membershipService(deps),
    organization: organizationService(deps),
    policy: policyService(deps),
    telemetry: testTelemetryService(deps),
    pool: poolService(deps),
    qos: qosService(deps),
    routeIntent: routeIntentService(deps),
    request: requestService(deps),
    resource: resourceService(deps),
    role: roleService(deps),
    serviceChannel: serviceChannelService(deps),
    store: storeService({ ...deps, hold: allowlist.hold }),
    token: tokenService(deps),
    workload: workloadService(deps),
  };
  return {
    services,
    stop: async () =>
      void (await Promise.all([upkeep.stop(), jobs.stop(), watch.stop(), rotation.stop(), feedWatch.stop()])),
  };
}
