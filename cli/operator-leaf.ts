/**
 * The operator's own certificate: short-lived, so every command looks at it first and renews it when less than half its
 * life is left. The key stays; only the certificate file is replaced, in one step, so a crash leaves a pair that fits.
 */

import { join } from "node:path";
import { makeCsr } from "../certs/csr.ts";
import { keyPairFromPem } from "../certs/keys.ts";
import { certificatePem, leafOfKind } from "../certs/material.ts";
import { IdentityService } from "../gen/weft/admin/v1/identity_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { replaceFile } from "../lib/files.ts";
import { rpcClient } from "../rpc/client.ts";
import { controlPortTls, loadOperatorContext, type OperatorContext } from "../rpc/operator-context.ts";
import { operatorTransport } from "../rpc/operator-transport.ts";
import { asOnlyWriter } from "./context-lock.ts";
import { when } from "./output.ts";

/** Whether less than half of the leaf's life is left. */
export function isRenewalDue(leaf: { readonly notBeforeMs: number; readonly notAfterMs: number }, nowMs: number) {
  return nowMs > (leaf.notBeforeMs + leaf.notAfterMs) / 2;
}

async function renew(context: OperatorContext): Promise<OperatorContext> {
  const transport = operatorTransport({
    address: context.operatorAddress,
    tls: controlPortTls(context, () => systemClock.nowMs()),
  });
  try {
    const csr = makeCsr(keyPairFromPem(context.leaf.keyPem));
    const { certificateDer } = await rpcClient(IdentityService, transport).renewOperator({ csr }, { timeoutMs: 5_000 });
    const leaf = leafOfKind("operator", context.leaf.keyPem, certificateDer);
    replaceFile(join(context.dir, "operator.crt"), certificatePem(certificateDer), 0o644);
    return { ...context, leaf };
  } finally {
    transport.close();
  }
}

/**
 * The context with a leaf that still lives, renewed when due or when its root is about to go (`isTainted`). A renewal that
 * fails is said and tried again by the next command: the old leaf is good until it ends.
 * @throws WeftError unauthenticated (OPERATOR_EXPIRED) once the leaf has ended.
 */
export async function withLivingLeaf(context: OperatorContext, isTainted = false): Promise<OperatorContext> {
  const nowMs = systemClock.nowMs();
  if (nowMs >= context.leaf.notAfterMs) {
    throw new WeftError(
      "unauthenticated",
      `the operator certificate in ${context.dir} ended at ${when(context.leaf.notAfterMs)}; another operator makes a new one with: weft identity add operator NAME --out DIR`,
      { detail: "OPERATOR_EXPIRED" },
    );
  }
  if (!isTainted && !isRenewalDue(context.leaf, nowMs)) return context;
  try {
    const renewed = await asOnlyWriter(context.dir, async () => {
      // Another command may have renewed between our look and our turn.
      const stored = loadOperatorContext(context.dir);
      const isSame = stored.leaf.serialHex === context.leaf.serialHex;
      return isRenewalDue(stored.leaf, nowMs) || (isTainted && isSame) ? await renew(stored) : stored;
    });
    return renewed ?? context;
  } catch (thrown) {
    process.stderr.write(`weft: the operator certificate could not be renewed yet: ${messageOf(thrown)}\n`);
    return context;
  }
}
