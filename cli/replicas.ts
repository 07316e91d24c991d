/** Which replica of control a command talks to: the first one of the context whose operator port takes connections. */

import { connect } from "node:net";
import type { OperatorContext } from "../rpc/operator-context.ts";

const connectWithinMs = 1_000;

function answers(address: string): Promise<boolean> {
  const at = address.lastIndexOf(":");
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) });
    const settle = (isThere: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isThere);
    };
    const timer = setTimeout(() => settle(false), connectWithinMs);
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** The context with the addresses of a replica that is there; as it is when it knows only one, or none answers. */
export async function atAnsweringReplica(context: OperatorContext): Promise<OperatorContext> {
  const { replicas = [], operatorAddress, publicAddress } = context;
  if (replicas.length === 0) return context;
  const all = [{ operatorAddress, publicAddress }, ...replicas];
  for (const [at, replica] of all.entries()) {
    if (await answers(replica.operatorAddress))
      // What is kept of the context later still names every replica.
      return { ...context, ...replica, replicas: all.filter((_, other) => other !== at) };
  }
  return context;
}
