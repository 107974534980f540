/**
 * A module's text as the script that a CPU's thread runs: a function of its exports and of what it imports.
 *
 * All that Node's loader does for a module, finding, linking and wrapping it, it does again in each of 256 threads; a
 * script costs a thread little more than to run it.  It keeps a module's lines and its scope: a `const` at its top is
 * as constant to V8 as in the module, and an imported one is so too, since the script binds it once.
 *
 * Modules of this library look all alike, and this file counts on it: each import and export begins a line, imports name
 * what they import, nothing is exported that changes later, no two modules import each other.
 */

import { stripTypeScriptTypes } from "node:module";
import { Script } from "node:vm";
import { bug } from "../memory/bug.ts";

export interface ModuleScript {
  /** Evaluates to a function; see `ScriptFunction`. */
  readonly text: string;
  /** What it imports, in the order of `deps`: addresses of modules here, names of Node's own. */
  readonly imports: readonly string[];
  /** What it may import while it runs. */
  readonly later: readonly string[];
  readonly exports: readonly string[];
  /** It awaits something at its top: the function returns a promise. */
  readonly isAsync: boolean;
}

export type Exports = Record<string, unknown>;

/** Runs the module: fills `exports` from what the modules that it imports have exported, `deps`. */
export type ScriptFunction = (
  exports: Exports,
  deps: readonly Exports[],
  load: (specifier: string) => Promise<Exports>,
  url: string,
) => Promise<void> | undefined;

const IMPORT = /^import\s+(?:([^"';]*?)\s*from\s*)?"([^"]+)"\s*;?/gm;
const EXPORT_DECLARED = /^export\s+((?:async\s+)?function\*?|class|const)\s+(\w+)/gm;
const EXPORT_PATTERN = /^export\s+(const\s*\{([^{}]*)\})/gm;
const EXPORT_NAMED = /^export\s*\{([^}]*)\}(?:\s*from\s*"([^"]+)")?\s*;?/gm;
const LATER = /(?<![\w.])import\("(\.[^"]+)"\)/g;
const LEFT = /^(?:import|export)\b.*/m;

/** The script of the module at `url`, whose text is `source`. */
export function scriptOf(url: string, source: string): ModuleScript {
  const imports: string[] = [];
  const functions: string[] = [];
  const values: string[] = [];
  const exports: string[] = [];
  const import_ = (from: string): string => `$deps[${imports.push(addressOf(from, url)) - 1}]`;
  const export_ = (name: string, value: string, isFunction = false): void => {
    exports.push(name);
    (isFunction ? functions : values).push(`$exports.${name} = ${value};`);
  };
  const body = (url.endsWith(".ts") ? withoutTypes(source) : source)
    .replace(IMPORT, (statement, names: string | undefined, from: string) => {
      const deps = import_(from);
      const bound = names === undefined ? "" : `const ${patternOf(names, statement)} = ${deps};`;
      return bound + newlinesOf(statement);
    })
    .replace(EXPORT_DECLARED, (_, kind: string, name: string) => {
      export_(name, name, kind.includes("function"));
      return `${kind} ${name}`;
    })
    .replace(EXPORT_PATTERN, (_, pattern: string, names: string) => {
      for (const [, as] of namesOf(names, /\s*:\s*/)) export_(as, as);
      return pattern;
    })
    .replace(EXPORT_NAMED, (statement, names: string, from: string | undefined) => {
      const deps = from === undefined ? null : import_(from);
      for (const [name, as] of namesOf(names)) export_(as, deps === null ? name : `${deps}.${name}`);
      return newlinesOf(statement);
    });
  const left = LEFT.exec(body);
  if (left !== null) bug(`${url}: no script can be made of "${left[0]}"`);
  const later = [...body.matchAll(LATER)].map(([, from]) => addressOf(from, url));
  const wrapped = (kind: string): string =>
    `(${kind} ($exports, $deps, $load, $url) { "use strict"; ${functions.join(" ")} ${body
      .replace(/(?<![\w.])import\(/g, "$load(")
      .replaceAll("import.meta.url", "$url")}\n${values.join("\n")}\n})`;
  const isAsync = body.includes("await ") && !isScript(wrapped("function"));
  return { text: wrapped(isAsync ? "async function" : "function"), imports, later, exports, isAsync };
}

const addressOf = (from: string, url: string): string =>
  from.startsWith(".") ? new URL(from, url).href : from;

/** What binds the names of an import. */
function patternOf(names: string, statement: string): string {
  const [, whole] = /^\*\s*as\s+(\w+)$/.exec(names) ?? [];
  if (whole !== undefined) return whole;
  if (!names.startsWith("{")) return bug(`no script can be made of "${statement}"`);
  const pairs = namesOf(names.slice(1, -1));
  return `{ ${pairs.map(([name, as]) => (name === as ? name : `${name}: ${as}`)).join(", ")} }`;
}

/** Pairs of a name and what it is called from there on. */
function namesOf(list: string, between = /\s+as\s+/): [name: string, as: string][] {
  const names = list.split(",").map((item) => item.trim());
  return names
    .filter((item) => item !== "")
    .map((item) => {
      const [name, as = name] = item.split(between);
      return [name, as];
    });
}

/** Lines stay where they are, for stacks and profiles. */
const newlinesOf = (statement: string): string => statement.replace(/[^\n]/g, "");

function isScript(text: string): boolean {
  let script: Script | null = null;
  try {
    script = new Script(text);
  } catch {}
  return script !== null;
}

/**
 * As Node takes types out of each module that it imports.  Asked to by name it warns that this name may change, which is no
 * news to a user.
 */
function withoutTypes(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
