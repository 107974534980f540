/** Finds the files of the project. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Module, parseModule } from "./module.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Made by tools, or not part of the project. */
const IGNORED = new Set(["node_modules", "dist", "reports", ".git", ".cache"]);
const CODE = /^((src|workers|test|bench|scripts|examples)\/.*|[^/]+)\.ts$/;
/** Recorded data: it is compared with, and never edited. */
const RECORDED = /^test\/oracle\/.*\.(md|csv|txt|jsonl)$/;
const TEXT = /(\.(ts|mjs|js|json|md|html|css|c|h|yml|yaml|sh)|^\.ci\/run|^LICENSE|\/?\.\w+)$/;

export interface TextFile {
  path: string;
  text: string;
}

export function textFiles(): TextFile[] {
  return filesIn("")
    .filter((path) => TEXT.test(path) && !RECORDED.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

export function codeModules(files: readonly TextFile[]): Module[] {
  return files.filter(({ path }) => CODE.test(path)).map(({ path, text }) => parseModule(path, text));
}

/** Names of the packages that are there where smpsim is installed. */
export function packageDependencies(): string[] {
  return Object.keys(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).dependencies);
}

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !IGNORED.has(entry.name))
    .flatMap((entry) => {
      const path = folder ? `${folder}/${entry.name}` : entry.name;
      if (entry.isDirectory()) return filesIn(path);
      return entry.isFile() ? [path] : [];
    });
}
