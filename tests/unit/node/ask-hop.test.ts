import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { OpenPathRequestSchema, RelayService } from "../../../gen/weft/relay/v1/relay_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { askHop, sharedHops, sharesError } from "../../../node/ask-hop.ts";
import type { PathEvent } from "../../../node/hop-path.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { toConnectError } from "../../../rpc/errors.ts";
import { eventually } from "../../harness/eventually.ts";

type Answers = AsyncIterable<{
  event: { case: "ready"; value: { legToken: Uint8Array } } | { case: "draining"; value: { nodeId: string } };
}>;

function hop(openPath: (signal: AbortSignal) => Answers, position = 1) {
  const clock = new ManualClock();
  const transport = createRouterTransport(({ rpc }) => {
    rpc(RelayService.method.openPath, (_request, context) => openPath(context.signal));
  });
  const events: PathEvent[] = [];
  const giveUp = new AbortController();
  const options = {
    clock,
    signal: giveUp.signal,
    hop: position,
    onEvent: (event: PathEvent) => void events.push(event),
  };
  const token = askHop(rpcClient(RelayService, transport), create(OpenPathRequestSchema), options);
  token.catch(() => {});
  return { clock, events, giveUp, token };
}

/** A hop that never answers, until it is left. */
async function* silent(signal: AbortSignal): Answers {
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  yield* [];
}

async function* answers(): Answers {
  yield { event: { case: "ready", value: { legToken: new Uint8Array(32).fill(3) } } };
  yield { event: { case: "draining", value: { nodeId: "nd-x" } } };
}

it("gives the token, then the events", async () => {
  const { token, events } = hop(answers);
  expect(await token).toEqual(new Uint8Array(32).fill(3));
  await eventually(() => events.length === 1);
  expect(events).toEqual([{ kind: "draining", nodeId: "nd-x" }]);
});

it("a later hop that hangs is blamed before the earlier ones' time is up", async () => {
  const near = hop(silent, 1);
  const far = hop(silent, 3);
  const farMs = limits.openPathDeadlineMs - 2 * limits.openPathHopMarginMs;
  for (const { clock } of [near, far]) clock.advance(farMs);
  await expect(far.token).rejects.toMatchObject({ detail: "PATH_DEADLINE", metadata: { hop: "3" } });
  expect(near.clock.nextDueInMs()).toBe(limits.openPathDeadlineMs - farMs);
  near.clock.advance(limits.openPathDeadlineMs - farMs);
  await expect(near.token).rejects.toMatchObject({ detail: "PATH_DEADLINE", metadata: { hop: "1" } });
});

it("a call that broke is nobody's decision: the hop that was asked is out of reach, and another path may do", async () => {
  const { token } = hop(async function* () {
    yield* [];
    throw new Error("the session was destroyed");
  }, 2);
  await expect(token).rejects.toMatchObject({
    reason: "unavailable",
    detail: "PATH_NEXT_HOP_UNREACHABLE",
    retry: "later",
    metadata: { hop: "2" },
  });
});

it("giving up ends the call", async () => {
  const entered = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const { token, giveUp } = hop(async function* (signal) {
    entered.resolve();
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    left.resolve();
    yield* [];
  });
  await entered.promise;
  giveUp.abort();
  await expect(token).rejects.toMatchObject({ detail: "PATH_CANCELED" });
  await left.promise;
});

it("a refusal keeps its class and who failed; a stranger's words do not pass", async () => {
  const refusing = (error: WeftError) =>
    hop(async function* () {
      yield* [];
      throw toConnectError(error, "r");
    }).token;
  const known = new WeftError("unavailable", "x", { detail: "PATH_DRAINING", metadata: { hop: "4" } });
  await expect(refusing(known)).rejects.toMatchObject({ detail: "PATH_DRAINING", metadata: { hop: "4" } });
  const odd = new WeftError("internal", "secret words", { detail: "SQL_STATE", metadata: { hop: "99" } });
  await expect(refusing(odd)).rejects.toMatchObject({
    detail: "PATH_REFUSED",
    message: "the path could not be set up",
    metadata: { hop: "1" },
  });
});

const refusing = (error: WeftError) =>
  async function* (): Answers {
    yield* [];
    throw toConnectError(error, "request");
  };

it("passes on which hops of the path are shared, as positions, and nothing that is none", async () => {
  const thrown = await hop(refusing(sharesError(3, [1, 2]))).token.catch((error: unknown) => error);
  expect(thrown).toMatchObject({ detail: "PATH_SHARES_RELAY", metadata: { hop: "3", shared: "1,2" } });
  expect(sharedHops(thrown as WeftError, ["en", "re-1", "re-2", "re-3", "eg"])).toEqual(["re-1", "re-2"]);
  const odd = new WeftError("failed_precondition", "no", { detail: "PATH_SHARES_RELAY", metadata: { shared: "nd-x" } });
  const cleaned = await hop(refusing(odd)).token.catch((error: unknown) => error);
  expect(cleaned).toMatchObject({ metadata: { hop: "1" } });
  expect(sharedHops(cleaned as WeftError, ["en", "re-1", "eg"])).toEqual([]);
});

it("reads no shared hops out of another failure", () => {
  const other = new WeftError("unavailable", "no", { detail: "PATH_DRAINING", metadata: { shared: "1" } });
  expect(sharedHops(other, ["en", "re-1", "eg"])).toEqual([]);
});
