/**
 * Encoding what thousands of snapshots have in common once: a message as pieces that are kept by the objects they were made
 * from. Whoever hands in the same object again gets the same piece, without a byte of work.
 *
 * E1. The pieces one after the other are the message in Protobuf: its fields in some order, which readers do not mind.
 * E2. Nothing that was handed in may be changed afterwards.
 */

import { create, type DescField, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A part of an encoded message. */
export interface Section {
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
}

type Plain = Readonly<Record<string, unknown>>;

/** Elements and submessages with their tag and length, by the object they were made from, and by field. */
const kept = new WeakMap<object, Map<DescField, readonly Uint8Array[]>>();

/** The encoding of a message of `schema` with these fields; absent ones are absent. */
export function encodeFields<Schema extends DescMessage>(schema: Schema, fields: MessageInitShape<Schema>): Section {
  return sectionOf(encodePlain(schema, fields as Plain));
}

/** All the bytes of some sections, one after the other. */
export function joinSections(sections: readonly Section[]): Uint8Array<ArrayBuffer> {
  return joined(sections.flatMap(({ pieces }) => pieces));
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function sectionOf(pieces: readonly Uint8Array[]): Section {
  return { pieces, sizeBytes: sizeOf(pieces) };
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function encodePlain(schema: DescMessage, fields: Plain): readonly Uint8Array[] {
  const shared = schema.fields.filter((field) => field.oneof === undefined && holdsMessages(field));
  const names = new Set(shared.map((field) => field.localName));
  // Fields alone: what says that it is a message already would be taken for a whole one.
  const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name) && !name.startsWith("$")));
  const own = toBinary(schema, create(schema, rest));
  const pieces: Uint8Array[] = own.length === 0 ? [] : [own];
  for (const field of shared) {
    const value = fields[field.localName];
    if (value === undefined) continue;
    const elements = Array.isArray(value) ? (value as readonly object[]) : [value as object];
    for (const element of elements) for (const piece of keptPieces(field, element)) pieces.push(piece);
  }
  return pieces;
}

function holdsMessages(field: DescField): boolean {
  return field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message");
}

function keptPieces(field: DescField, element: object): readonly Uint8Array[] {
  const known = kept.get(element)?.get(field);
  if (known !== undefined) return known;
  const { message } = field;
  const inner: readonly Uint8Array[] = message === undefined ? [] : encodePlain(message, element as Plain);
  const head = new BinaryWriter().tag(field.number, WireType.LengthDelimited).uint32(sizeOf(inner)).finish();
  // Small ones in one piece: most are an element among thousands.
  const pieces: readonly Uint8Array[] =
    inner.length > 1 && sizeOf(inner) > smallBytes ? [head, ...inner] : [joined([head, ...inner])];
  const byField = kept.get(element) ?? new Map<DescField, readonly Uint8Array[]>();
  byField.set(field, pieces);
  kept.set(element, byField);
  return pieces;
}

const smallBytes = 4_096;
