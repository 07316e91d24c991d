/** Where a run of the tests leaves its report, from the root; what is run again (scripts/again.mjs) leaves one of its own. */
export const reportPath = `node_modules/.cache/weft/vitest${process.env["WEFT_AGAIN"] === "1" ? "-again" : ""}.json`;
