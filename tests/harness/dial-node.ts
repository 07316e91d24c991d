/** A process that dials one node link, as standard input says, and prints how it ended. */

import { text } from "node:stream/consumers";
import { leafOfKind, rootsOfKind } from "../../certs/material.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { systemClock } from "../../lib/clock.ts";
import { attempt } from "./tls-attempt.ts";

const { keyPem, certificate, root, port } = JSON.parse(await text(process.stdin)) as Record<string, string> & {
  port: number;
};
const der = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64");
const options = tlsOptions("dial-node-link", {
  identity: leafOfKind("node", keyPem ?? "", der(certificate)),
  expect: {
    kind: "node",
    trustDomain: "weft.test",
    clusterId: "c1",
    roots: rootsOfKind("node", [der(root)]),
    nowMs: () => systemClock.nowMs(),
  },
});
const { outcome, why } = await attempt(port, options);
process.stdout.write(JSON.stringify({ outcome, why }));
