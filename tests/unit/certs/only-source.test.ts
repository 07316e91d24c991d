/** TLS options and judgements come from certs/ only; some calls of Node decide nothing anywhere. */

import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const rooms = "{certs,cli,client,control,edge,fabric,lib,node,relay,rpc}";
const files = globSync(`${rooms}/**/*.ts`, { cwd: root }).map((path) => ({
  path: path.replaceAll("\\", "/"),
  code: readFileSync(`${root}${path}`, "utf8").replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, ""),
}));

const rules: { what: string; pattern: RegExp; allowed?: RegExp }[] = [
  { what: "rotate a server's certificate", pattern: /\bsetSecureContext\s*\(/, allowed: /^certs\/tls-options\.ts$/ },
  {
    what: "make options of its own",
    pattern: /\b(ALPNProtocols|ecdhCurve|sigalgs|SSL_OP_\w+)\b/,
    allowed: /^certs\/tls-options\.ts$/,
  },
  { what: "turn verification off", pattern: /rejectUnauthorized:\s*false/ },
  { what: "offer a TLS session", pattern: /\b(getSession|getTLSTicket|setTicketKeys|ticketKeys)\b/ },
  {
    what: "trust names or fingerprints of certificates",
    pattern: /\b(checkIssued|issuerCertificate|fingerprint256|fingerprint512)\b|\.(checkHost|checkEmail|checkIP)\s*\(/,
  },
  { what: "read an identity with a URL parser", pattern: /new URL\([^)]*spiffe/i },
];

describe("one source of TLS options, one judge", () => {
  it("looks at the product's files", () => expect(files.length).toBeGreaterThan(30));

  it.each(rules)("no other file may $what", ({ pattern, allowed }) => {
    const found = files.filter(({ path, code }) => pattern.test(code) && allowed?.test(path) !== true);
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  it("the rules find what they forbid", () => {
    const { code } = files.find(({ path }) => path === "certs/tls-options.ts") ?? { code: "" };
    for (const { pattern, allowed } of rules) if (allowed !== undefined) expect(code).toMatch(pattern);
  });
});
