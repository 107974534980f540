// Installs the dependencies when they are missing or do not match package-lock.json, so that `npm start` and
// `npm test` work on a fresh clone.  Runs before any dependency is there: plain JavaScript, Node 20 is enough.
//
// npm writes what it installed to node_modules/.package-lock.json.  Comparing contents, not dates, leaves a good
// installation alone after a change of branch.  npm puts node_modules/.bin on PATH for its scripts even when the
// folder does not exist yet, so the command that follows already runs on the Node installed here.

import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The warnings would be about the system's Node, which only installs.
const CI = ["ci", "--loglevel=error", "--no-audit", "--no-fund"];

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const reason = reasonToInstall();
if (reason) install(reason);

function reasonToInstall() {
  const installedFile = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return "the dependencies are not installed";
  const wanted = packagesIn(join(root, "package-lock.json"));
  const installed = packagesIn(installedFile);
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    const found = installed[path];
    // Packages for other platforms are optional and rightly absent.
    if (!found && !entry.optional) return `${path} is missing`;
    if (found && found.version !== entry.version) {
      return `${path} is ${found.version}, package-lock.json says ${entry.version}`;
    }
  }
  return null;
}

function packagesIn(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

function install(why) {
  const modules = join(root, "node_modules");
  if (isLink(modules)) {
    fail(`${why}, and node_modules is a link: install where it points to, or remove the link`);
  }
  console.error(`smpsim: ${why}; running npm ci (about 250 MB, once)`);
  // npm tells its scripts where it is and which Node it runs on.  Both serve again: the Node that runs this may lie in
  // the folder that is replaced.
  const { npm_execpath: npm, npm_node_execpath: node = process.execPath } = process.env;
  const result = npm
    ? spawnSync(node, [npm, ...CI], options())
    : spawnSync("npm", CI, { ...options(), shell: process.platform === "win32" });
  if (result.error) fail(`npm ci did not start: ${result.error.message}`);
  if (result.status !== 0) fail(`npm ci ended with ${result.signal ?? `exit code ${result.status}`}`);
}

function isLink(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** Standard output belongs to the command that follows (it may print JSON): what npm says goes to stderr. */
function options() {
  return { cwd: root, stdio: ["ignore", 2, 2] };
}

function fail(message) {
  console.error(`smpsim: ${message}`);
  process.exit(1);
}
