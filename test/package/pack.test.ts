/**
 * The published package: made by `npm run pack`, installed into an empty folder, used as a command, as a library and
 * as types.  It runs on the Node of these tests, without any of the clone's packages.
 */

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CommandResult, runCommand } from "../support/command.ts";
import { projectFolder, writeText } from "../support/folder.ts";

let user = "";
const installed = () => join(user, "node_modules/smpsim");

beforeAll(async () => {
  const packed = await runCommand(process.execPath, ["scripts/pack.mjs"], { cwd: projectFolder });
  expect(packed.code, packed.stdout + packed.stderr).toBe(0);
  const tarballs = readdirSync(join(projectFolder, "dist")).filter((name) => name.endsWith(".tgz"));
  expect(tarballs).toHaveLength(1);

  user = mkdtempSync(join(realpathSync(tmpdir()), "smpsim-user-"));
  writeText(user, "package.json", '{ "private": true, "type": "module" }');
  const tarball = join(projectFolder, "dist", tarballs[0]);
  const flags = ["--prefer-offline", "--no-audit", "--no-fund"];
  const npm = await command("npm", "install", ...flags, tarball);
  expect(npm.code, npm.stderr).toBe(0);
});

afterAll(() => rmSync(user, { recursive: true, force: true }));

/** Runs in the user's folder, with this Node first on PATH and nothing of the clone. */
function command(name: string, ...args: string[]): Promise<CommandResult> {
  const clone = join(projectFolder, "node_modules", ".bin");
  const others = (process.env.PATH ?? "").split(delimiter).filter((path) => path !== clone);
  return runCommand(name, args, {
    cwd: user,
    env: { PATH: [dirname(process.execPath), ...others].join(delimiter) },
  });
}

test("holds compiled files and types, and none of what only a clone needs", () => {
  const manifest = JSON.parse(readFileSync(join(installed(), "package.json"), "utf8"));
  expect(Object.keys(manifest)).not.toContain("optionalDependencies");
  expect(Object.keys(manifest)).not.toContain("devDependencies");
  expect(Object.keys(manifest)).not.toContain("scripts");
  const doors = Object.values<string | Record<string, string>>(manifest.exports).flatMap((door) =>
    typeof door === "string" ? [door] : Object.values(door),
  );
  for (const door of doors) expect(existsSync(join(installed(), door)), door).toBe(true);

  const files = readdirSync(installed(), { recursive: true, encoding: "utf8" });
  expect(files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))).toEqual([]);
  expect(files).toContain(join("dist", "workers", "cpu.js"));
  const packages = readdirSync(join(user, "node_modules"));
  expect(packages.filter((name) => /^node-(linux|win|darwin|bin)/.test(name))).toEqual([]);
});

test("is a command with help", async () => {
  const { code, stdout, stderr } = await command("npx", "--no", "--", "smpsim", "--help");
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("Usage: smpsim");
});

test("lists its workloads", async () => {
  const { code, stdout, stderr } = await command("npx", "--no", "--", "smpsim", "workloads");
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("page-repeat");
});

test("measures a workload on real CPU threads, with nothing but JSON on stdout", async () => {
  const bench = [
    "bench",
    "page-repeat",
    "--cpus",
    "1,2",
    "--seconds",
    "0.1",
    "--json",
    "--out",
    "report.html",
  ];
  const { code, stdout, stderr } = await command("npx", "--no", "--", "smpsim", ...bench);
  expect(code, stderr).toBe(0);
  expect(JSON.stringify(JSON.parse(stdout))).toContain("page-repeat");
  expect(readFileSync(join(user, "report.html"), "utf8")).toContain("<svg");
});

test("refuses an unknown option with exit code 2 and a message", async () => {
  const { code, stdout, stderr } = await command("npx", "--no", "--", "smpsim", "--no-such-option");
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("--no-such-option");
});

const PROGRAM = `
import type { Kernel } from "smpsim";

export function run(kernel: Kernel): number {
  return kernel.cpu.id * 10;
}
`;

const MAIN = `
import { Machine } from "smpsim";

const machine: Machine = await Machine.boot({ cpus: 2, memory: "32MiB" });
const result = await machine.run("./program.ts");
await machine.halt();
console.log(JSON.stringify([result.fault, result.cpuResults.map((cpu) => cpu.value)]));
`;

test("is a library for programs of one's own", async () => {
  writeText(user, "program.ts", PROGRAM);
  writeText(user, "main.ts", MAIN);
  const { code, stdout, stderr } = await command(process.execPath, "main.ts");
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual([null, [0, 10]]);
});

test("brings types that a strict compiler accepts, its own declarations included", async () => {
  writeText(user, "program.ts", PROGRAM);
  writeText(user, "main.ts", MAIN);
  symlinkSync(join(projectFolder, "node_modules/@types"), join(user, "node_modules/@types"));
  symlinkSync(join(projectFolder, "node_modules/undici-types"), join(user, "node_modules/undici-types"));
  const tsc = join(projectFolder, "node_modules/typescript/bin/tsc");
  const flags = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2024", "--types", "node"];
  const { code, stdout } = await command(process.execPath, tsc, ...flags, "main.ts", "program.ts");
  expect(stdout).toBe("");
  expect(code).toBe(0);
});
