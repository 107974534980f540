// Ends with a clear message when the Node that runs this cannot run smpsim.  Plain JavaScript that any Node parses.
//
// `npm ci` brings the right Node as a platform package, and npm scripts find it first on PATH.  It is missing after
// `npm ci --omit=optional` and on platforms that have no such package; then the system's Node runs.

import { complaint } from "../bin/node-version.mjs";

const problem = complaint();
if (problem) {
  console.error(`smpsim: ${problem}`);
  console.error(
    "  In a clone, `npm ci` (without --omit=optional) brings Node 26 for Linux, macOS and Windows;",
  );
  console.error(
    "  npm scripts and `npx smpsim` then use it.  Elsewhere install Node 26 from https://nodejs.org",
  );
  process.exit(1);
}
