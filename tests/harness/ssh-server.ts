/**
 * An SSH server on loopback for tests: OpenSSH's own `sshd` where it is installed, else the server of the ssh2 package, which
 * the end of the run then says. It lets one key in, as the user of the tests, and has a host key of its own.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { onFreePort } from "./loopback.ts";
import { peerOr } from "./peers.ts";
import { startServer } from "./server-process.ts";

export interface SshServer {
  /** What answers there. */
  readonly kind: "sshd" | "ssh2";
  readonly port: number;
  readonly username: string;
  /** Of the one who may, in OpenSSH's form. */
  readonly privateKey: string;
  /** The server's own key, as a file of known hosts has it behind the name. */
  readonly hostKey: string;
  /** Whether this is the server's own key, as it travels. */
  isHostKey(key: Buffer): boolean;
  stop(): Promise<void>;
}

type Started = Pick<SshServer, "kind" | "port" | "stop">;

interface Keys {
  readonly folder: string;
  readonly host: { readonly private: string; readonly public: string };
  readonly user: { readonly private: string; readonly public: string };
}

/** Starts one; some 100 ms. `suite` says what is tried against ssh2's own server when there is no sshd. */
export async function startSshServer(suite: string): Promise<SshServer> {
  const sshd = peerOr("sshd", suite, "tried against the server of ssh2 instead");
  const folder = mkdtempSync(join(tmpdir(), "weft-ssh-"));
  const keys = {
    folder,
    host: ssh2.utils.generateKeyPairSync("ed25519"),
    user: ssh2.utils.generateKeyPairSync("ed25519"),
  };
  const { kind, port, stop } = await (sshd.missing ? startSsh2(keys) : startSshd(sshd.path, keys));
  const hostKey = ssh2.utils.parseKey(keys.host.public).getPublicSSH();
  return {
    kind,
    port,
    username: userInfo().username,
    privateKey: keys.user.private,
    hostKey: keys.host.public,
    isHostKey: (key) => key.equals(hostKey),
    async stop() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startSshd(program: string, { folder, host, user }: Keys): Promise<Started> {
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  // Started by root it insists on this folder, which a service manager would have made.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const settings = {
    ListenAddress: "127.0.0.1",
    HostKey: file("host", host.private),
    AuthorizedKeysFile: file("authorized", `${user.public}\n`),
    PidFile: "none",
    // The folder is below one that others may write.
    StrictModes: "no",
    UsePAM: "no",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    PermitRootLogin: "prohibit-password",
  };
  const config = file(
    "sshd_config",
    Object.entries(settings)
      .map((words) => `${words.join(" ")}\n`)
      .join(""),
  );
  return await onFreePort(async (port) => {
    const server = await startServer({
      program,
      args: ["-D", "-e", "-f", config, "-p", String(port)],
      ready: "Server listening on",
      stopSignal: "SIGTERM",
    });
    return { kind: "sshd", port, stop: () => server.stop() };
  });
}

async function startSsh2({ host, user }: Keys): Promise<Started> {
  const allowed = ssh2.utils.parseKey(user.public);
  const server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
    connection.on("error", () => {});
    connection.on("authentication", (asked) => {
      const isKey = asked.method === "publickey" && asked.key?.data.equals(allowed.getPublicSSH()) === true;
      if (!isKey) return asked.reject(["publickey"]);
      const { blob, signature, hashAlgo } = asked;
      const isProved = blob === undefined || (signature !== undefined && allowed.verify(blob, signature, hashAlgo));
      if (isProved) asked.accept();
      else asked.reject();
    });
    connection.on("session", (accept) => {
      accept().on("exec", (acceptExec, _reject, { command }) => {
        const channel = acceptExec();
        const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "pipe"] });
        channel.pipe(child.stdin).on("error", () => {});
        child.stdout.pipe(channel, { end: false });
        child.stderr.pipe(channel.stderr, { end: false });
        child.once("close", (code) => {
          channel.exit(code ?? 255);
          channel.end();
        });
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { kind: "ssh2", port, stop: () => new Promise((resolve) => void server.close(() => resolve())) };
}
