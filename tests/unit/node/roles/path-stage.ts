/** PathService of an entry in miniature: routes and paths are the test's, everything between them is the product's. */

import { create } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { generateP256 } from "../../../../certs/keys.ts";
import { signAsk } from "../../../../fabric/path/ask.ts";
import {
  type OpenClientPathRequest,
  OpenClientPathRequestSchema,
  type OpenClientPathResponse,
} from "../../../../gen/weft/access/v1/access_pb.ts";
import { ChannelClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../../../lib/errors.ts";
import type { ClientPathRequest, PathOpener } from "../../../../node/paths.ts";
import { pathService } from "../../../../node/roles/path-service.ts";
import type { Routes } from "../../../../node/roles/routes.ts";
import { type Caller, kCaller } from "../../../../rpc/caller.ts";
import { offlineJudge } from "../../../harness/offline-judge.ts";
import { clusterId, deskOf, nowMs, selfId, snapshotWith, testPorts } from "../stage.ts";

const nobody = { renewClient: () => Promise.reject(new Error("nobody renews here")) };
const unused = { installationSpki: new Uint8Array(), enrollment: nobody };

type Leg = Awaited<ReturnType<PathOpener["openForClient"]>>;
export type LegEvent = Parameters<Parameters<Leg["onEvent"]>[0]>[0];

export const keys = generateP256();
export const caller: Caller = {
  kind: "client",
  id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-1" },
  spiffe: "spiffe://weft.test/client/ct-1",
  spkiDer: keys.spkiDer,
  sourceAddress: "192.0.2.7",
  arrivedBy: "client-name",
  clusterId,
  organizationId: "org-1",
};

export function askWith(fields: object = {}, by = keys) {
  return signAsk(by.privateKey, {
    clusterId,
    clientId: "ct-1",
    resource: "web",
    trunkId: new Uint8Array(16).fill(3),
    nonce: new Uint8Array(16).fill(4),
    issuedAtMs: BigInt(nowMs),
    expiresAtMs: BigInt(nowMs + 5_000),
    ...fields,
  });
}

export function requestWith(
  fields: Omit<Partial<OpenClientPathRequest>, "$typeName"> = {},
  ask = askWith(),
): OpenClientPathRequest {
  return create(OpenClientPathRequestSchema, { ask: ask.ask, askSignature: ask.signature, ...fields });
}

const locatorsOf = (egressNodeId: string, fill: number) => ({
  egressNodeId,
  previous: new Uint8Array(32).fill(fill),
  current: new Uint8Array(32).fill(fill + 1),
  next: new Uint8Array(32).fill(fill + 2),
});
/** What every entry of the cluster holds of the pool. */
const pool = { poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["e1", "e2"] };
export const snapshot = snapshotWith({ pools: [{ ...pool, locators: [locatorsOf("e1", 10), locatorsOf("e2", 20)] }] });

export function pathStage(ways: readonly string[] = ["r1"]) {
  const ports = testPorts(snapshot);
  const opened: ClientPathRequest[] = [];
  const failed: string[] = [];
  const listeners = new Set<(event: LegEvent) => void>();
  let offline = { newChannels: true, existing: true };
  let fail: (request: ClientPathRequest) => Error | undefined | Promise<undefined> = () => undefined;
  const routes = {
    resource: (name: string, organizationId: string) =>
      name === "web" && organizationId === "org-1" ? { poolId: "pl-1", defaultClass: ChannelClass.BULK } : undefined,
    egresses: () => ["e1", "e2"],
    paths: (farEdge: string) => ways.map((relay) => ({ hops: [selfId, relay, farEdge], farEdge })),
    failed: (hops: readonly string[]) => failed.push(hops.join()),
  } as unknown as Routes;
  const paths = {
    openForClient: async (request: ClientPathRequest) => {
      opened.push(request);
      const thrown = await fail(request);
      if (thrown !== undefined) throw thrown;
      return {
        legToken: new Uint8Array(32).fill(opened.length),
        pathTag: "tag",
        onEvent: (listener: (event: LegEvent) => void) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
        close: () => {},
      };
    },
  } as unknown as PathOpener;
  const judge = { offline: offlineJudge(() => offline), contracts: deskOf(ports) };
  const service = pathService({ ...unused, ...judge, ports, routes, paths: () => paths });
  const call = (request: OpenClientPathRequest, as: Caller = caller) => {
    const leaving = new AbortController();
    const values = createContextValues().set(kCaller, as);
    const context = { values, signal: leaving.signal } as unknown as HandlerContext;
    const answers = (
      service.openClientPath as (
        request: OpenClientPathRequest,
        context: HandlerContext,
      ) => AsyncIterable<OpenClientPathResponse>
    )(request, context)[Symbol.asyncIterator]();
    return {
      next: async () => (await answers.next()).value as OpenClientPathResponse | undefined,
      leave: () => leaving.abort(),
    };
  };
  const ready = async (request: OpenClientPathRequest, as?: Caller) => {
    const event = (await call(request, as).next())?.event;
    if (event?.case !== "ready") throw new Error(`no leg but ${event?.case}`);
    return event.value;
  };
  return {
    ports,
    opened,
    failed,
    listeners,
    call,
    ready,
    emit: (event: LegEvent) => {
      for (const listener of [...listeners]) listener(event);
    },
    goOffline: (existing: boolean) => {
      offline = { newChannels: false, existing };
    },
    failWith: (next: typeof fail) => {
      fail = next;
    },
  };
}

export async function thrownBy(work: Promise<unknown>): Promise<WeftError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeftError)) throw new Error(`expected a WeftError, not ${String(thrown)}`);
  return thrown;
}
