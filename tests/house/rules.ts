/**
 * The style of the project as rules over text: each names what it forbids, where, and what to do instead.
 */

import { basename } from "node:path";
import { functionsOf } from "./functions.ts";
import type { SourceFile } from "./source.ts";
import { lineAt } from "./source.ts";

export interface Rule {
  readonly name: string;
  /** Which files it looks at. */
  readonly covers: (path: string) => boolean;
  /** One message per violation, without the path. */
  readonly find: (source: SourceFile) => readonly Finding[];
  /** A file that must be found to break it: the proof that the rule can fail. */
  readonly planted: readonly { readonly path: string; readonly text: string }[];
}

export interface Finding {
  readonly line: number;
  readonly message: string;
}

const fileMaxLines = 400;
const functionMaxLines = 70;

const isTest = (path: string): boolean => /^(tests|bench)\//.test(path);
const isProduct = (path: string): boolean => path.includes("/") && !isTest(path);
/** Drives real processes, and speaks to them as no friend would. */
const provokes = (path: string): boolean => path.startsWith("conformance/");
const isProcess = (path: string): boolean =>
  basename(path) === "bin.ts" || /^(cli|examples)\//.test(path) || provokes(path);

/** Files outside certs/ that may make TLS endpoints, always with the options certs/ hands out. */
const tlsEndpoints = new Set([
  "rpc/listener.ts",
  "rpc/dial.ts",
  "rpc/grpc-js-transport.ts",
  "edge/dial.ts",
  "node/listener.ts",
  "control/rpc/listener.ts",
]);

function matches(code: string, pattern: RegExp, message: (found: string) => string): Finding[] {
  return [...code.matchAll(pattern)].map((match) => ({
    line: lineAt(code, match.index),
    message: message(match[0].trim()),
  }));
}

interface Ban {
  readonly name: string;
  readonly pattern: RegExp;
  readonly instead: string;
  readonly covers: (path: string) => boolean;
  /** Lines that must each be found. */
  readonly planted: string | readonly string[];
  readonly at?: string;
}

/** Calls and names with a replacement; `pattern` runs over code without comments and literals. */
const bans: readonly Ban[] = [
  {
    name: "ambient time",
    pattern: /\b(Date\.now|performance\.now|process\.hrtime(\.bigint)?)\b|\bnew Date\(\)/g,
    instead: "take a Clock (lib/clock.ts)",
    covers: (path) => isProduct(path) && !isProcess(path) && path !== "lib/clock.ts",
    planted: "const at = Date.now();",
  },
  {
    name: "ambient timers",
    pattern: /(?<![\w$.])(globalThis\.)?(setTimeout|setInterval|setImmediate)\b/g,
    instead: "take a Clock (lib/clock.ts)",
    covers: (path) => isProduct(path) && !isProcess(path) && path !== "lib/clock.ts",
    planted: "const timer = setTimeout(fn, 10);",
  },
  {
    name: "ambient chance",
    pattern: /\bMath\.random\b/g,
    instead: "take a Random (lib/random.ts)",
    covers: (path) => isProduct(path) && path !== "lib/random.ts",
    planted: "const jitter = Math.random();",
  },
  {
    name: "ambient environment",
    pattern: /\bprocess\.(env|argv)\b/g,
    instead: "read it in bin.ts or cli/ and pass a typed config",
    covers: (path) => isProduct(path) && !isProcess(path),
    planted: "const home = process.env.HOME;",
  },
  {
    name: "hard exit",
    pattern: /\bprocess\.(exit|abort|kill)\b/g,
    instead: "set process.exitCode in bin.ts and let the process drain",
    covers: (path) => isProduct(path) && !isProcess(path) && path !== "node/workloads/process-group.ts",
    planted: "process.exit(1);",
  },
  {
    // REVIEW-11: a HelloRetryRequest lets the second hello carry another name than the one that chose the server.
    name: "a weak judge of peers",
    pattern:
      /\b(checkIssued|issuerCertificate|fingerprint(256|512))\b|\.check(Host|Email|IP)\b|\.servername\b(?!\s*=[^=])/g,
    instead: "ask the judge in certs/: these fields decide nothing",
    covers: isProduct,
    planted: [
      "if (peer.fingerprint256 === known) return true;",
      "if (leaf.checkHost(name)) return true;",
      "pick(socket.servername);",
    ],
  },
  {
    name: "a TLS endpoint of its own",
    pattern:
      /\b(createSecureServer|setSecureContext|createSecureContext|tls\.(connect|createServer)|new TLSSocket|new tls\.TLSSocket)\b/g,
    instead: "use the TLS options and makers of certs/, or add the file to the list in tests/house/rules.ts",
    covers: (path) => isProduct(path) && !path.startsWith("certs/") && !provokes(path) && !tlsEndpoints.has(path),
    planted: "const server = http2.createSecureServer({});",
  },
  {
    name: "unverified TLS",
    pattern: /\brejectUnauthorized\s*:\s*false\b/g,
    instead: "only the first-contact profile of certs/ does not verify",
    covers: (path) => isProduct(path) && !path.startsWith("certs/") && !provokes(path),
    planted: "connect({ rejectUnauthorized: false });",
  },
  {
    name: "console output",
    pattern: /\bconsole\.(log|info|warn|error|debug)\b/g,
    instead: "take a Log (lib/log.ts); only cli/ talks to a terminal",
    covers: (path) => isProduct(path) && !isProcess(path),
    planted: "console.log(peer);",
  },
  {
    name: "a reset whatever is under way",
    pattern: /\.resetAndDestroy\(/g,
    instead: "call resetSocket (lib/reset-socket.ts): a reset beside a FIN leaves the descriptor open",
    covers: (path) => isProduct(path) && path !== "lib/reset-socket.ts",
    planted: "socket.resetAndDestroy();",
  },
  {
    name: "default export",
    pattern: /\bexport\s+default\b/g,
    instead: "export by name",
    covers: (path) => !/^[\w-]+\.config\.ts$/.test(path),
    planted: "export default function start(): void {}",
  },
  {
    name: "silenced or switched-off test",
    pattern: /\b(it|test|describe|suite)(\.\w+)*\.(only|skip|todo|fails)\b/g,
    instead: "make it pass or delete it; a missing outside program is requirePeer and skipIf",
    covers: (path) => path.startsWith("tests/"),
    planted: 'it.skip("later", () => {});',
    at: "tests/unit/planted.test.ts",
  },
];

function banRule(ban: Ban): Rule {
  return {
    name: ban.name,
    covers: ban.covers,
    find: (source) => matches(source.code, ban.pattern, (found) => `${found}: ${ban.instead}`),
    planted: [ban.planted]
      .flat()
      .map((line) => ({ path: ban.at ?? "control/domain/planted.ts", text: `const before = 1;\n${line}\n` })),
  };
}

// Spelled in pieces: these files are looked at too.
const markers = new RegExp(
  `\\b(${["TO", "FIX", "X", "HA"].map((head, at) => head + ["DO", "ME", "XX", "CK"][at]).join("|")})\\b`,
  "g",
);
const silencers = new RegExp(`@ts-(${["ign" + "ore", "noch" + "eck"].join("|")})`, "g");

const shape: readonly Rule[] = [
  {
    name: "file length",
    covers: () => true,
    find({ text }) {
      const lineCount = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
      if (lineCount <= fileMaxLines) return [];
      return [{ line: fileMaxLines, message: `${lineCount} lines, at most ${fileMaxLines}: split it by subject` }];
    },
    planted: [{ path: "lib/planted.ts", text: "//\n".repeat(fileMaxLines + 1) }],
  },
  {
    name: "function length",
    covers: () => true,
    find: (source) =>
      functionsOf(source)
        .filter(({ lineCount, head }) => lineCount > functionMaxLines && !/^describe\w*(\.\w+\(.*\))?[.(]/.test(head))
        .map(({ line, lineCount, head }) => ({
          line,
          message: `${lineCount} lines, at most ${functionMaxLines}: ${head}`,
        })),
    planted: [
      { path: "lib/planted.ts", text: `export function long(): void {\n${"  work();\n".repeat(functionMaxLines)}}\n` },
      {
        path: "lib/planted.ts",
        text: `class A {\n  async long(\n    a: number,\n  ): Promise<void> {\n${"    work();\n".repeat(70)}  }\n}\n`,
      },
      {
        path: "lib/planted.ts",
        text: `const long = (a: number): void => {\n${"  work();\n".repeat(functionMaxLines)}};\n`,
      },
    ],
  },
  {
    name: "left-over marker",
    covers: () => true,
    find: ({ text }) => [
      ...matches(text, markers, (found) => `${found}: do it or write it down as a decision`),
      ...matches(text, silencers, (found) => `${found}: fix the type`),
    ],
    planted: [{ path: "lib/planted.ts", text: `// ${"TO"}${"DO"} later\n` }],
  },
  {
    name: "header comment",
    covers: (path) => isProduct(path),
    find: ({ text }) =>
      /^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(text)
        ? []
        : [{ line: 1, message: "say in a comment what the file is and what must stay true" }],
    planted: [{ path: "lib/planted.ts", text: 'import { a } from "./a.ts";\n' }],
  },
];

export const sourceRules: readonly Rule[] = [...shape, ...bans.map(banRule)];

const drawer = /(^|\/)(utils?|helpers?|common|misc|types|shared|stuff)(\/|\.[cm]?ts$)/;

/** Why a path is no name for a hand-written file, or undefined. */
export function badName(path: string): string | undefined {
  if (drawer.test(path)) return `${path}: a file is named after its subject; this is a drawer`;
  if (/(^|\/)index\.[cm]?tsx?$/.test(path)) return `${path}: no barrels; import the file itself`;
  if (!/^([a-z0-9-]+\/)*[a-z0-9-]+(\.[a-z0-9-]+)*\.ts$/.test(path)) return `${path}: kebab-case`;
  return undefined;
}

const units = /(Bytes|Ms|Count|PerSecond|PerMinute|Share)$/;

/** The keys of a limits table that do not end in a unit. */
export function unitless(limits: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(limits).filter((key) => !units.test(key));
}
