/** `npm start` and `npm test` install what is missing, and only that: scripts/ensure-install.mjs. */

import { cpSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type CommandResult, runCommand } from "../support/command.ts";
import { emptyFolder, projectFolder, writeText } from "../support/folder.ts";

interface Lock {
  packages: Record<string, { version?: string; optional?: boolean }>;
}

const LOCK: Lock = {
  packages: {
    "": {},
    "node_modules/needed": { version: "1.0.0" },
    "node_modules/other-platform": { version: "2.0.0", optional: true },
  },
};

/** A clone whose npm only notes that it ran. */
function cloneWith(installed: Lock | null): string {
  const clone = emptyFolder();
  cpSync(join(projectFolder, "scripts/ensure-install.mjs"), join(clone, "scripts/ensure-install.mjs"));
  writeText(clone, "package-lock.json", JSON.stringify(LOCK));
  if (installed) writeText(clone, "node_modules/.package-lock.json", JSON.stringify(installed));
  writeText(
    clone,
    "npm.cjs",
    `require("fs").writeFileSync("npm-ran", process.argv[2]); process.exit(Number(process.env.NPM_ENDS ?? 0));`,
  );
  return clone;
}

function ensureInstall(clone: string, env: Record<string, string> = {}): Promise<CommandResult> {
  const npm = { npm_execpath: join(clone, "npm.cjs"), ...env };
  return runCommand(process.execPath, ["scripts/ensure-install.mjs"], { cwd: clone, env: npm });
}

const npmRan = (clone: string) => existsSync(join(clone, "npm-ran"));

test("a matching installation is left alone, other platforms' packages may be absent", async () => {
  const clone = cloneWith({ packages: { "node_modules/needed": { version: "1.0.0" } } });
  expect(await ensureInstall(clone)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(npmRan(clone)).toBe(false);
});

test.each<[string, Lock | null, string]>([
  ["nothing installed", null, "the dependencies are not installed"],
  ["a package missing", { packages: {} }, "node_modules/needed is missing"],
  [
    "another version",
    { packages: { "node_modules/needed": { version: "0.9.0" } } },
    "node_modules/needed is 0.9.0, package-lock.json says 1.0.0",
  ],
])("npm ci runs with %s, and says nothing on stdout", async (_name, installed, message) => {
  const clone = cloneWith(installed);
  const { code, stdout, stderr } = await ensureInstall(clone);
  expect(stderr).toContain(`smpsim: ${message}; running npm ci`);
  expect([code, stdout, npmRan(clone)]).toEqual([0, "", true]);
});

test("a failing npm ci fails", async () => {
  const { code, stderr } = await ensureInstall(cloneWith(null), { NPM_ENDS: "3" });
  expect(code).toBe(1);
  expect(stderr).toContain("npm ci ended with exit code 3");
});

test("a linked node_modules is never replaced", async () => {
  const clone = cloneWith(null);
  mkdirSync(join(clone, "elsewhere"));
  symlinkSync("elsewhere", join(clone, "node_modules"));
  const { code, stderr } = await ensureInstall(clone);
  expect([code, npmRan(clone)]).toEqual([1, false]);
  expect(stderr).toContain("node_modules is a link");
});
