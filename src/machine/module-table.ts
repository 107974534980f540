/**
 * The modules that CPUs' threads run, made ready once for all of them and kept from process to process.
 *
 * Left to itself Node finds, reads, strips, wraps and links each of some 300 modules in each thread; most of what starting
 * 256 threads costs was that.  So the main thread makes a script of each module (module-script), and threads take
 * scripts and their compiled code from one shared buffer (module-pack, module-loader).  The buffer lies as a file beside
 * Node's own compile cache, and what of it is no longer what the sources say is made anew.
 */

import { hash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cachedDataVersionTag } from "node:v8";
import { threadId } from "node:worker_threads";
import { ModulePack, type PackedModule, packModules } from "./module-pack.ts";
import { scriptOf } from "./module-script.ts";

/** What a worker is given as worker data, beside its shape. */
export interface ModuleCarrier {
  /** Null: threads find modules as Node does, which tools that hold what ran against the sources understand. */
  readonly smpsimModules: SharedArrayBuffer | null;
}

/** Modules that a thread compiled itself, as no code was there. */
export type CompiledModules = readonly (readonly [url: string, code: Uint8Array])[];

const SOURCE = new URL("../", import.meta.url);
const EXTENSION = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
/** Where threads begin, and what they are told to run. */
const DOOR = `machine/serve${EXTENSION}`;
const PROGRAMS = ["workloads/", "scenarios/"];
/** What makes a pack out of modules: another version of these makes other packs. */
const MAKERS = ["machine/module-script", "machine/module-pack", "machine/module-table"];

let table: SharedArrayBuffer | null = null;

/** All modules that threads may need, as their files were when this was first asked for. */
export function moduleTable(): SharedArrayBuffer | null {
  if (process.env.NODE_V8_COVERAGE !== undefined) return null;
  table ??= readTable();
  return table;
}

/** Keeps what a thread had to compile, for threads and processes to come. */
export function keepCode(compiled: CompiledModules): void {
  if (compiled.length === 0 || table === null) return;
  const codes = new Map(compiled);
  const modules = new ModulePack(table).modules();
  table = packModules(modules.map((module) => ({ ...module, code: codes.get(module.url) ?? module.code })));
  writeTable(table);
}

function readTable(): SharedArrayBuffer {
  const { kept, known } = keptModules();
  const modules = new Map<string, PackedModule>();
  let fresh = 0;
  const add = (url: string): void => {
    if (modules.has(url) || !url.startsWith("file:")) return;
    const source = readFileSync(new URL(url), "utf8");
    const id = hash("sha256", source, "base64");
    let module = known.get(url);
    if (module?.hash !== id) {
      module = { ...scriptOf(url, source), url, hash: id, code: null };
      fresh++;
    }
    modules.set(url, module);
    for (const other of [...module.imports, ...module.later]) add(other);
  };
  for (const path of entrances()) add(new URL(path, SOURCE).href);
  if (kept !== null && fresh === 0 && modules.size === known.size) return kept;
  const made = packModules([...modules.values()]);
  writeTable(made);
  return made;
}

function entrances(): string[] {
  const programs = PROGRAMS.flatMap((folder) => {
    const url = new URL(folder, SOURCE);
    return existsSync(url) ? readdirSync(url).map((file) => folder + file) : [];
  });
  return [DOOR, ...programs.filter((path) => path.endsWith(EXTENSION) && !path.endsWith(".d.ts"))];
}

/** The folder of Node's compile cache, and of ours; sets Node's for the threads to come. */
export function cacheFolder(): string {
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), "smpsim-compile-cache");
  return process.env.NODE_COMPILE_CACHE;
}

function tableFile(): string {
  const makers = MAKERS.map((path) => readFileSync(new URL(path + EXTENSION, SOURCE), "utf8"));
  const { version, arch } = process;
  const key = JSON.stringify([SOURCE.href, version, arch, cachedDataVersionTag(), makers]);
  return join(cacheFolder(), `smpsim-modules-${hash("sha256", key).slice(0, 16)}`);
}

/** What is left of processes before: nothing, where it cannot be read. */
function keptModules(): { kept: SharedArrayBuffer | null; known: ReadonlyMap<string, PackedModule> } {
  try {
    const bytes = readFileSync(tableFile());
    const kept = new SharedArrayBuffer(bytes.length);
    Buffer.from(kept).set(bytes);
    return { kept, known: new Map(new ModulePack(kept).modules().map((module) => [module.url, module])) };
  } catch {
    return { kept: null, known: new Map() };
  }
}

/** A cache that cannot be written is made again by each process. */
function writeTable(made: SharedArrayBuffer): void {
  const file = tableFile();
  const draft = `${file}.${process.pid}-${threadId}`;
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    writeFileSync(draft, new Uint8Array(made));
    renameSync(draft, file);
  } catch {
    rmSync(draft, { force: true });
  }
}
