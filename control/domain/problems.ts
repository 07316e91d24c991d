/** Every problem of a request, told at once. */

import { WeftError } from "../../lib/errors.ts";

export class Problems {
  readonly #found: { readonly field: string; readonly text: string }[] = [];

  add(field: string, text: string): void {
    this.#found.push({ field, text });
  }

  /** Throws `invalid_argument` (INVALID_FIELD) that lists every problem with its field. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const message = this.#found.map(({ field, text }) => `${field}: ${text}`).join("; ");
    const field = [...new Set(this.#found.map((each) => each.field))].join(",");
    throw new WeftError("invalid_argument", message, { detail: "INVALID_FIELD", metadata: { field } });
  }
}
