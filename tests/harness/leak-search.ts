/**
 * Looking for secrets where none may be: by what secrets of any installation look like, and by the very bytes of those a test
 * knows, in every spelling they could have been written down in.
 */

/** Something to look for. */
export interface Secret {
  readonly name: string;
  readonly bytes: Buffer;
  /** What the bytes around a hit must be, where the bytes alone say too little. */
  readonly looksLike?: RegExp;
}

/** A secret that was found, and where. */
export interface Leak {
  readonly secret: string;
  readonly where: string;
}

const hex = (text: string): Buffer => Buffer.from(text, "hex");

// What every PKCS #8 of these kinds begins with (RFC 5208, RFC 8410): the key itself follows.
const p256Head = hex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420");
const ed25519Head = hex("302e020100300506032b657004220420");

/** Spellings of bytes: as they are, in hex, in base64 of either alphabet, as far as the last three agree from any start. */
function spellings(name: string, raw: Buffer): Secret[] {
  // The last character of a head in base64 depends on what comes behind it.
  const whole = Math.floor(raw.length / 3) * 3;
  const base64 = raw.subarray(0, whole);
  const forms: readonly (readonly [string, Buffer])[] = [
    ["raw", raw],
    ["hex", Buffer.from(raw.toString("hex"))],
    ["upper-case hex", Buffer.from(raw.toString("hex").toUpperCase())],
    ["base64", Buffer.from(base64.toString("base64"))],
    ["base64url", Buffer.from(base64.toString("base64url"))],
  ];
  const seen = new Set<string>();
  return forms.flatMap(([form, bytes]) => {
    const key = bytes.toString("latin1");
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ name: `${name}, ${form}`, bytes }];
  });
}

/** What no log, store, argument, environment, backup or report may hold, whoever's it is. */
export const anySecret: readonly Secret[] = [
  ...spellings("a private key (P-256)", p256Head),
  ...spellings("a private key (Ed25519)", ed25519Head),
  {
    name: "a private key (PEM)",
    bytes: Buffer.from("PRIVATE KEY-----"),
    looksLike: /-----BEGIN (EC |RSA |ENCRYPTED )?PRIVATE KEY-----(\\r|\\n|\s)+[A-Za-z0-9+/]{24}/,
  },
  {
    name: "a join token",
    bytes: Buffer.from("weft1."),
    looksLike: /weft1\.[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}\.[A-Za-z0-9_-]{43}/,
  },
  {
    name: "a sealing key",
    bytes: Buffer.from("weft-sealing-key-v1:"),
    looksLike: /weft-sealing-key-v1:[A-Za-z0-9_-]{43}/,
  },
];

const aroundBytes = 256;
/** Shorter texts are words. */
const secretMinBytes = 16;

/** A text that is a secret, and what it says when it is base64url of bytes: those in every spelling too. */
export function textSecret(name: string, text: string): readonly Secret[] {
  if (text.length < secretMinBytes) return [];
  const itself: Secret = { name, bytes: Buffer.from(text) };
  if (!/^[A-Za-z0-9_-]{32,}$/.test(text)) return [itself];
  return [
    itself,
    ...spellings(name, Buffer.from(text, "base64url")).filter(({ bytes }) => bytes.length >= secretMinBytes),
  ];
}

/** The parts of a secret file that are secret by themselves. */
export function secretsInFile(name: string, content: string): readonly Secret[] {
  const text = content.trim();
  const token = /^weft1\.[^.]+\.[^.]+\.([A-Za-z0-9_-]{43})\./.exec(text);
  if (token !== null) return textSecret(`the secret of ${name}`, token[1] ?? "");
  const sealing = /^weft-sealing-key-v1:([A-Za-z0-9_-]{43})$/.exec(text);
  if (sealing !== null) return textSecret(`the sealing key of ${name}`, sealing[1] ?? "");
  const password = /^[a-z]+:\/\/[^:@/]+:([^@/]+)@/.exec(text);
  if (password !== null) return textSecret(`the password in ${name}`, password[1] ?? "");
  return /\s/.test(text) ? [] : textSecret(name, text);
}

/** Which of the secrets are in there, each once. */
export function leaksIn(where: string, bytes: Buffer, secrets: readonly Secret[]): readonly Leak[] {
  return secrets.flatMap(({ name, bytes: wanted, looksLike }) =>
    isIn(bytes, wanted, looksLike) ? [{ secret: name, where }] : [],
  );
}

function isIn(bytes: Buffer, wanted: Buffer, looksLike: RegExp | undefined): boolean {
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
    if (looksLike === undefined) return true;
    const around = bytes.subarray(Math.max(0, at - aroundBytes), at + aroundBytes);
    if (looksLike.test(around.toString("latin1"))) return true;
  }
  return false;
}
