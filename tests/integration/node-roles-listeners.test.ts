import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type Listener, ListenerSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { createCeilingJudge } from "../../node/ceiling.ts";
import { type Ceiling, loadNodeConfig } from "../../node/config.ts";
import type { ChannelWish, EntryRole } from "../../node/roles/entry.ts";
import { type ConnectionBounds, EntryListeners } from "../../node/roles/listeners.ts";
import { eventually } from "../harness/eventually.ts";
import { makeTrunks, type Trunks } from "../unit/node/roles/channel-pair.ts";
import { selfId, type TestPorts, testPorts } from "../unit/node/stage.ts";

const { ceiling: defaults } = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } });

let trunks: Trunks;
beforeAll(async () => {
  trunks = await makeTrunks();
});
afterAll(() => trunks.close());

let ports: TestPorts;
let wishes: ChannelWish[] = [];
let openChannel: (wish: ChannelWish) => Promise<EdgeChannel>;
const made: EntryListeners[] = [];
const echo = async (): Promise<EdgeChannel> => {
  const { near, far } = await trunks.open();
  far.accept();
  far.pipe(far);
  return near;
};

beforeEach(() => {
  ports = testPorts();
  wishes = [];
  openChannel = echo;
});
afterEach(() => {
  for (const listeners of made.splice(0)) listeners.close();
});

function start(ceiling: Partial<Ceiling> = {}, bounds?: ConnectionBounds): EntryListeners {
  const entry = {
    open: (wish: ChannelWish) => {
      wishes.push(wish);
      return openChannel(wish);
    },
  } as unknown as EntryRole;
  const listeners = new EntryListeners(ports, createCeilingJudge({ ...defaults, ...ceiling }), entry, bounds);
  made.push(listeners);
  return listeners;
}

const wanted = (fields: MessageInitShape<typeof ListenerSchema> = {}): Listener =>
  create(ListenerSchema, {
    listenerId: "ls-1",
    name: "web-local",
    organizationId: "org-1",
    resourceName: "web",
    bindHost: "127.0.0.1",
    bindPort: 0,
    ...fields,
  });

async function portOf(listeners: EntryListeners, id = "ls-1"): Promise<number> {
  const address = await eventually(
    () => listeners.status().find((row) => row.listenerId === id && row.boundAddress !== "")?.boundAddress,
  );
  return Number(address.split(":").at(-1));
}

interface Plain {
  readonly socket: Socket;
  text: string;
  over: string;
}

function dial(port: number): Plain {
  const plain: Plain = { socket: connect({ port, host: "127.0.0.1", allowHalfOpen: true }), text: "", over: "" };
  plain.socket.on("data", (chunk: Buffer) => {
    plain.text += chunk.toString();
  });
  plain.socket.on("error", (error: NodeJS.ErrnoException) => {
    plain.over = error.code ?? "error";
  });
  plain.socket.on("close", () => {
    plain.over ||= "closed";
  });
  return plain;
}

describe("a listener of an entry", () => {
  it("turns each connection into one channel whose origin is the listener and the source, nothing more", async () => {
    const listeners = start();
    listeners.reconcile([wanted()]);
    const plain = dial(await portOf(listeners));
    plain.socket.end("hello");
    await eventually(() => plain.text === "hello" && plain.over === "closed");
    expect(wishes).toHaveLength(1);
    expect(wishes[0]).toMatchObject({
      resource: "web",
      organizationId: "org-1",
      class: ChannelClass.UNSPECIFIED,
      origin: {
        assurance: OriginAssurance.ANONYMOUS,
        clientId: "",
        organizationId: "org-1",
        entryNodeId: selfId,
        listenerId: "ls-1",
      },
    });
    expect(wishes[0]?.origin.sourceAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(ports.kinds()).toContain("listener_up");
  });

  it("resets a connection that cannot be carried: nobody takes it for an empty answer", async () => {
    openChannel = () => Promise.reject(new WeftError("unavailable", "no path", { detail: "NO_PATH" }));
    const listeners = start();
    listeners.reconcile([wanted()]);
    const plain = dial(await portOf(listeners));
    await eventually(() => plain.over !== "");
    expect(plain.over).toBe("ECONNRESET");
  });

  it("resets a connection for which nothing is found in a few seconds, however many attempts are left", async () => {
    const asked = { tries: 0 };
    // Egress after egress whose path hangs until it is given up.
    openChannel = async ({ signal }) => {
      for (;;) {
        asked.tries += 1;
        await new Promise<void>((resolve) => {
          const timer = ports.clock.after(2_000, resolve);
          signal?.addEventListener("abort", () => {
            timer.cancel();
            resolve();
          });
        });
        if (signal?.aborted === true) throw new WeftError("canceled", "the caller gave up");
      }
    };
    const listeners = start();
    listeners.reconcile([wanted()]);
    const plain = dial(await portOf(listeners));
    await eventually(() => asked.tries === 1);
    ports.clock.advance(limits.channelOpenMaxMs - 1);
    await eventually(() => asked.tries > 1);
    expect(plain.over).toBe("");
    ports.clock.advance(1);
    await eventually(() => plain.over !== "");
    expect(plain.over).toBe("ECONNRESET");
    expect(wishes[0]?.signal?.aborted).toBe(true);
  });

  it("resets a connection whose channel the far edge does not answer for in time, and no other", async () => {
    openChannel = async () => (await trunks.open()).near;
    const listeners = start();
    listeners.reconcile([wanted()]);
    const port = await portOf(listeners);
    const unanswered = dial(port);
    await eventually(() => wishes.length === 1);
    openChannel = echo;
    const answered = dial(port);
    answered.socket.write("in");
    await eventually(() => answered.text === "in");
    ports.clock.advance(limits.channelAnswerMaxMs);
    await eventually(() => unanswered.over !== "");
    expect(unanswered.over).toBe("ECONNRESET");
    answered.socket.end("side");
    await eventually(() => answered.text === "inside" && answered.over === "closed");
  });

  it("gives up a channel that comes after its connection has gone", async () => {
    const late = Promise.withResolvers<void>();
    let channel: EdgeChannel | undefined;
    openChannel = async () => {
      await late.promise;
      channel = await echo();
      return channel;
    };
    const listeners = start();
    listeners.reconcile([wanted()]);
    const plain = dial(await portOf(listeners));
    await eventually(() => wishes.length === 1);
    plain.socket.resetAndDestroy();
    await eventually(() => wishes[0]?.signal?.aborted);
    late.resolve();
    await eventually(() => channel?.destroyed, { what: "the channel given up" });
  });

  it("takes no connection while the node drains", async () => {
    const listeners = start();
    listeners.reconcile([wanted()]);
    const port = await portOf(listeners);
    ports.drain.set(true);
    const plain = dial(port);
    await eventually(() => plain.over !== "");
    expect(wishes).toEqual([]);
  });
});

describe("LAW-T3 connections of an entry are bounded", () => {
  const carried = async (port: number): Promise<Plain> => {
    const plain = dial(port);
    plain.socket.write("in");
    await eventually(() => plain.text === "in");
    return plain;
  };
  const refused = async (port: number): Promise<void> => {
    const plain = dial(port);
    await eventually(() => plain.over !== "");
    expect(plain.over).toBe("ECONNRESET");
  };
  const counts = (listeners: EntryListeners): unknown[] =>
    listeners.status().map(({ connections, refused: count }) => [connections, Number(count)]);

  it("per listener and per process: one more is reset and counted, and a place that is left is free", async () => {
    const listeners = start({}, { perListenerMaxCount: 2, perProcessMaxCount: 3 });
    listeners.reconcile([wanted(), wanted({ listenerId: "ls-2" })]);
    const [one, two] = [await portOf(listeners), await portOf(listeners, "ls-2")];
    const first = await carried(one);
    await carried(one);
    await refused(one);
    await carried(two);
    await refused(two);
    expect(counts(listeners)).toEqual([
      [2, 1],
      [1, 1],
    ]);
    expect(ports.counters.connectionsRefused).toBe(2);
    expect(wishes).toHaveLength(3);
    first.socket.resetAndDestroy();
    await eventually(() => listeners.status()[0]?.connections === 1);
    await carried(two);
    await refused(one);
  });
});

describe("desired against running", () => {
  it("stays where it is while nothing changes", async () => {
    const listeners = start();
    listeners.reconcile([wanted()]);
    const port = await portOf(listeners);
    const plain = dial(port);
    await eventually(() => wishes.length === 1);
    listeners.reconcile([wanted({ name: "renamed" })]);
    expect(await portOf(listeners)).toBe(port);
    plain.socket.end("still");
    await eventually(() => plain.text === "still");
  });

  it("stops what is not wanted any more, and its connections with it", async () => {
    const listeners = start();
    listeners.reconcile([wanted(), wanted({ listenerId: "ls-2", name: "other" })]);
    const port = await portOf(listeners);
    const other = await portOf(listeners, "ls-2");
    const plain = dial(port);
    await eventually(() => wishes.length === 1);
    listeners.reconcile([wanted({ listenerId: "ls-2", name: "other" })]);
    await eventually(() => plain.over !== "");
    const again = dial(port);
    await eventually(() => again.over === "ECONNREFUSED");
    expect(listeners.status().map(({ listenerId }) => listenerId)).toEqual(["ls-2"]);
    expect(await portOf(listeners, "ls-2")).toBe(other);
  });

  it("binds anew when where it leads changes, on the same port", async () => {
    const listeners = start();
    listeners.reconcile([wanted()]);
    const port = await portOf(listeners);
    listeners.reconcile([wanted({ bindPort: port })]);
    expect(await portOf(listeners)).toBe(port);
    listeners.reconcile([wanted({ bindPort: port, resourceName: "db" })]);
    expect(await portOf(listeners)).toBe(port);
    dial(port);
    await eventually(() => wishes.length === 1);
    expect(wishes[0]?.resource).toBe("db");
  });

  it("says that a port is taken, and binds at the next look once it is free", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const listeners = start();
    listeners.reconcile([wanted({ bindPort: port })]);
    await eventually(() => listeners.status()[0]?.error.includes("EADDRINUSE"));
    expect(ports.kinds()).toEqual(["listener_failed"]);
    other.close();
    await once(other, "close");
    listeners.reconcile([wanted({ bindPort: port })]);
    expect(await portOf(listeners)).toBe(port);
    expect(listeners.status()[0]?.error).toBe("");
  });

  it("after the end nothing starts any more", () => {
    const listeners = start();
    listeners.close();
    listeners.reconcile([wanted()]);
    expect(listeners.status()).toEqual([]);
  });
});

describe("LAW-C6 where a listener may bind, and who may connect", () => {
  it("nowhere beyond the host's ceiling, whatever control says", () => {
    const listeners = start();
    listeners.reconcile([
      wanted({ bindHost: "0.0.0.0", allowedSources: ["0.0.0.0/0"] }),
      wanted({ listenerId: "ls-2" }),
    ]);
    expect(listeners.status()[0]).toMatchObject({ error: "bind address beyond this host's ceiling", boundAddress: "" });
    expect(ports.seen).toMatchObject([{ kind: "listener_failed", facts: { listener: "web-local" } }]);
    // One refused listener says nothing about the others.
    expect(listeners.status()[1]?.error).toBe("");
  });

  it.each(["0.0.0.0", "::"])("beyond loopback (%s) only with sources", async (bindHost) => {
    const listeners = start({ listenerHosts: [bindHost] });
    listeners.reconcile([wanted({ bindHost })]);
    expect(listeners.status()[0]?.error).toContain("needs allowed sources");
    listeners.reconcile([wanted({ bindHost, allowedSources: ["127.0.0.0/8"] })]);
    const plain = dial(await portOf(listeners));
    plain.socket.end("in");
    await eventually(() => plain.text === "in");
  });

  it.each([["10.0.0.0/8"], ["127.0.0.2/32"], ["::1/128"], ["not-a-network"]])(
    "a source outside of %s is reset before anything is opened",
    async (source) => {
      const listeners = start();
      listeners.reconcile([wanted({ allowedSources: [source] })]);
      const plain = dial(await portOf(listeners));
      await eventually(() => plain.over !== "");
      expect(plain.over).toBe("ECONNRESET");
      expect(wishes).toEqual([]);
    },
  );

  it("sources that do not parse stop their listener only", async () => {
    const listeners = start();
    listeners.reconcile([wanted({ allowedSources: ["10.0.0.0/99"] }), wanted({ listenerId: "ls-2" })]);
    expect(listeners.status()[0]?.error).toContain("allowed sources");
    await portOf(listeners, "ls-2");
  });
});
