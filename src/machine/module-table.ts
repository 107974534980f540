/**
 * The text of every module, read once and shared by all CPUs' threads.
 *
 * A thread loads some 140 modules.  Left to itself it would find, look up and read each file again; most of what starting
 * 256 threads costs is that.  So the main thread reads them into one buffer, and hooks answer from it.  Node's compile
 * cache still has the last word on what is compiled: it goes by a module's address and text.
 */

import { readdirSync, readFileSync } from "node:fs";
import { type LoadFnOutput, type ResolveFnOutput, registerHooks } from "node:module";

/** By URL: where a module's text begins in `text`, and its length in bytes. */
export interface ModuleTable {
  readonly places: ReadonlyMap<string, readonly [start: number, bytes: number]>;
  readonly text: SharedArrayBuffer;
}

/** What a worker is given as worker data, beside its shape. */
export interface ModuleCarrier {
  readonly smpsimModules: ModuleTable;
}

const SOURCE = new URL("../", import.meta.url);
const MODULE = /\.(ts|js)$/;

let table: ModuleTable | null = null;

/** All modules of this library, as their files were when it was first asked for. */
export function moduleTable(): ModuleTable {
  table ??= readModules();
  return table;
}

function readModules(): ModuleTable {
  const places = new Map<string, readonly [number, number]>();
  const texts: Buffer[] = [];
  let end = 0;
  for (const file of readdirSync(SOURCE, { recursive: true, encoding: "utf8" })) {
    if (!MODULE.test(file) || file.endsWith(".d.ts")) continue;
    const url = new URL(file.replaceAll("\\", "/"), SOURCE);
    const text = readFileSync(url);
    places.set(url.href, [end, text.length]);
    texts.push(text);
    end += text.length;
  }
  const text = new SharedArrayBuffer(end);
  Buffer.from(text).set(Buffer.concat(texts));
  return { places, text };
}

/** On a CPU's thread: modules of the table come from it, all others from where Node finds them. */
export function loadFrom({ places, text }: ModuleTable): void {
  registerHooks({
    resolve(specifier, context, next): ResolveFnOutput {
      const { parentURL } = context;
      const relative = specifier.startsWith(".") && parentURL !== undefined;
      const url = relative ? new URL(specifier, parentURL).href : specifier;
      return places.has(url) ? { url, format: formatOf(url), shortCircuit: true } : next(specifier, context);
    },
    load(url, context, next): LoadFnOutput {
      const place = places.get(url);
      if (place === undefined) return next(url, context);
      const source = Buffer.from(text, ...place).toString("utf8");
      return { format: formatOf(url), source, shortCircuit: true };
    },
  });
}

const formatOf = (url: string): string => (url.endsWith(".ts") ? "module-typescript" : "module");
