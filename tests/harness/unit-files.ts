/** Unit files of systemd, as far as ours go: sections, keys that may come again, the specifier %d, command lines without quotes. */

import { readFileSync } from "node:fs";

export interface UnitFile {
  /** Every value of a key, in order. */
  all(section: string, key: string): readonly string[];
  /** The only value of a key. */
  one(section: string, key: string): string;
}

/** Reads a unit file. Throws at a line it does not understand: better than to leave something out of a test. */
export function readUnit(file: string): UnitFile {
  const values = new Map<string, string[]>();
  let section = "";
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const head = /^\[(\w+)\]$/.exec(line)?.[1];
    const [, key, value] = /^(\w+)=(.*[^\\])?$/.exec(line) ?? [];
    if (head !== undefined) section = head;
    else if (key === undefined || section === "") throw new Error(`${file}: "${line}" is not understood`);
    else values.set(`${section}.${key}`, [...(values.get(`${section}.${key}`) ?? []), value ?? ""]);
  }
  const all = (name: string, key: string): readonly string[] => values.get(`${name}.${key}`) ?? [];
  return {
    all,
    one(name, key) {
      const [value, ...more] = all(name, key);
      if (value === undefined || more.length > 0)
        throw new Error(`${file}: ${name}.${key} is there ${all(name, key).length} times`);
      return value;
    },
  };
}

/** The words of a unit's command line; `%d` is the folder of its credentials. */
export function execWords(unit: UnitFile, credentials: string): readonly string[] {
  const line = unit.one("Service", "ExecStart");
  if (/["'\\$]|%[^d]/.test(line)) throw new Error(`a command line with quotes, variables or other specifiers: ${line}`);
  return line.split(/\s+/).map((word) => word.replaceAll("%d", credentials));
}
