/**
 * Successive values of one thing that share what has not changed: whoever keeps something by identity (an encoding, an
 * index) keeps it for as long as the value is the same, and comparing two values costs only what differs.
 */

/**
 * `now`, with every part that equals its counterpart in `before` replaced by that counterpart; `before` itself when all of
 * it is equal. For values made of plain records, arrays, bytes and scalars, which nobody changes afterwards.
 */
export function shareEqual<T>(before: unknown, now: T): T {
  return shared(before, now) as T;
}

function shared(before: unknown, now: unknown): unknown {
  if (Object.is(before, now)) return before;
  if (typeof before !== "object" || typeof now !== "object" || before === null || now === null) return now;
  if (Object.getPrototypeOf(before) !== Object.getPrototypeOf(now)) return now;
  if (now instanceof Uint8Array) return Buffer.compare(before as Uint8Array, now) === 0 ? before : now;
  if (Array.isArray(now)) return sharedArray(before as readonly unknown[], now);
  return sharedRecord(before as Plain, now as Plain);
}

type Plain = Readonly<Record<string, unknown>>;

function sharedArray(before: readonly unknown[], now: readonly unknown[]): readonly unknown[] {
  let same = before.length === now.length;
  const parts: unknown[] = [];
  for (let at = 0; at < now.length; at += 1) {
    const part = shared(before[at], now[at]);
    if (part !== before[at]) same = false;
    parts.push(part);
  }
  return same ? before : parts;
}

function sharedRecord(before: Plain, now: Plain): Plain {
  const names = Object.keys(now);
  let same = names.length === Object.keys(before).length;
  const parts: Record<string, unknown> = Object.create(Object.getPrototypeOf(now));
  for (const name of names) {
    const part = shared(before[name], now[name]);
    if (part !== before[name] || !Object.hasOwn(before, name)) same = false;
    parts[name] = part;
  }
  return same ? before : parts;
}

/** `make`, which is asked again only when one of its inputs is another object than last time. */
export function keepLast<Inputs extends readonly unknown[], T>(
  make: (...inputs: Inputs) => T,
): (...inputs: Inputs) => T {
  let last: { readonly inputs: Inputs; readonly made: T } | undefined;
  return (...inputs) => {
    if (last === undefined || inputs.some((input, at) => !Object.is(input, last?.inputs[at]))) {
      last = { inputs, made: make(...inputs) };
    }
    return last.made;
  };
}
