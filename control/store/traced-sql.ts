/**
 * The store as parts of traces: what a traced call asks of it is a span, by kind and by how many statements it took. Never what
 * the statements say, and nothing outside of a trace.
 */

import { type Attributes, type Span, type Tracer, traced } from "../../lib/tracer.ts";
import type { Queryable, Sql, SqlParam, Tx } from "./sql.ts";

/** The same store; `sql` itself does the work. */
export function tracedSql(sql: Sql, tracer: Tracer): Sql {
  const span = (name: string, attributes: Attributes = {}): Span | undefined =>
    tracer.inside(name, { kind: "client", attributes: { "db.system.name": "postgresql", ...attributes } });
  return {
    driver: sql.driver,
    query: (text, params) => traced(tracer, span("store.query"), () => sql.query(text, params)),
    script: (text) => traced(tracer, span("store.script"), () => sql.script(text)),
    tx(fn, options) {
      const one = span("store.tx", { "weft.mode": options?.mode ?? "read committed" });
      if (one === undefined) return sql.tx(fn, options);
      // Attempts that are repeated (Q2) count too: they took the time.
      let statements = 0;
      const counting = (tx: Tx): Tx => ({
        afterCommit: (hint) => tx.afterCommit(hint),
        query<Row extends object>(...args: [text: string, params?: readonly SqlParam[]]) {
          statements += 1;
          return (tx as Queryable).query<Row>(...args);
        },
      });
      return traced(tracer, one, () =>
        sql.tx((tx) => fn(counting(tx)), options).finally(() => one.set({ "weft.statements": statements })),
      );
    },
    look: () => sql.look(),
    onPrimary: (meet) => sql.onPrimary(meet),
    close: () => sql.close(),
  };
}
