// Makes the publishable package: dist/smpsim-<version>.tgz, staged in dist/package.
//
// It holds compiled JavaScript with types, because Node strips no types under node_modules, and leaves out what only a
// clone needs: the sources, the scripts, and the Node binaries of optionalDependencies (each user would load 200 MB).

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "dist");
const stage = join(out, "package");

rmSync(out, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
run("tsc", ["-p", "tsconfig.build.json", "--outDir", join(stage, "dist")], root);
for (const name of ["bin", "LICENSE", "README.md"])
  cpSync(join(root, name), join(stage, name), { recursive: true });
writeFileSync(join(stage, "package.json"), `${JSON.stringify(published(), null, 2)}\n`);
run("npm", ["pack", "--silent", "--pack-destination", out], stage);

/** The manifest without what a user of the package does not need, its doors led to dist. */
function published() {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const key of ["scripts", "devDependencies", "optionalDependencies"]) delete manifest[key];
  const doors = Object.entries(manifest.exports).map(([name, path]) => [name, compiled(path)]);
  return { ...manifest, exports: Object.fromEntries(doors), files: ["bin", "dist"] };
}

function compiled(path) {
  if (!path.endsWith(".ts")) return path;
  const base = `./dist/${path.slice("./".length, -".ts".length)}`;
  return { types: `${base}.d.ts`, default: `${base}.js` };
}

function run(command, args, cwd) {
  const result = spawnSync(command, args, { cwd, stdio: "inherit", shell: process.platform === "win32" });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}
