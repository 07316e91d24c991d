/** Control from init to shutdown, through its own ports. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rootsOf, verifyTrustBundle } from "../../certs/bundle.ts";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { leafOfKind } from "../../certs/material.ts";
import { createSealingKeyFile } from "../../certs/seal.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { loadControlConfig } from "../../control/config.ts";
import { initControl } from "../../control/init.ts";
import { startControl } from "../../control/main.ts";
import { recoverControl } from "../../control/recover.ts";
import { controlServerName, joinServerName } from "../../fabric/server-names.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { EnrollmentService } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { rpcClient } from "../../rpc/client.ts";
import { joinTransport } from "../../rpc/join-transport.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import { operatorTransport } from "../../rpc/operator-transport.ts";
import { controlFlags, operatorOf, startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../harness/otlp-receiver.ts";
import { briefly } from "../harness/shared-stores.ts";

let control: TestControl;
beforeAll(async () => {
  control = await startTestControl();
});
afterAll(async () => {
  await control[Symbol.asyncDispose]();
});

describe("the first operator", () => {
  test("acts over gRPC, and what was done is on record", async () => {
    const transport = control.operator();
    const { clusters } = await rpcClient(ClusterService, transport).listClusters({});
    expect(clusters.map(({ slug }) => slug)).toEqual(["default"]);
    const { organization } = await rpcClient(OrganizationService, transport).createOrganization({
      clusterId: clusters[0]?.id ?? "",
      name: "acme",
    });
    expect(organization?.name).toBe("acme");
    const { records } = await rpcClient(AuditService, transport).listAudit({});
    expect(records.map(({ action }) => action)).toEqual(
      expect.arrayContaining(["installation.created", "cluster.created", "identity.added"]),
    );
  });

  test("files are private", () => {
    for (const name of ["operator.key", "context.json"]) {
      expect(statSync(join(control.contextDir, name)).mode & 0o777, name).toBe(0o600);
    }
    expect(statSync(control.config.sealingKeyFile).mode & 0o777).toBe(0o600);
  });
});

describe("joining hosts", () => {
  test("first contact gets a bundle that proves itself, and nothing else", async () => {
    const transport = joinTransport({
      address: control.running.publicAddress,
      tls: tlsOptions("first-contact", { serverName: joinServerName("default") }),
    });
    const client = rpcClient(EnrollmentService, transport);
    const { bundle, signature, installationPublicKey } = await client.getTrustBundle({ clusterSlug: "default" });
    const { installationKeyHash } = control.outcome;
    const verified = verifyTrustBundle({ bytes: bundle, signature }, installationPublicKey, installationKeyHash);
    expect(verified.clusterId).toBe(control.outcome.cluster.id);
    await expect(client.renew({ csr: new Uint8Array() })).rejects.toMatchObject({ reason: "unimplemented" });
    await expect(rpcClient(ClusterService, transport).listClusters({})).rejects.toMatchObject({
      reason: "unimplemented",
    });
    transport.close();
  });

  test("then the join door is verified by that bundle", async () => {
    const { bundle, trustDomain, cluster } = control.outcome;
    const transport = joinTransport({
      address: control.running.publicAddress,
      tls: tlsOptions("dial-join", {
        serverName: joinServerName("default"),
        expect: {
          kind: "control",
          trustDomain,
          clusterId: cluster.id,
          roots: rootsOf(bundle, "control"),
          nowMs: () => Date.now(),
        },
      }),
    });
    await expect(
      rpcClient(EnrollmentService, transport).enroll({ token: "nonsense", csr: new Uint8Array([1]) }),
    ).rejects.toMatchObject({
      name: "WeftError",
      reason: expect.stringMatching(/^(unauthenticated|invalid_argument|permission_denied)$/),
    });
    transport.close();
  });

  test.each(["link-aaaaaaaaaaaaaaaaaaaaaaaaaa.default.weft.internal", "join.other.weft.internal", "example.org"])(
    "%s is nobody here: closed before TLS",
    async (serverName) => {
      const transport = joinTransport({
        address: control.running.publicAddress,
        tls: tlsOptions("first-contact", { serverName }),
      });
      await expect(
        rpcClient(EnrollmentService, transport).getTrustBundle({ clusterSlug: "default" }, { timeoutMs: 3_000 }),
      ).rejects.toMatchObject({ reason: expect.stringMatching(/^(unavailable|internal|aborted|canceled)$/) });
      transport.close();
    },
  );
});

describe("a cluster made a moment ago", () => {
  test("is joined at once, though the store was looked at within the last second", async () => {
    // A clock that stands still: every look is "just now", and only the cluster's own announcement opens its door.
    const nowMs = systemClock.monoMs();
    await using still = await startTestControl({ over: { clock: { ...systemClock, monoMs: () => nowMs } } });
    await rpcClient(ClusterService, still.operator()).createCluster({ slug: "late" });
    const transport = joinTransport({
      address: still.running.publicAddress,
      tls: tlsOptions("first-contact", { serverName: joinServerName("late") }),
    });
    const first = await rpcClient(EnrollmentService, transport).getTrustBundle({ clusterSlug: "late" });
    expect(first.bundle.length).toBeGreaterThan(0);
    transport.close();
  });
});

describe("LAW-I4 revocation", () => {
  test("a revoked operator's open connection is refused within a second", async () => {
    const keys = generateP256();
    const admin = rpcClient(IdentityService, control.operator());
    const added = await admin.addIdentity({ kind: IdentityKind.OPERATOR, name: "second", csr: await makeCsr(keys) });
    const leaf = leafOfKind("operator", privateKeyPem(keys.privateKey), added.certificateDer);
    const { bundle, trustDomain, cluster } = control.outcome;
    const transport = operatorTransport({
      address: control.running.operatorAddress,
      tls: tlsOptions("dial-operator-port", {
        identity: leaf,
        expect: {
          kind: "control",
          trustDomain,
          clusterId: cluster.id,
          roots: rootsOf(bundle, "control"),
          nowMs: () => Date.now(),
        },
      }),
    });
    const second = rpcClient(ClusterService, transport);
    expect((await second.listClusters({})).clusters).toHaveLength(1);
    await admin.revokeIdentity({ identityId: added.identity?.id ?? "", reason: "test" });
    await eventually(
      async () => {
        const thrown: unknown = await second.listClusters({}).catch((error: unknown) => error);
        return thrown instanceof Error;
      },
      { withinMs: 1_000, what: "the refusal" },
    );
    await eventually(
      () =>
        ![...control.running.surfaces.operator.sessions()].some(({ caller }) => caller.serialHex === leaf.serialHex),
    );
    transport.close();
  });
});

describe("starting again", () => {
  test("keeps everything", async () => {
    await control.restart();
    const { clusters } = await rpcClient(ClusterService, control.operator()).listClusters({});
    expect(clusters).toHaveLength(1);
  });

  test("a second init is refused and changes nothing", async () => {
    const again = await startTestControl();
    await again.running.close(0);
    const key = readFileSync(again.config.sealingKeyFile, "utf8");
    const order = { operatorName: "intruder", contextDir: join(again.dir, "other") };
    await expect(initControl(again.config, order, { log: silentLog })).rejects.toMatchObject({
      detail: "INSTALLATION_EXISTS",
    });
    expect(readFileSync(again.config.sealingKeyFile, "utf8")).toBe(key);
    expect(readdirSync(again.dir)).not.toContain("other");
    const elsewhere = { ...again.config, sealingKeyFile: join(again.dir, "second.key") };
    await expect(initControl(elsewhere, order, { log: silentLog })).rejects.toMatchObject({
      detail: "INSTALLATION_EXISTS",
    });
    expect(readdirSync(again.dir)).not.toContain("second.key");
    createSealingKeyFile(elsewhere.sealingKeyFile);
    await expect(startControl(elsewhere, { log: silentLog })).rejects.toMatchObject({ detail: "SEALING_KEY_WRONG" });
    await again[Symbol.asyncDispose]();
  });
});

describe("nobody can get in any more", () => {
  test("a new operator is made on the control host, says so in the audit, and reaches every cluster", async () => {
    const locked = await startTestControl();
    await rpcClient(ClusterService, locked.operator()).createCluster({ slug: "lab", name: "lab" });
    await locked.running.close(0);
    const contextDir = join(locked.dir, "recovered");
    const order = { operatorName: "admin", contextDir };
    await expect(recoverControl(locked.config, order, { log: silentLog })).rejects.toMatchObject({
      detail: "IDENTITY_EXISTS",
    });
    const operatorId = await recoverControl(locked.config, { ...order, operatorName: "second" }, { log: silentLog });
    expect(loadOperatorContext(contextDir).clusters.map(({ slug }) => slug)).toEqual(["default", "lab"]);
    await locked.restart();
    const transport = operatorOf(contextDir, locked.running.operatorAddress);
    const { records } = await rpcClient(AuditService, transport).listAudit({});
    expect(records.filter(({ action }) => action === "operator.recovered")).toMatchObject([
      { actor: "system", object: `operator/${operatorId}` },
    ]);
    transport.close();
    await locked[Symbol.asyncDispose]();
  });

  test("a store without an installation has nothing to recover", async () => {
    const dir = mkdtempSync(join(tmpdir(), "weft-control-empty-"));
    const config = loadControlConfig({ env: {}, flags: controlFlags(dir) });
    const order = { operatorName: "second", contextDir: join(dir, "context") };
    await expect(recoverControl(config, order, { log: silentLog })).rejects.toMatchObject({
      detail: "INSTALLATION_MISSING",
    });
    rmSync(dir, { recursive: true, force: true });
  });
});

describe("as a process", () => {
  let dir: string;
  const bin = new URL("../../control/bin.ts", import.meta.url).pathname;
  const argvOf = (flags: Record<string, unknown>): string[] =>
    Object.entries(flags).map(([name, value]) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}=${value}`);

  let otlp: OtlpReceiver;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "weft-control-bin-"));
    otlp = await startOtlpReceiver();
  });
  afterAll(async () => {
    rmSync(dir, { recursive: true, force: true });
    await otlp.close();
  });

  /** Runs control with these words, where a platform has set OpenTelemetry's variables for everybody. */
  function run(...args: string[]): {
    child: ChildProcess;
    out: () => string;
    exit: Promise<[number | null]>;
    err: () => string;
  } {
    const env = {
      PATH: "",
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint,
      OTEL_TRACES_EXPORTER: "otlp",
    };
    const child = spawn(process.execPath, [...briefly, bin, ...args], { stdio: ["ignore", "pipe", "pipe"], env });
    let [out, err] = ["", ""];
    child.stdout?.on("data", (chunk) => (out += chunk));
    child.stderr?.on("data", (chunk) => (err += chunk));
    return { child, out: () => out, err: () => err, exit: once(child, "exit") as Promise<[number | null]> };
  }

  test("init, run until ready, drain on SIGTERM; a wrong key exits 78", async () => {
    const flags = argvOf(controlFlags(dir));
    const early = run("run", ...flags);
    expect((await early.exit)[0]).toBe(78);
    const made = run("init", ...flags, "--operator-name=admin", `--context-dir=${join(dir, "context")}`);
    expect((await made.exit)[0], made.err()).toBe(0);
    expect(JSON.parse(made.out())).toMatchObject({ cluster: { slug: "default" } });

    const running = run("run", ...flags);
    if (running.child.stdout === null) throw new Error("no output");
    const [line] = (await once(createInterface(running.child.stdout), "line")) as [string];
    expect(JSON.parse(line)).toMatchObject({ ready: true, public: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
    const listed = async (ready: string): Promise<void> => {
      const transport = operatorOf(join(dir, "context"), JSON.parse(ready).operator);
      await rpcClient(ClusterService, transport).listClusters({});
      transport.close();
    };
    await listed(line);
    running.child.kill("SIGTERM");
    expect((await running.exit)[0], running.err()).toBe(0);
    // Traces are off, whatever a platform has set for every program.
    expect(otlp.connections()).toBe(0);

    const traced = run("run", ...flags, `--traces-endpoint=${otlp.endpoint}`);
    if (traced.child.stdout === null) throw new Error("no output");
    const [ready] = (await once(createInterface(traced.child.stdout), "line")) as [string];
    await listed(ready);
    traced.child.kill("SIGTERM");
    expect((await traced.exit)[0], traced.err()).toBe(0);
    // What was not yet sent goes out with the process.
    expect(otlp.spans.map(({ name }) => name)).toContain("weft.admin.v1.ClusterService/ListClusters");

    rmSync(join(dir, "sealing.key"));
    const keyless = run("run", ...flags);
    expect((await keyless.exit)[0]).toBe(78);
    createSealingKeyFile(join(dir, "sealing.key"));
    const wrong = run("run", ...flags);
    expect((await wrong.exit)[0]).toBe(78);
    expect(wrong.err()).toContain("SEALING_KEY_WRONG");
  }, 120_000);

  test("REVIEW-25 a start that would leak secrets, or an unknown flag, exits 78 with the reason", async () => {
    const unknown = run("run", "--no-such-setting=1");
    expect((await unknown.exit)[0]).toBe(78);
    const child = spawn(process.execPath, [
      `--tls-keylog=${join(dir, "keys")}`,
      bin,
      "run",
      ...argvOf(controlFlags(dir)),
    ]);
    let err = "";
    child.stderr.on("data", (chunk) => (err += chunk));
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(78);
    expect(err).toContain("--tls-keylog");
    expect(loadControlConfig({ env: {}, flags: controlFlags(dir) }).publicPort).toBe(0);
  });
});

test("the node door is not for those without a node certificate", async () => {
  const transport = joinTransport({
    address: control.running.publicAddress,
    tls: tlsOptions("first-contact", { serverName: controlServerName("default") }),
  });
  await expect(
    rpcClient(EnrollmentService, transport).renew({ csr: new Uint8Array() }, { timeoutMs: 3_000 }),
  ).rejects.toMatchObject({ name: "WeftError" });
  expect(control.running.surfaces.control.sessionCount()).toBe(0);
  transport.close();
});
