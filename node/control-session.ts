/** This node's channel to control: grpc-js under the node's own certificate, renewed with it, over several replicas. */

import type { Client, Transport } from "@connectrpc/connect";
import { rootsOf } from "../certs/bundle.ts";
import type { Expectation } from "../certs/judge.ts";
import { formatSpiffe } from "../certs/spiffe.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { joinServerName } from "../fabric/server-names.ts";
import { ServiceChannelService } from "../gen/weft/admin/v1/service_channel_pb.ts";
import { ControlService } from "../gen/weft/control/v1/control_pb.ts";
import { EnrollmentService } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { HeartbeatService } from "../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../gen/weft/lease/v1/lease_pb.ts";
import { RoutingService } from "../gen/weft/routing/v1/routing_pb.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Tracer } from "../lib/tracer.ts";
import { rpcClient } from "../rpc/client.ts";
import { controlTransport } from "../rpc/grpc-js-transport.ts";
import { joinTransport } from "../rpc/join-transport.ts";
import { tracedTransport } from "../rpc/trace-calls.ts";
import type { FeedStore, IdentityHolder, NodeCounters, SnapshotHolder } from "./ports.ts";

export interface ControlSessionDeps {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly identity: IdentityHolder;
  readonly snapshot: SnapshotHolder;
  readonly feed: FeedStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Counts every call that is started, whoever starts it. */
  readonly counters?: Pick<NodeCounters, "controlCalls">;
  /** Calls on behalf of a span carry where they came from. */
  readonly tracer?: Tracer | undefined;
}

export interface ControlSession {
  readonly beats: Client<typeof HeartbeatService>;
  readonly control: Client<typeof ControlService>;
  readonly enrollment: Client<typeof EnrollmentService>;
  readonly routing: Client<typeof RoutingService>;
  readonly leases: Client<typeof LeaseService>;
  /** Introspection only: a node enforces leases of service channels, it makes none. */
  readonly serviceLeases: Pick<Client<typeof ServiceChannelService>, "introspectLease">;
  /** For a node whose leaf has expired: the join name, no client certificate. */
  recovery(): Client<typeof EnrollmentService>;
  /** For a node that control's certificate means nothing to: verifies nothing, good for GetTrustBundle only. */
  firstContact(): Pick<Client<typeof EnrollmentService>, "getTrustBundle">;
  close(): void;
}

/** Text form of an address for gRPC. */
export function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The same transport, with every call counted when it starts. */
function counted(transport: Transport, counters: ControlSessionDeps["counters"]): Transport {
  const count = (method: { readonly name: string; readonly parent: { readonly typeName: string } }): void => {
    const call = `${method.parent.typeName}/${method.name}`;
    counters?.controlCalls.set(call, (counters.controlCalls.get(call) ?? 0) + 1);
  };
  return {
    unary: (method, ...rest) => {
      count(method);
      return transport.unary(method, ...rest);
    },
    stream: (method, ...rest) => {
      count(method);
      return transport.stream(method, ...rest);
    },
  };
}

/** A control replica of this node's cluster, as it is known now. */
function controlExpected(deps: ControlSessionDeps): Expectation<"control"> {
  const identity = deps.identity.current();
  return {
    kind: "control",
    trustDomain: identity.trustDomain,
    clusterId: identity.clusterId,
    roots: rootsOf(identity.bundle, "control"),
    nowMs: () => deps.clock.nowMs(),
    newestSignedMs: () => deps.snapshot.newestSignedMs(),
    revoked: (peer) =>
      deps.feed.isRevoked({
        issuerKeyIdHex: peer.issuerKeyId,
        serialHex: peer.serialHex,
        keyHashHex: peer.keyHash,
        spiffe: formatSpiffe(peer.id),
      }),
  };
}

export function openControlSession(deps: ControlSessionDeps): ControlSession {
  const expectControl = (): Expectation<"control"> => controlExpected(deps);
  const transport = controlTransport({
    addresses: deps.addresses.map(hostPort),
    serverName: deps.identity.current().controlName,
    tls: () =>
      tlsOptions("dial-control", {
        identity: deps.identity.current().leaf,
        expect: expectControl(),
        serverName: deps.identity.current().controlName,
      }),
    clock: deps.clock,
    log: deps.log,
  });
  const unsubscribe = deps.identity.onChange(() => transport.rotate());
  const calls = counted(tracedTransport(transport, deps.tracer), deps.counters);
  let recoveryTransport: ReturnType<typeof joinTransport> | undefined;
  let recoveries = 0;
  let contactTransport: ReturnType<typeof joinTransport> | undefined;
  // Each attempt asks the next replica: the caller retries, and one of them may be gone.
  const nextAddress = (): string => {
    const next = deps.addresses[recoveries++ % deps.addresses.length];
    return next === undefined ? "" : hostPort(next);
  };
  return {
    beats: rpcClient(HeartbeatService, calls),
    control: rpcClient(ControlService, calls),
    enrollment: rpcClient(EnrollmentService, calls),
    routing: rpcClient(RoutingService, calls),
    leases: rpcClient(LeaseService, calls),
    serviceLeases: rpcClient(ServiceChannelService, calls),
    recovery() {
      recoveryTransport?.close();
      recoveryTransport = joinTransport({
        address: nextAddress(),
        tls: tlsOptions("dial-join", {
          expect: expectControl(),
          serverName: joinServerName(deps.identity.current().clusterSlug),
        }),
      });
      return rpcClient(EnrollmentService, counted(recoveryTransport, deps.counters));
    },
    firstContact() {
      contactTransport?.close();
      const serverName = joinServerName(deps.identity.current().clusterSlug);
      contactTransport = joinTransport({ address: nextAddress(), tls: tlsOptions("first-contact", { serverName }) });
      return rpcClient(EnrollmentService, contactTransport);
    },
    close() {
      unsubscribe();
      recoveryTransport?.close();
      contactTransport?.close();
      transport.close();
    },
  };
}
