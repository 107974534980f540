/** The rules that look at one module, or at all of them.  Each returns sentences; none means that the rule holds. */

import { posix } from "node:path";
import {
  ALLOWED_IMPORTS,
  LIMITS,
  MANY_EXPORTS,
  MAY_IMPORT_PACKAGES,
  MAY_NOT_IMPORT_NODE,
  ONLY,
  RESERVED,
  ROWS,
} from "./layers.ts";
import type { Import, Module } from "./module.ts";

/** Imports that point upward, sideways, out of src, or to a package that the folder may not use. */
export function importViolations(module: Module, dependencies: readonly string[]): string[] {
  return module.imports.flatMap((entry) => {
    const why = entry.from.startsWith(".")
      ? wrongModule(module.path, targetOf(module, entry), entry.typeOnly)
      : wrongPackage(module.path, entry.from, dependencies);
    return why ? [`${module.path}:${entry.line} imports ${entry.from}: ${why}`] : [];
  });
}

function wrongModule(path: string, target: string, typeOnly: boolean): string | null {
  if (!path.startsWith("src/")) {
    const isWiring = path.startsWith("workers/") && !/^(src|workers)\//.test(target);
    return isWiring ? "workers import only src" : null;
  }
  if (!target.startsWith("src/")) return "src stands alone";
  const [from, to] = [folderOf(path), folderOf(target)];
  const allowed = ALLOWED_IMPORTS.find((candidate) => covers(candidate, path, target));
  if (from === to || (allowed && (typeOnly || !allowed.typesOnly))) return null;
  if (allowed) return `${from} may import only types of ${to}`;
  const [fromRow, toRow] = [rowOf(from), rowOf(to)];
  if (fromRow < 0 || toRow < 0) return null;
  if (ONLY[from] && !ONLY[from].includes(to)) return `${from} imports only ${ONLY[from].join(", ")}`;
  if (toRow > fromRow) return `${to} is above ${from}`;
  return toRow === fromRow ? `${to} and ${from} are in one row` : null;
}

function wrongPackage(path: string, name: string, dependencies: readonly string[]): string | null {
  if (!/^(src|workers)\//.test(path)) return null;
  const folder = folderOf(path);
  if (name.startsWith("node:")) {
    return MAY_NOT_IMPORT_NODE.includes(folder) ? `${folder} asks nothing of the host directly` : null;
  }
  const packageName = name.split("/", name.startsWith("@") ? 2 : 1).join("/");
  if (!dependencies.includes(packageName)) return "it is not among the dependencies of the package";
  return MAY_IMPORT_PACKAGES.includes(folder) ? null : `${folder} uses no packages`;
}

/** Exceptions of layers.ts that no module needs. */
export function staleExceptions(modules: readonly Module[]): string[] {
  const isUsed = (allowed: { from: string; to: string }) =>
    modules.some((module) =>
      module.imports.some((entry) => covers(allowed, module.path, targetOf(module, entry))),
    );
  const imports = ALLOWED_IMPORTS.filter((allowed) => !isUsed(allowed)).map(
    ({ from, to }) => `the exception for ${from} to import ${to} is not used`,
  );
  const small = modules.filter(
    ({ path, exports }) => path in MANY_EXPORTS && exports.length <= LIMITS.exports,
  );
  return [...imports, ...small.map(({ path }) => `the exception for the exports of ${path} is not used`)];
}

/** Modules in a folder of src that has no row. */
export function folderViolations(module: Module): string[] {
  if (!module.path.startsWith("src/") || rowOf(folderOf(module.path)) >= 0) return [];
  return [`${module.path}: ${folderOf(module.path)} has no row in test/architecture/layers.ts`];
}

/** The library's door may export what it likes. */
const PUBLIC_DOOR = "src/index.ts";

export function sizeViolations(module: Module): string[] {
  const { path, lines, exports } = module;
  const found: string[] = [];
  if (lines > LIMITS.lines) found.push(`${path} has ${lines} lines, at most ${LIMITS.lines} are allowed`);
  if (exports.length > LIMITS.exports && path !== PUBLIC_DOOR && !(path in MANY_EXPORTS)) {
    found.push(`${path} exports ${exports.length} values, at most ${LIMITS.exports} are allowed`);
  }
  return found;
}

/** Names that say nothing about what a module is for. */
const VAGUE_NAMES = /^(utils?|helpers?|common|managers?|misc)$/;

export function nameViolations(module: Module): string[] {
  const { path, exports } = module;
  const found: string[] = [];
  const vague = path.split(/[/.]/).find((part) => VAGUE_NAMES.test(part));
  if (vague) found.push(`${path}: ${vague} says nothing about what it is for`);
  if (exports.includes("default") && !path.endsWith(".config.ts")) found.push(`${path} has a default export`);
  if (exports.includes("*") && !path.endsWith("/index.ts"))
    found.push(`${path} re-exports everything of a module`);
  return found;
}

/** Clocks, chance, shared memory and BigInt outside the folders that may use them. */
export function reservedViolations(module: Module): string[] {
  if (!module.path.startsWith("src/")) return [];
  const rules = RESERVED.filter(
    ({ folders, files }) => !folders.includes(folderOf(module.path)) && !(module.path in (files ?? {})),
  );
  const found = rules.flatMap(({ names, reason }) =>
    module.uses
      .filter(({ name }) => names.includes(name))
      .map(({ name, line }) => `${module.path}:${line} uses ${name}: ${reason}`),
  );
  return [...new Set(found)];
}

const SUITES = ["test", "it", "describe", "suite", "context"];
const UNFINISHED = ["only", "skip", "skipIf", "runIf", "todo", "fails"];

/** Tests that do not run, or that keep others from running. */
export function skipViolations(module: Module): string[] {
  if (!module.path.startsWith("test/")) return [];
  return module.uses
    .filter(({ name }) => {
      const [object, member] = name.split(".");
      return SUITES.includes(object) && UNFINISHED.includes(member);
    })
    .map(({ name, line }) => `${module.path}:${line} has ${name}: every test runs, always`);
}

/**
 * Modules that import each other in a circle.  Constants at the top of a module, such as a local name for a struct's
 * layout, are then read before they exist.  Imports of types alone make no circle.
 */
export function cycleViolations(modules: readonly Module[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      found.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    const module = byPath.get(path);
    if (!module || done.has(path)) return;
    for (const entry of module.imports) {
      if (!entry.typeOnly) visit(targetOf(module, entry), [...trail, path]);
    }
    done.add(path);
  };
  for (const module of modules) visit(module.path, []);
  return found;
}

/** The imported file from the root of the project; a package's name as it is. */
function targetOf(module: Module, { from }: Import): string {
  return from.startsWith(".") ? posix.join(posix.dirname(module.path), from) : from;
}

function folderOf(path: string): string {
  const [top, second] = path.split("/");
  return top === "src" ? second : top;
}

function rowOf(folder: string): number {
  return ROWS.findIndex((row) => row.includes(folder));
}

function covers(allowed: { from: string; to: string }, path: string, target: string): boolean {
  return isIn(path, `src/${allowed.from}`) && isIn(target, `src/${allowed.to}`);
}

function isIn(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}
