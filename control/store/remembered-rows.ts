/**
 * Rows of large tables, remembered between reads: of ten thousand rows those are read and authenticated again that are not
 * what they were.
 *
 * RR1. Every read looks at every row. The store folds the columns that are read, MAC included, into a few numbers (a hash of
 *      each row, by bucket) under a seed of this process's own; a bucket whose number or count differs is read as rows.
 * RR2. Nothing is remembered that was not judged: a bucket with a row that is refused is forgotten, so the row is found again
 *      by every read until it is right, and so is its mending. A store that lies about its numbers makes this process go on
 *      with rows that were authentic, as it can anyway by answering with old ones.
 * RR3. What has not changed is the same object as before: rows, the rows of an owner, and all of them together.
 */

import { systemRandom } from "../../lib/random.ts";
import { shareEqual } from "../../lib/share-equal.ts";
import type { Queryable } from "./sql.ts";
import type { TrustSeal } from "./trust.ts";

/** What is read of a table. Names of tables and columns are code's own words. */
export interface RowSource<Row extends object> {
  readonly table: string;
  /** The column with the id of the cluster. */
  readonly clusterColumn: string;
  /** The column whose value several rows may share that belong together. */
  readonly ownerColumn: string;
  /** Columns by the name a row has for them. */
  readonly columns: Readonly<Record<keyof Row & string, string>>;
  /** Which rows of the cluster; all of them when absent. */
  readonly where?: string;
  /** In what order the rows of an owner are. */
  readonly orderColumns: readonly string[];
  readonly ownerOf: (row: Row) => string;
  /** Throws `data_loss` unless the row is authentic. */
  readonly judge?: (seal: TrustSeal, row: Row) => void;
}

/** Rows by owner. */
export type OwnedRows<Row> = ReadonlyMap<string, readonly Row[]>;

/** A remembered source as the statement that folds it knows it. */
interface Foldable {
  readonly foldText: string;
}

/** What sources are folded into at one moment, by table. */
export type Folded = ReadonlyMap<string, readonly BucketRow[]>;

interface BucketRow {
  readonly table: string;
  readonly bucket: number;
  readonly count: number;
  readonly digest: string;
}

/** By how many numbers a table is compared: a change reads so small a share of it. */
const bucketCount = 64;

/** The rows of one source and cluster, as read last. */
export class RememberedRows<Row extends object> {
  readonly source: RowSource<Row>;
  readonly #clusterId: string;
  /** Bucket: what its rows were folded into. */
  readonly #digests = new Map<number, string>();
  readonly #buckets = new Map<number, OwnedRows<Row>>();
  #all: OwnedRows<Row> = new Map();

  constructor(source: RowSource<Row>, clusterId: string) {
    this.source = source;
    this.#clusterId = clusterId;
  }

  /** The statement that folds this source, as part of a union. $1 is the cluster, $2 the seed. */
  get foldText(): string {
    const { table } = this.source;
    const row = `row(${Object.values(this.source.columns).join(", ")})`;
    return `select '${table}' as "table", ${this.#bucketText} as bucket, count(*)::int as count,
      bit_xor(hash_record_extended(${row}, $2::bigint))::text as digest
      from ${table} where ${this.#conditions} group by 2`;
  }

  /** The rows by owner, given what they are folded into now. */
  async refresh(q: Queryable, seal: TrustSeal, folded: Folded): Promise<OwnedRows<Row>> {
    const buckets = folded.get(this.source.table) ?? [];
    const now = new Map(buckets.map(({ bucket, count, digest }) => [bucket, `${count} ${digest}`]));
    const gone = [...this.#buckets.keys()].filter((bucket) => !now.has(bucket));
    const changed = [...now].filter(([bucket, digest]) => this.#digests.get(bucket) !== digest);
    if (gone.length === 0 && changed.length === 0) return this.#all;
    const before = this.#buckets;
    // A bucket that went is in neither, if a read failed since.
    const kept = new Map(
      [...before].filter(([bucket]) => now.has(bucket) && now.get(bucket) === this.#digests.get(bucket)),
    );
    // Until they are judged, what is read now is not known (RR2).
    for (const bucket of [...gone, ...changed.map(([each]) => each)]) this.#digests.delete(bucket);
    for (const [bucket, rows] of await this.#read(q, seal, changed)) {
      kept.set(bucket, shareOwned(before.get(bucket), rows));
    }
    before.clear();
    for (const [bucket, rows] of kept) before.set(bucket, rows);
    for (const [bucket, digest] of changed) this.#digests.set(bucket, digest);
    this.#all = new Map([...before.values()].flatMap((rows) => [...rows]));
    return this.#all;
  }

  get #bucketText(): string {
    return `hashtext(${this.source.ownerColumn}) & ${bucketCount - 1}`;
  }

  get #conditions(): string {
    const { clusterColumn, where } = this.source;
    return `${clusterColumn} = $1${where === undefined ? "" : ` and ${where}`}`;
  }

  async #read(
    q: Queryable,
    seal: TrustSeal,
    changed: readonly (readonly [number, string])[],
  ): Promise<ReadonlyMap<number, OwnedRows<Row>>> {
    if (changed.length === 0) return new Map();
    const { table, columns, judge, ownerOf, ownerColumn, orderColumns } = this.source;
    const named = Object.entries<string>(columns).map(([name, column]) => `${column} as "${name}"`);
    const rows = await q.query<Row & { readonly bucket: number }>(
      `select ${this.#bucketText} as bucket, ${named.join(", ")} from ${table}
       where ${this.#conditions} and ${this.#bucketText} = any($2::int[])
       order by ${[ownerColumn, ...orderColumns].join(", ")}`,
      [this.#clusterId, changed.map(([bucket]) => bucket)],
    );
    if (judge !== undefined) for (const row of rows) judge(seal, row);
    const byBucket = Map.groupBy(rows, ({ bucket }) => bucket);
    return new Map([...byBucket].map(([bucket, its]) => [bucket, Map.groupBy(its, ownerOf)]));
  }
}

/** What several sources are folded into. Rows are to be read in the same transaction, or they are of another moment. */
export async function foldAll(q: Queryable, clusterId: string, sources: readonly Foldable[]): Promise<Folded> {
  const text = sources.map((each) => each.foldText).join(" union all ");
  return Map.groupBy(await q.query<BucketRow>(text, [clusterId, seed]), ({ table }) => table);
}

/** Nobody who writes rows can know what they will be folded into. */
const seed = Buffer.from(systemRandom.bytes(8)).readBigInt64LE();

/** The rows of a bucket, in the order of their values, with what has not changed as it was (RR3). */
function shareOwned<Row extends object>(before: OwnedRows<Row> | undefined, now: OwnedRows<Row>): OwnedRows<Row> {
  return new Map([...now].map(([owner, rows]) => [owner, shareEqual(before?.get(owner), rows)]));
}
