/**
 * What a surface serves, by path: Connect's handlers for every protocol, and the unary methods once more for plain gRPC
 * (unary-exchange.ts), from the same implementations behind the same interceptors.
 */

import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ContextValues,
  createConnectRouter,
  createMethodImplSpec,
  createServiceImplSpec,
  type Interceptor,
  type MethodImplSpec,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { limits } from "../lib/limits.ts";
import { kRequestId } from "./caller.ts";
import { toConnectError } from "./errors.ts";
import { type HealthState, healthService } from "./health.ts";
import { rpcName } from "./policy.ts";
import { registerReflection } from "./reflection.ts";
import { answerMaxBytes, type UnaryRoute, unaryRoute } from "./unary-exchange.ts";

export interface RoutesOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** Served raw: what is registered for them here does not count. */
  readonly raw: readonly DescMethod[];
  readonly health: HealthState | undefined;
  readonly reflection: boolean;
  /** Outermost first. */
  readonly interceptors: Interceptor[];
  /** Runs before the request is read; throws when the call may not be made. */
  readonly gate: (values: ContextValues, method: DescMethod) => Promise<void>;
  readonly readMaxBytes: number;
}

export interface Routes {
  readonly services: readonly DescService[];
  readonly handlers: ReadonlyMap<string, UniversalHandler>;
  readonly unary: ReadonlyMap<string, UnaryRoute>;
}

export function buildRoutes(options: RoutesOptions): Routes {
  const { interceptors, readMaxBytes, gate } = options;
  const connect = createConnectRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes,
    writeMaxBytes: answerMaxBytes,
    maxTimeoutMs: limits.rpcDeadlineMaxMs,
    interceptors,
    requestGate: async ({ values, method }) => {
      try {
        await gate(values, method);
      } catch (error) {
        throw toConnectError(error, values.get(kRequestId));
      }
    },
  });
  const specs: MethodImplSpec[] = [];
  const router = recording(connect, specs);
  options.routes(router);
  const services = new Set<DescService>();
  for (const { service } of router.handlers) services.add(service);
  for (const method of options.raw) services.add(method.parent);
  if (options.health !== undefined) {
    healthService(router, options.health, services);
    services.add(Health);
  }
  if (options.reflection) registerReflection(router, services);
  for (const { service } of router.handlers) services.add(service);
  // Where a service is registered whole and one of its methods raw, raw wins.
  const raw = new Set(options.raw.map((method) => `/${rpcName(method)}`));
  const handlers = new Map<string, UniversalHandler>();
  for (const handler of router.handlers) {
    if (!raw.has(handler.requestPath)) handlers.set(handler.requestPath, handler);
  }
  const unary = new Map<string, UnaryRoute>();
  for (const spec of specs) {
    const path = `/${rpcName(spec.method)}`;
    if (spec.kind === "unary" && !raw.has(path)) unary.set(path, unaryRoute(spec, interceptors));
  }
  return { services: [...services], handlers, unary };
}

/** A router that keeps the implementations it is given. */
function recording(connect: ConnectRouter, specs: MethodImplSpec[]): ConnectRouter {
  const router: ConnectRouter = {
    handlers: connect.handlers,
    service(service, implementation, options) {
      specs.push(...Object.values(createServiceImplSpec(service, implementation).methods));
      connect.service(service, implementation, options);
      return router;
    },
    rpc(method, implementation, options) {
      specs.push(createMethodImplSpec(method, implementation));
      connect.rpc(method, implementation, options);
      return router;
    },
  };
  return router;
}
