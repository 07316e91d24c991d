/** grpc.health.v1: which services of a process serve. One `HealthState` per process, shown on every surface. */

import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { WeftError } from "../lib/errors.ts";

/** List answers with at most this many services, as its proto says. */
const LIST_MAX_COUNT = 100;

export class HealthState {
  readonly #serving = new Map<string, boolean>([["", true]]);
  readonly #watchers = new Set<() => void>();

  /** Says whether `service` (full name, "" for the whole server) serves. */
  set(service: string, serving: boolean): void {
    if (this.#serving.get(service) === serving) return;
    this.#serving.set(service, serving);
    this.#changed();
  }

  /** The same for everything known, as when draining. */
  setAll(serving: boolean): void {
    for (const service of this.#serving.keys()) this.#serving.set(service, serving);
    this.#changed();
  }

  /** Adds a service without changing one that is known. */
  add(service: string): void {
    if (!this.#serving.has(service)) this.#serving.set(service, this.#serving.get("") ?? true);
  }

  /** Undefined for a service this process does not know. */
  status(service: string): Status | undefined {
    const serving = this.#serving.get(service);
    if (serving === undefined) return undefined;
    return serving ? Status.SERVING : Status.NOT_SERVING;
  }

  /** Calls `listener` after every change, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** Serves health on `router` for the services of one surface (and "" for the whole). Others are unknown there. */
export function healthService(router: ConnectRouter, state: HealthState, services: ReadonlySet<DescService>): void {
  const names = new Set(["", Health.typeName, ...[...services].map((service) => service.typeName)]);
  for (const name of names) state.add(name);
  const statusOf = (service: string): Status | undefined => (names.has(service) ? state.status(service) : undefined);
  router.service(Health, {
    check({ service }) {
      const status = statusOf(service);
      if (status === undefined) throw new WeftError("not_found", "unknown service");
      return { status };
    },
    list() {
      const statuses: Record<string, { status: Status }> = {};
      for (const name of [...names].slice(0, LIST_MAX_COUNT)) {
        statuses[name] = { status: statusOf(name) ?? Status.SERVICE_UNKNOWN };
      }
      return { statuses };
    },
    watch: ({ service }, context) => watch(() => statusOf(service) ?? Status.SERVICE_UNKNOWN, state, context),
  });
}

async function* watch(
  read: () => Status,
  state: HealthState,
  context: HandlerContext,
): AsyncGenerator<{ status: Status }> {
  let wake = (): void => {};
  const unsubscribe = state.onChange(() => wake());
  const onAbort = (): void => wake();
  context.signal.addEventListener("abort", onAbort);
  try {
    let told: Status | undefined;
    while (!context.signal.aborted) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const status = read();
      if (status !== told) {
        told = status;
        yield { status };
      } else {
        await changed;
      }
    }
  } finally {
    unsubscribe();
    context.signal.removeEventListener("abort", onAbort);
  }
}
