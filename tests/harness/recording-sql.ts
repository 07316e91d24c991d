/** What a store is asked, written down: for tests that count statements or look at them. */

import type { Sql } from "../../control/store/sql.ts";

/** A store that writes down every statement it is asked to run. */
export function recordingSql(inner: Sql): { readonly sql: Sql; readonly statements: string[] } {
  const statements: string[] = [];
  const note = (text: string): void => void statements.push(text.replace(/\s+/g, " "));
  const sql: Sql = {
    driver: inner.driver,
    query(text, params) {
      note(text);
      return inner.query(text, params);
    },
    tx: (fn, options) =>
      inner.tx(
        (tx) =>
          fn({
            query(text, params) {
              note(text);
              return tx.query(text, params);
            },
            afterCommit: (hint) => tx.afterCommit(hint),
          }),
        options,
      ),
    script: (text) => inner.script(text),
    look: () => inner.look(),
    onPrimary: (meet) => inner.onPrimary(meet),
    close: () => inner.close(),
  };
  return { sql, statements };
}
