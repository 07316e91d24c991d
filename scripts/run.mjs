// `npm start` and `npm run weft`: installs the pinned toolchain if needed, then becomes `weft <args>` under it.

import { becomeWeft, ensureInstalled, main } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  // npm sets INIT_CWD to where the user stood; file arguments are relative to that.
  const cwd = process.env.INIT_CWD ?? process.cwd();
  becomeWeft(process.argv.slice(2), { cwd });
});
