/**
 * Somebody to revoke: an operator made for one sample, with a session and a stream open at control and at every node. When
 * both are over at a place, the revocation is effective there.
 */

import { setTimeout as delay } from "node:timers/promises";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256Async, privateKeyPem } from "../../certs/keys.ts";
import { leafOfKind } from "../../certs/material.ts";
import type { Session } from "../../cli/session.ts";
import { AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { NodeService } from "../../gen/weft/node/v1/node_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { rpcClient } from "../../rpc/client.ts";
import { controlPortTls, nodePortTls, type OperatorContext } from "../../rpc/operator-context.ts";
import { type ClosableTransport, operatorTransport } from "../../rpc/operator-transport.ts";
import type { NodeHandle, Standing } from "../load/standing.ts";

const nowMs = (): number => systemClock.nowMs();
const askEveryMs = 10;
/** A call that takes longer tells nothing; the first ones, with their handshakes, are waited for. */
const askTimeoutMs = 2_000;
const firstTimeoutMs = 15_000;

/** One place the victim is at. */
interface Place {
  /** One call, as long as it is let. */
  readonly ask: () => Promise<unknown>;
  /** Resolves when the stream that was open is over. */
  readonly streamOver: Promise<number>;
}

export interface Victim {
  /** Ends it at control; resolves with when it was asked for. */
  revoke(): Promise<number>;
  /** When control refused it, by `performance.now()`. */
  refusedAtControl(): Promise<number>;
  /** When a node had ended its stream and refused its calls. */
  refusedAt(node: NodeHandle): Promise<number>;
  close(): void;
}

/** A call that hangs says nothing; every other failure of a call that succeeded before is a refusal. */
async function untilRefused(ask: () => Promise<unknown>, withinMs: number): Promise<number> {
  const endMs = performance.now() + withinMs;
  while (performance.now() < endMs) {
    try {
      await ask();
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.reason !== "deadline_exceeded") return performance.now();
    }
    await delay(askEveryMs);
  }
  throw new Error(`the revoked operator is still let in after ${withinMs} ms`);
}

async function contextOf(session: Session, standing: Standing, name: string) {
  const keys = await generateP256Async();
  const { identity, certificateDer } = await session.client(IdentityService).addIdentity({
    ...{ kind: IdentityKind.OPERATOR, name, clusterId: standing.clusterId, csr: makeCsr(keys) },
  });
  const leaf = leafOfKind("operator", privateKeyPem(keys.privateKey), Uint8Array.from(certificateDer));
  return { id: identity?.id ?? "", context: { ...standing.context, leaf } satisfies OperatorContext };
}

/** Makes an operator and has it at home at control and at the nodes named. */
export async function makeVictim(
  session: Session,
  standing: Standing,
  nodes: readonly NodeHandle[],
  name: string,
): Promise<Victim> {
  const { id, context } = await contextOf(session, standing, name);
  const { clusterId } = standing;
  const transports: ClosableTransport[] = [];
  const dial = (address: string, tls: Parameters<typeof operatorTransport>[0]["tls"]): ClosableTransport => {
    const transport = operatorTransport({ address, tls });
    transports.push(transport);
    return transport;
  };
  const alerts = rpcClient(AlertService, dial(context.operatorAddress, controlPortTls(context, nowMs)));
  const atControl = (timeoutMs = askTimeoutMs): Promise<unknown> => alerts.listAlerts({ clusterId }, { timeoutMs });
  await atControl(firstTimeoutMs);
  const places = new Map<string, Place>();
  for (const node of nodes) {
    const tls = nodePortTls(context, clusterId, node.id, nowMs);
    const client = rpcClient(NodeService, dial(String(node.child.facts.operator), tls));
    const ask = (timeoutMs = askTimeoutMs): Promise<unknown> => client.getStatus({}, { timeoutMs });
    await ask(firstTimeoutMs);
    const events = client.watchEvents({}, { timeoutMs: 0 })[Symbol.asyncIterator]();
    const follow = async (): Promise<number> => {
      try {
        while ((await events.next()).done !== true);
      } catch {
        // How it ended does not matter.
      }
      return performance.now();
    };
    places.set(node.name, { ask, streamOver: follow() });
  }
  return {
    async revoke() {
      const askedMs = performance.now();
      await session.client(IdentityService).revokeIdentity({ identityId: id, clusterId, reason: "bench" });
      return askedMs;
    },
    refusedAtControl: () => untilRefused(() => atControl(), 30_000),
    async refusedAt(node) {
      const place = places.get(node.name);
      if (place === undefined) throw new Error(`the operator was never at ${node.name}`);
      const overMs = await place.streamOver;
      // A call after that is refused at once, or it was not the revocation that ended the stream.
      const letIn = await place.ask().then(
        () => true,
        () => false,
      );
      return letIn ? await untilRefused(() => place.ask(), 30_000) : overMs;
    },
    close() {
      for (const transport of transports) transport.close();
    },
  };
}
