/** `weft identity` while a member of the store is down: what the primary can do is done, what it cannot is refused. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exitCodes } from "../../cli/output.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import { loadOperatorContext, saveOperatorContext } from "../../rpc/operator-context.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { ReplicatedPostgres } from "../harness/replicated-postgres.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-members-"));
let pair: ReplicatedPostgres;
let control: TestControl;

beforeAll(async () => {
  pair = await ReplicatedPostgres.start();
  const postgresUrlFile = join(dir, "postgres.url");
  writeFileSync(postgresUrlFile, pair.url, { mode: 0o600 });
  control = await startTestControl({ postgresUrlFile });
  // The ports were chosen when it started.
  const { dir: _dir, leaf, ...context } = loadOperatorContext(control.contextDir);
  const { operatorAddress, publicAddress } = control.running;
  const files = { keyPem: leaf.keyPem, certificatePem: leaf.certificatePem };
  saveOperatorContext(control.contextDir, { ...context, operatorAddress, publicAddress }, files);
  const operator = rpcClient(OrganizationService, control.operator());
  await operator.createOrganization({ clusterId: control.outcome.cluster.id, name: "acme" });
}, 120_000);
afterAll(async () => {
  await control[Symbol.asyncDispose]();
  await pair.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const identity = (...words: readonly string[]): Promise<Ran> =>
  run(process.execPath, [join(repository, "cli/bin.ts"), "identity", ...words], {
    env: { WEFT_CONTEXT: control.contextDir },
    withinMs: 60_000,
  });

const add = (name: string, folder = name): Promise<Ran> =>
  identity("add", "client", name, "--organization", "acme", "--out", join(dir, folder), "--json");

const said = (ran: Ran): unknown => JSON.parse(ran.stdout);

describe("weft identity, a member of the store being down", () => {
  it("tells the primary and who has the change already", async () => {
    expect(said(await add("laptop"))).toMatchObject({
      identity: { name: "laptop", status: "active" },
      store: { driver: "postgres", primary: true, timeline: 1, members: [{ inSync: true, state: "streaming" }] },
    });
  });

  it("adds, refuses what exists, and revokes, with the primary alone", async () => {
    await pair.primary("alter system set synchronous_standby_names = ''");
    await pair.primary("select pg_reload_conf()");
    await pair.stopStandby();
    const added = await add("desktop");
    expect({ code: added.code, said: said(added) }).toMatchObject({
      code: 0,
      said: { identity: { status: "active" }, store: { members: [] } },
    });
    const again = await add("desktop", "other");
    expect({ code: again.code === 0, said: said(again) }).toMatchObject({
      code: false,
      said: { ok: false, error: "already_exists", detail: "IDENTITY_EXISTS" },
    });
    const revoked = await identity("revoke", "desktop", "--reason", "lost");
    expect(revoked.stdout).toMatch(/desktop is revoked\nstore: primary, timeline 1, epoch 1; in sync: none/);
    // A name that was revoked is not taken over either, by whatever kind of key.
    expect(said(await add("desktop", "third"))).toMatchObject({ error: "already_exists" });
  }, 60_000);

  it("is refused where a commit has to reach a member that is down, and works again when it is back", async () => {
    await pair.primary("alter system set synchronous_standby_names = '*'");
    await pair.primary("select pg_reload_conf()");
    const refused = await add("phone");
    expect({ code: refused.code, said: said(refused) }).toMatchObject({
      code: exitCodes.unavailable,
      said: { ok: false, error: "unavailable", detail: expect.stringMatching(/^STORE_/) },
    });
    await pair.startStandby();
    await eventually(async () => (await add("tablet")).code === 0, { withinMs: 60_000, everyMs: 500 });
  }, 120_000);
});
