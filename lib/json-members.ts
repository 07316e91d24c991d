/**
 * Small JSON files checked by hand: those that every command reads, and that would otherwise make it wait for a library of schemas
 * to load. Whoever reads one says what it holds by asking for it; what nobody asks for is left out.
 */

/** The members of a JSON object, asked for by name and kind; each throws when there is something else. */
export class JsonMembers {
  readonly #members: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError("not an object");
    this.#members = value as Readonly<Record<string, unknown>>;
  }

  has(name: string): boolean {
    return this.#members[name] !== undefined;
  }

  text(name: string): string {
    const value = this.#members[name];
    if (typeof value !== "string") throw new TypeError(`${name} is no text`);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.#members[name];
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isFinite(value)) throw new TypeError(`${name} is no number`);
    return value;
  }

  list<Item>(name: string, read: (item: unknown) => Item): Item[] | undefined {
    const value = this.#members[name];
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw new TypeError(`${name} is no list`);
    return value.map(read);
  }

  /** A member that is an object, its own members read one by one. */
  entries<Item>(name: string, read: (item: unknown) => Item): Readonly<Record<string, Item>> {
    const value = this.#members[name];
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new TypeError(`${name} is no object`);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, read(item)]));
  }

  /** As `list`, with one item at least. */
  some<Item>(name: string, read: (item: unknown) => Item): Item[] {
    const items = this.list(name, read) ?? [];
    if (items.length === 0) throw new TypeError(`${name} is empty`);
    return items;
  }
}

/** A text, as it is. Throws when it is none. */
export function plainText(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("not text");
  return value;
}

/** Standard base64, as it is. Throws when it is none. */
export function base64Text(value: unknown): string {
  const isBase64 = typeof value === "string" && value.length % 4 === 0 && /^[0-9A-Za-z+/]+={0,2}$/.test(value);
  if (!isBase64) throw new TypeError("not base64");
  return value;
}
