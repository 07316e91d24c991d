/**
 * Where a client's identity comes from, and where a renewed one goes.
 *
 * IS1. A folder is read anew for every path: several programs share one, and any of them may renew what is in it. One at a time
 *      does, and a reader that meets it half way reads again.
 * IS2. Key and certificate are replaced together: `renewed.pem` holds both from before the first of them is replaced until
 *      after the second, and counts while it is there.
 * IS3. Texts are renewed only for a caller that keeps what came of it: a program that starts with the old certificate again,
 *      after the new one was used, is refused and looks like a copy (control/domain/clone-alarm.ts). A function's owner renews
 *      by itself.
 */

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { certificatePem } from "../certs/material.ts";
import { writeSecretFile } from "../certs/secret-file.ts";
import type { Clock } from "../lib/clock.ts";
import { removeFile, replaceFile } from "../lib/files.ts";
import { asOnlyWriterOf } from "../lib/folder-lock.ts";
import { type ClientIdentity, type ClientPems, clientIdentity, readClientFolder, renewedFile } from "./identity.ts";

/** A key and the certificate that was issued for it. */
export interface RenewedLeaf {
  readonly keyPem: string;
  readonly certificateDer: Uint8Array;
}

/** Where a renewed identity is kept. */
export interface IdentityKeeper {
  /** Why nothing can be kept here, or undefined. */
  problem(): string | undefined;
  /** Keeps it: from now on `read` returns it. */
  keep(renewed: RenewedLeaf): Promise<void>;
  /** Runs `work` unless another program is renewing; undefined then. */
  alone<T>(work: () => Promise<T>): Promise<T | undefined>;
}

export interface IdentitySource {
  /** "host:port" each; only a folder knows any. */
  readonly entries: readonly string[];
  read(): ClientIdentity;
  /** Absent: whoever gave the identity renews it. */
  readonly keeper?: IdentityKeeper;
}

export interface IdentitySourceOptions {
  /** A client folder, PEM texts, or a function that returns them. */
  readonly identity: string | ClientPems | (() => ClientPems);
  /** For texts: where a renewed identity is kept. */
  readonly onRenewed?: (pems: ClientPems) => void | Promise<void>;
  readonly clock: Clock;
}

/** Throws as `readClientFolder` and `clientIdentity` do. */
export function identitySource({ identity, onRenewed, clock }: IdentitySourceOptions): IdentitySource {
  if (typeof identity === "string") return folderSource(identity, clock);
  if (typeof identity === "function") return { entries: [], read: () => clientIdentity(identity()) };
  return textSource(identity, onRenewed);
}

function folderSource(dir: string, clock: Clock): IdentitySource {
  const read = (): ClientIdentity => clientIdentity(readClientFolder(dir).pems);
  return {
    entries: readClientFolder(dir).entries,
    read() {
      try {
        return read();
      } catch {
        return read();
      }
    },
    keeper: {
      problem() {
        try {
          accessSync(dir, constants.W_OK);
          return undefined;
        } catch {
          return `${dir} cannot be written`;
        }
      },
      async keep({ keyPem, certificateDer }) {
        const certificate = certificatePem(certificateDer);
        const both = join(dir, renewedFile);
        writeSecretFile(both, `${keyPem.trimEnd()}\n${certificate}`);
        writeSecretFile(join(dir, "client.key"), keyPem);
        replaceFile(join(dir, "client.crt"), certificate, 0o644);
        removeFile(both);
      },
      alone: (work) => asOnlyWriterOf(dir, "renewing.lock", clock.nowMs(), work),
    },
  };
}

function textSource(given: ClientPems, onRenewed: IdentitySourceOptions["onRenewed"]): IdentitySource {
  let pems = given;
  let identity = clientIdentity(pems);
  const read = (): ClientIdentity => identity;
  if (onRenewed === undefined) return { entries: [], read };
  return {
    entries: [],
    read,
    keeper: {
      problem: () => undefined,
      async keep({ keyPem, certificateDer }) {
        const next = { ...pems, keyPem, certificatePem: certificatePem(certificateDer) };
        const parsed = clientIdentity(next);
        await onRenewed(next);
        pems = next;
        identity = parsed;
      },
      alone: (work) => work(),
    },
  };
}
