/**
 * What somebody has who read the store and the sealing key: the keys that sign for a cluster, and its roots. For checks that
 * lie to nodes with right signatures; nothing is written with it.
 */

import { readFileSync } from "node:fs";
import { issueLeaf } from "../../certs/ca.ts";
import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { type LeafOf, leafOfKind } from "../../certs/material.ts";
import { openSealingKeyFile } from "../../certs/seal.ts";
import { layoutOf } from "../../cli/up/layout.ts";
import { Authority } from "../../control/domain/authority.ts";
import { memoryHints } from "../../control/hints/memory.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { trustSeal } from "../../control/store/trust.ts";
import type { OnlineSigner } from "../../fabric/snapshot/sign.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import type { FabricWorld } from "./world.ts";

export interface StolenKeys {
  readonly feed: OnlineSigner;
  readonly snapshot: OnlineSigner;
  /** Of a replica of control that nobody started. */
  readonly control: LeafOf<"control">;
}

/** Takes them out of the store of a fabric, as they are now. */
export async function stealKeys({ fabric, identity }: Pick<FabricWorld, "fabric" | "identity">): Promise<StolenKeys> {
  const layout = layoutOf(fabric.root);
  const { clusterId, trustDomain, controlName } = identity("relay-1").identity;
  const [clock, random, log] = [systemClock, systemRandom, silentLog];
  const sql = openPostgres({ url: readFileSync(layout.postgresUrl, "utf8").trim(), log });
  const hints = memoryHints(clock);
  try {
    const seal = trustSeal(openSealingKeyFile(layout.sealingKey));
    const authority = new Authority({ sql, seal, hints, clock, random, log });
    const signer = async (use: "feed" | "snapshot"): Promise<OnlineSigner> => {
      const { keyId, privateKey, signed } = await authority.signingKey(clusterId, use);
      return { keyId, privateKey, statement: signed };
    };
    const keys = generateP256();
    const issued = await issueLeaf(await authority.ca(sql, clusterId, "control"), {
      id: { trustDomain, clusterId, kind: "control", id: "aaaaaaaaaaaaaaaa" },
      spkiDer: keys.spkiDer,
      dnsNames: [controlName],
      nowMs: clock.nowMs(),
      random,
    });
    const control = leafOfKind("control", privateKeyPem(keys.privateKey), issued.certificateDer);
    return { feed: await signer("feed"), snapshot: await signer("snapshot"), control };
  } finally {
    await hints.close();
    await sql.close();
  }
}
