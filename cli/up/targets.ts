/** The demo targets as one process: a small HTTP server with a download of any length and pace, and a TCP echo, on loopback. */

import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { whenParentGoes } from "../../lib/parent.ts";
import { download } from "./download.ts";

const [webPort = "0", echoPort = "0"] = process.argv.slice(2);

const web = createHttpServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://web");
  if (url.pathname === "/download") return void download(url.searchParams, response);
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`hello through weft\nyou asked for ${request.method} ${request.url}\n`);
});
const echo = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});

web.listen(Number(webPort), "127.0.0.1", () =>
  echo.listen(Number(echoPort), "127.0.0.1", () => {
    process.stdout.write(`${JSON.stringify({ ready: true, web: Number(webPort), echo: Number(echoPort) })}\n`);
  }),
);
if (process.env.WEFT_PARENT === "stdin") whenParentGoes(process.stdin, () => process.exit(0));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => process.exit(0));
}
