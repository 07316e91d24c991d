/** Rules that signed messages of the fabric share, beside those of `certs/signed.ts`. */

/** The bytes under a signature: a domain string ending in NUL, then the message as it is. */
export function underDomain(domain: `weft/${string}/v1\0`, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(domain, "utf8"), bytes]);
}

/** A date field as a number of milliseconds, or undefined when it is no date (not positive, or beyond the year 9999). */
export function dateMs(field: bigint): number | undefined {
  return field > 0n && field < 253_402_300_800_000n ? Number(field) : undefined;
}

const ID = /^[a-z0-9-]{1,63}$/;

/** Whether `text` has the form of an id, as SPIFFE paths carry it. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** A minimal big-endian serial in hex: leading zero bytes dropped, so that two spellings of one serial are equal. */
export function serialHexOf(serial: Uint8Array): string {
  return normalSerialHex(Buffer.from(serial).toString("hex"));
}

/** A serial in lower-case hex without leading zero bytes. */
export function normalSerialHex(hex: string): string {
  return hex.toLowerCase().replace(/^(?:00)+(?=..)/, "");
}
