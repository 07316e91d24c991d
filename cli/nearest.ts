/** Suggestions for typing errors: what there is that is written nearly so. */

/** Typing errors have few letters. */
const nearMaxDistance = 3;

/** Edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next[j] = Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + cost);
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Every name that is as near as the nearest one, in order; none when that is far. */
function nearest(names: readonly string[], wanted: string): string[] {
  const far = new Map(names.map((name) => [name, distance(name, wanted)]));
  const least = Math.min(nearMaxDistance, ...far.values());
  return [...far].flatMap(([name, letters]) => (letters === least ? [name] : [])).sort();
}

/** `; did you mean "a" or "b"?`, to be put behind a message; empty when nothing there is near. */
export function suggestion(names: readonly string[], wanted: string): string {
  const near = nearest(names, wanted);
  return near.length === 0 ? "" : `; did you mean ${near.map((name) => `"${name}"`).join(" or ")}?`;
}
