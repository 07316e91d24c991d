import { createServer, type Server } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { atAnsweringReplica } from "../../../cli/replicas.ts";
import { publicAddresses, replicaNames, requireSameShape } from "../../../cli/up/control-plane.ts";
import type { Plan } from "../../../cli/up/layout.ts";
import type { OperatorContext } from "../../../rpc/operator-context.ts";

const at = (publicPort: number) => ({ publicPort, operatorPort: publicPort + 1 });
const plan = (shape: Partial<Plan>): Plan => ({
  control: at(1),
  replicas: [],
  ownPostgres: false,
  targets: { webPort: 0, echoPort: 0 },
  listeners: [],
  nodes: [],
  finished: true,
  ...shape,
});

describe("M-L1 the control plane of weft up", () => {
  it("is called control, or numbered", () => {
    expect(replicaNames(plan({}))).toEqual(["control"]);
    const three = plan({ replicas: [at(3), at(5)] });
    expect(replicaNames(three)).toEqual(["control-1", "control-2", "control-3"]);
    expect(publicAddresses(three)).toEqual(["127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:5"]);
  });

  it.each([
    ["as it was made", plan({ replicas: [at(3)], postgresPort: 9 }), { replicas: 2, embeddedPostgres: true }],
    ["with nothing said", plan({ replicas: [at(3)], postgresPort: 9 }), {}],
    ["with its own store", plan({ ownPostgres: true }), { postgresUrlFile: "f" }],
  ])("comes back %s", (_, kept, wanted) => {
    expect(() => requireSameShape(kept, wanted)).not.toThrow();
  });

  it.each([
    ["other replicas", plan({ postgresPort: 9 }), { replicas: 2, embeddedPostgres: true }],
    ["a store it had not", plan({}), { embeddedPostgres: true }],
    ["another store", plan({ postgresPort: 9 }), { postgresUrlFile: "f" }],
    ["no store", plan({ ownPostgres: true }), {}],
  ])("does not come back with %s", (_, kept, wanted) => {
    expect(() => requireSameShape(kept, wanted)).toThrow(/say the same, or use another --data folder/);
  });
});

describe("M-L1 an operator's command", () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  async function listening(): Promise<string> {
    const server = createServer((socket) => socket.destroy());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return typeof address === "object" && address !== null ? `127.0.0.1:${address.port}` : "";
  }

  const context = (first: string, ...others: readonly string[]): OperatorContext =>
    ({
      operatorAddress: first,
      publicAddress: `public of ${first}`,
      replicas: others.map((each) => ({ operatorAddress: each, publicAddress: `public of ${each}` })),
    }) as unknown as OperatorContext;

  it("goes to the first replica that is there, and forgets none", async () => {
    const [there, gone] = [await listening(), "127.0.0.1:1"];
    const found = await atAnsweringReplica(context(gone, there));
    expect(found).toMatchObject({ operatorAddress: there, publicAddress: `public of ${there}` });
    expect(found.replicas?.map(({ operatorAddress }) => operatorAddress)).toEqual([gone]);
    expect((await atAnsweringReplica(context(there, gone))).operatorAddress).toBe(there);
    // Nobody is there: the error is about the first one.
    expect((await atAnsweringReplica(context(gone, gone))).operatorAddress).toBe(gone);
  });
});
