/** What happens under the wrong Node: bin/smpsim.mjs and scripts/need-node.mjs. */

import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { complaint } from "../../bin/node-version.mjs";
import { type CommandResult, runCommand } from "../support/command.ts";
import { emptyFolder, projectFolder, writeText } from "../support/folder.ts";

/** Makes this Node look like one before 24. */
const OLD = ["--import", "data:text/javascript,delete Atomics.pause"];
const SHOW =
  "console.log(JSON.stringify([typeof Atomics.pause, ...process.argv.slice(2)])); process.exit(7);";

function folderWithLauncher(): string {
  const folder = emptyFolder();
  cpSync(join(projectFolder, "bin"), join(folder, "bin"), { recursive: true });
  writeText(folder, "package.json", '{ "type": "module" }');
  return folder;
}

function linkNode(folder: string): void {
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
  symlinkSync(process.execPath, join(folder, "node_modules/.bin/node"));
}

function launch(folder: string, flags: readonly string[]): Promise<CommandResult> {
  return runCommand(process.execPath, [...flags, join(folder, "bin/smpsim.mjs"), "bench", "--cpus", "2"]);
}

test("the running Node is told from one that is too old", () => {
  expect(complaint()).toBeNull();
  expect(complaint("24.0.0", true)).toBeNull();
  expect(complaint("22.23.3", false)).toMatch(/^needs Node 24 or newer; .* is v22\.23\.3$/);
  expect(complaint("26.0.0", false)).toMatch("Atomics.pause");
});

describe("smpsim", () => {
  test("runs the source in a clone", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "src/cli/main.ts", SHOW);
    const { code, stdout } = await launch(folder, []);
    expect([code, JSON.parse(stdout)]).toEqual([7, ["function", "bench", "--cpus", "2"]]);
  });

  test("runs the compiled files in the package", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "dist/src/cli/main.js", SHOW);
    const { code, stdout } = await launch(folder, []);
    expect([code, JSON.parse(stdout)]).toEqual([7, ["function", "bench", "--cpus", "2"]]);
  });

  test("started by an old Node in a clone, goes on with the clone's own", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "src/cli/main.ts", SHOW);
    linkNode(folder);
    const { code, stdout } = await launch(folder, OLD);
    expect([code, JSON.parse(stdout)]).toEqual([7, ["function", "bench", "--cpus", "2"]]);
  });

  test("started by an old Node in a clone without its own, says how to get it", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "src/cli/main.ts", SHOW);
    const { code, stdout, stderr } = await launch(folder, OLD);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("smpsim: needs Atomics.pause");
    expect(stderr).toContain("Run `npm ci` in the clone");
  });

  test("started by an old Node in the package, says what to install", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "dist/src/cli/main.js", SHOW);
    const { code, stdout, stderr } = await launch(folder, OLD);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("Install a newer one from https://nodejs.org");
  });

  test("ends as its child ends when that is killed", async () => {
    const folder = folderWithLauncher();
    writeText(folder, "src/cli/main.ts", 'process.kill(process.pid, "SIGKILL");');
    linkNode(folder);
    expect((await launch(folder, OLD)).code).toBe(137);
  });
});

test("npm scripts stop under an old Node", async () => {
  const script = join(projectFolder, "scripts/need-node.mjs");
  expect(await runCommand(process.execPath, [script])).toEqual({ code: 0, stdout: "", stderr: "" });
  const { code, stderr } = await runCommand(process.execPath, [...OLD, script]);
  expect(code).toBe(1);
  expect(stderr).toContain("`npm ci` (without --omit=optional) brings Node 26");
});
