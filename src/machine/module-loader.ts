/**
 * On a CPU's thread: runs modules of the table as scripts, each once, and imports all others.
 *
 * A module from elsewhere, such as a user's lock or workload, is found by Node as ever.  What it imports of this library
 * must be what the scripts have exported, not a second instance, so hooks answer it with a module that only passes on.
 * For the same reason this file and what it imports are none of the table's modules.
 */

import { registerHooks } from "node:module";
import { constants, Script } from "node:vm";
import { type IndexEntry, ModulePack } from "./module-pack.ts";
import type { Exports, ScriptFunction } from "./module-script.ts";
import type { CompiledModules } from "./module-table.ts";

/** Where modules that only pass on find the loader. */
const LOADER = Symbol.for("smpsim.loader");

export class ModuleLoader {
  private readonly pack: ModulePack;
  private readonly places = new Map<string, number>();
  private readonly loaded = new Map<number | string, Exports>();
  /** Scripts without code in the table. */
  private readonly compiled: { url: string; script: Script }[] = [];

  constructor(table: SharedArrayBuffer) {
    this.pack = new ModulePack(table);
    this.pack.index.forEach(({ url }, place) => {
      this.places.set(url, place);
    });
    (globalThis as Record<symbol, unknown>)[LOADER] = (url: string) => this.loadNow(url);
    this.answerImports();
  }

  /** What the module at `url` exports. */
  async load(url: string): Promise<Exports> {
    const place = this.places.get(url);
    if (place === undefined) return import(url);
    const { ordered, foreign } = this.missing(place);
    for (const name of foreign) this.loaded.set(name, await import(name));
    for (const next of ordered) {
      // What a module before it awaited may have loaded it.
      const pending = this.loaded.has(next) ? undefined : this.run(next);
      if (pending !== undefined) await pending;
    }
    return this.exportsOf(place);
  }

  /** The code of what this thread has compiled itself, with all functions that it has called so far. */
  takeCompiled(): CompiledModules {
    return this.compiled.splice(0).map(({ url, script }) => [url, script.createCachedData()]);
  }

  private loadNow(url: string): Exports {
    const place = this.places.get(url) ?? fail(`${url} is not in the table of modules`);
    const { ordered, foreign } = this.missing(place);
    for (const name of foreign) this.loaded.set(name, process.getBuiltinModule(name) as Exports);
    for (const next of ordered) {
      if (this.pack.index[next].isAsync)
        fail(`${this.pack.index[next].url} awaits something: it cannot be loaded now`);
      this.run(next);
    }
    return this.exportsOf(place);
  }

  /** What is to run before the module at `place` has run, and that itself: imported ones first. */
  private missing(place: number): { ordered: number[]; foreign: Set<string> } {
    const ordered: number[] = [];
    const foreign = new Set<string>();
    const seen = new Set<number>();
    const visit = (at: number): void => {
      if (seen.has(at) || this.loaded.has(at)) return;
      seen.add(at);
      for (const from of this.pack.index[at].imports) {
        if (typeof from === "number") visit(from);
        else if (!this.loaded.has(from)) foreign.add(from);
      }
      ordered.push(at);
    };
    visit(place);
    return { ordered, foreign };
  }

  private run(place: number): Promise<void> | undefined {
    const entry = this.pack.index[place];
    const exports: Exports = {};
    this.loaded.set(place, exports);
    const load = (specifier: string): Promise<Exports> =>
      this.load(specifier.startsWith(".") ? new URL(specifier, entry.url).href : specifier);
    const deps = entry.imports.map((from) => this.exportsOf(from));
    return (this.scriptOf(entry).runInThisContext() as ScriptFunction)(exports, deps, load, entry.url);
  }

  private scriptOf(entry: IndexEntry): Script {
    const { url } = entry;
    const code = this.pack.codeOf(entry);
    const script = new Script(this.pack.textOf(entry), {
      filename: url,
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
      ...(code === null ? {} : { cachedData: code }),
    });
    if (code === null || script.cachedDataRejected === true) this.compiled.push({ url, script });
    return script;
  }

  private exportsOf(from: number | string): Exports {
    const name = typeof from === "number" ? this.pack.index[from].url : from;
    return this.loaded.get(from) ?? fail(`${name} is imported before it has run: modules import each other`);
  }

  /** Modules from elsewhere that import modules of the table get what has run here. */
  private answerImports(): void {
    const { places } = this;
    registerHooks({
      resolve(specifier, context, next) {
        const { parentURL } = context;
        const isRelative = specifier.startsWith(".") && parentURL !== undefined;
        const url = isRelative ? new URL(specifier, parentURL).href : specifier;
        return places.has(url) ? { url, format: "module", shortCircuit: true } : next(specifier, context);
      },
      load: (url, context, next) => {
        const place = places.get(url);
        if (place === undefined) return next(url, context);
        const names = this.pack.index[place].exports.join(", ");
        const loader = `globalThis[Symbol.for(${JSON.stringify(LOADER.description)})]`;
        const source = `export const { ${names} } = ${loader}(${JSON.stringify(url)});`;
        return { format: "module", source, shortCircuit: true };
      },
    });
  }
}

function fail(message: string): never {
  throw new Error(message);
}
