/** Which classes are tried on which target: everything that means anything, or every class once, spread over the processes. */

import type { AttackClass } from "./attack-class.ts";
import type { Front } from "./fabric-targets.ts";
import type { AttackTarget } from "./target.ts";

export interface Sortie {
  readonly target: AttackTarget;
  readonly classes: readonly AttackClass[];
}

/**
 * The classes that mean anything on a target: those of links to a link, HTTP/2 with who else is served it, the rest as
 * strangers.
 */
export function classesFor(target: AttackTarget, classes: readonly AttackClass[]): AttackClass[] {
  const { credentials } = target.endpoint;
  const isLink = credentials.kind === "node" && credentials.port === "link";
  return classes.filter(({ layer }) => {
    if (layer === "link" || isLink) return layer === "link" && isLink;
    return layer === "http2" ? target.speaksHttp2 : credentials.kind === "stranger";
  });
}

/** Every class on every target it means anything on; per process, in order. First bytes do not tell names apart: once a port. */
export function everywhere(fronts: readonly Front[], classes: readonly AttackClass[]): Sortie[][] {
  return fronts.map(({ targets }) => {
    const ports = new Set<string>();
    return targets.map((target) => {
      const port = `${target.endpoint.host}:${target.endpoint.port}`;
      const isFirst = !ports.has(port);
      ports.add(port);
      const meant = classesFor(target, classes);
      return { target, classes: isFirst ? meant : meant.filter(({ layer }) => layer !== "bytes") };
    });
  });
}

/** Every class once, spread evenly over the processes. */
export function onceEach(fronts: readonly Front[], classes: readonly AttackClass[]): Sortie[][] {
  const given = fronts.map(() => new Map<AttackTarget, AttackClass[]>());
  const turns = new Map<AttackClass["layer"], number>();
  for (const attackClass of classes) {
    const turn = turns.get(attackClass.layer) ?? 0;
    turns.set(attackClass.layer, turn + 1);
    // The first of a process's targets that fits: an identified one for HTTP/2, the public port for what strangers do.
    const fitting = fronts.flatMap(({ targets }, at) => {
      const target = targets.find((one) => classesFor(one, [attackClass]).length > 0 && fits(one, attackClass));
      return target === undefined ? [] : [{ at, target }];
    });
    const chosen = fitting[turn % fitting.length];
    if (chosen === undefined) continue;
    const { at, target } = chosen;
    const of = given[at];
    of?.set(target, [...(of.get(target) ?? []), attackClass]);
  }
  return given.map((of) => [...of].map(([target, meant]) => ({ target, classes: meant })));
}

/** A stranger's TLS says most where the server asks for a certificate. */
function fits(target: AttackTarget, { layer }: AttackClass): boolean {
  return layer === "http2" || layer === "link" || !target.speaksHttp2;
}
