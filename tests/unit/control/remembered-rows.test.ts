import { expect, it } from "vitest";
import { type Folded, RememberedRows, type RowSource } from "../../../control/store/remembered-rows.ts";
import type { Queryable } from "../../../control/store/sql.ts";
import type { TrustSeal } from "../../../control/store/trust.ts";

interface Row {
  readonly bucket: number;
  readonly id: string;
  readonly forged: boolean;
}

const source: RowSource<Row> = {
  table: "grant",
  clusterColumn: "cluster_id",
  ownerColumn: "id",
  orderColumns: [],
  columns: { bucket: "bucket", id: "id", forged: "forged" },
  ownerOf: ({ id }) => id,
  judge: (_, { forged }) => {
    if (forged) throw new Error("forged");
  },
};

/** A table of which rows are read by bucket. */
class Table implements Queryable {
  rows: readonly Row[] = [];

  folded(): Folded {
    const buckets = Map.groupBy(this.rows, ({ bucket }) => bucket);
    const digests = [...buckets].map(([bucket, rows]) => {
      return { table: source.table, bucket, count: rows.length, digest: JSON.stringify(rows) };
    });
    return new Map([[source.table, digests]]);
  }

  async query<R extends object>(_: string, params: readonly unknown[] = []): Promise<R[]> {
    const asked = params[1] as readonly number[];
    return this.rows.filter(({ bucket }) => asked.includes(bucket)) as unknown as R[];
  }
}

it("LAW-C1 what went while another row was refused stays gone once that row is right again", async () => {
  const table = new Table();
  const remembered = new RememberedRows(source, "c");
  const read = async () => [...(await remembered.refresh(table, {} as TrustSeal, table.folded())).keys()];
  const gone = { bucket: 0, id: "gone", forged: false };
  const kept = { bucket: 1, id: "kept", forged: false };
  const edited = { bucket: 2, id: "edited", forged: false };
  table.rows = [gone, kept, edited];
  expect(await read()).toEqual(["gone", "kept", "edited"]);
  table.rows = [kept, { ...edited, forged: true }];
  for (let time = 0; time < 2; time += 1) await expect(read()).rejects.toThrow("forged");
  table.rows = [kept, edited];
  expect(await read()).toEqual(["kept", "edited"]);
});
