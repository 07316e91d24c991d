/** Whether a port speaks HTTP/2 with whoever the credentials are. */

import { dialTcp, startTls } from "../../edge/dial.ts";
import { sleep, systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { openClientSession, rpcHttp2 } from "../../rpc/http2-profile.ts";
import { type Endpoint, tlsOf } from "./target.ts";

/** Asks: TLS, HTTP/2, and the server's settings. Never rejects for what the port does. */
export async function speaksHttp2(endpoint: Endpoint): Promise<boolean> {
  const dial = { clock: systemClock, deadlineMs: limits.rpcConnectDeadlineMs };
  const tls = tlsOf(endpoint);
  try {
    const raw = await dialTcp([endpoint], dial);
    const session = openClientSession(await startTls(raw, tls, dial), rpcHttp2);
    const heard = await Promise.race([
      new Promise<boolean>((resolve) => {
        session.once("remoteSettings", () => resolve(true));
        session.once("close", () => resolve(false));
      }),
      sleep(systemClock, limits.rpcConnectDeadlineMs).then(() => false),
    ]);
    session.destroy();
    return heard;
  } catch {
    return false;
  }
}
