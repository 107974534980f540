/** A folder for one test, removed after it, and the folder of the project. */

import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const projectFolder = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export function emptyFolder(): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "smpsim-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeText(folder: string, path: string, text: string): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

export function writeProgram(folder: string, path: string, text: string): string {
  const file = writeText(folder, path, text);
  chmodSync(file, 0o755);
  return file;
}
