/** `node cli/up/make-store.ts DIRECTORY`: an embedded store with its schema and nothing in it (store-template.ts). A process of its own: it takes seconds and much memory. */

import { makeEmptyStore } from "../../control/init.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("which directory?");
await makeEmptyStore(directory);
