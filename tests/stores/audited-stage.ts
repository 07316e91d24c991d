/** Every service of one control over one store, called as anybody: where audited-rpcs.ts plays. */

import type { DescService } from "@bufbuild/protobuf";
import { type Client, type ConnectRouter, createRouterTransport, type Transport } from "@connectrpc/connect";
import {
  callerOfSpiffe,
  createWorld,
  type JoiningHost,
  Replica,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { controlPolicy } from "../../control/rpc/policy-table.ts";
import { refusalRecorder } from "../../control/rpc/refusals.ts";
import type { ControlServices } from "../../control/rpc/surfaces.ts";
import { createServices } from "../../control/services.ts";
import type { StoreContext } from "../../control/store/context.ts";
import type { Sql } from "../../control/store/sql.ts";
import type { Log, LogFields } from "../../lib/log.ts";
import { type Caller, kCaller } from "../../rpc/caller.ts";
import { rpcClient } from "../../rpc/client.ts";
import { errorInterceptor, refusalInterceptor } from "../../rpc/interceptors.ts";
import { controlServices } from "../harness/control-services.ts";

export interface AuditedStage {
  readonly world: World;
  readonly clusterId: string;
  readonly operator: <S extends DescService>(service: S) => Client<S>;
  readonly stranger: <S extends DescService>(service: S) => Client<S>;
  /** As the node "edge-1", once it is approved. */
  readonly node: <S extends DescService>(service: S) => Client<S>;
  readonly nodeSpiffe: () => string;
  /** What cases made, by the names they give it. */
  readonly ids: Map<string, string>;
  readonly hosts: Map<string, JoiningHost>;
  readonly csrs: Map<string, Uint8Array>;
  token: string;
  /** Texts that must be nowhere. */
  readonly secrets: string[];
  /** Everything that was logged, as text. */
  readonly logged: string[];
}

function rememberingLog(lines: string[]): Log {
  const write = (message: string, fields?: LogFields): void =>
    void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  return { debug: write, info: write, warn: write, error: write, child: () => rememberingLog(lines) };
}

export async function createAuditedStage(sql: Sql): Promise<AuditedStage> {
  const world = await createWorld(sql);
  const logged: string[] = [];
  const replica = new Replica(sql, world.sealingKey, { log: rememberingLog(logged) });
  const { authority, allowlist } = replica.deps;
  const { services, stop } = createServices(replica.deps, authority, allowlist);
  // Nothing by the clock: what a case finds, it made.
  await stop();
  const as = (caller: () => Caller) => {
    return <S extends DescService>(service: S) => rpcClient(service, transportOf(services, replica.deps, caller()));
  };
  const ids = new Map<string, string>();
  const nodeSpiffe = () =>
    `spiffe://${world.init.trustDomain}/cluster/${world.clusterId}/node/${ids.get("edge-1") ?? "none"}`;
  return {
    ...{ world, clusterId: world.clusterId, ids, nodeSpiffe, logged },
    operator: as(() => world.operatorCaller),
    stranger: as(() => strangerOf(world.clusterId)),
    node: as(() => callerOfSpiffe(nodeSpiffe())),
    ...{ hosts: new Map(), csrs: new Map(), token: "", secrets: [] },
  };
}

function transportOf(services: ControlServices, ctx: StoreContext, caller: Caller): Transport {
  const routes = (router: ConnectRouter): void => {
    for (const [name, service] of Object.entries(controlServices)) {
      router.service(service, services[name as keyof ControlServices] as never);
    }
  };
  return createRouterTransport(routes, {
    router: {
      interceptors: [
        (next) => (req) => {
          req.contextValues.set(kCaller, caller);
          return next(req);
        },
        errorInterceptor,
        refusalInterceptor(controlPolicy, refusalRecorder(ctx)),
      ],
    },
  });
}
