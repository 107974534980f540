/**
 * The scripts of all modules in one buffer, which CPUs' threads share and which is kept as a file.
 *
 *   length of the index, of the records | index, JSON | records, JSON | texts and compiled code
 *
 * The index is what a thread needs to know; the records are for the main thread, which looks whether a file of earlier is still
 * true.  A pack is never changed: one with more code is another one.
 */

import type { ModuleScript } from "./module-script.ts";

/** A module as the main thread has it. */
export interface PackedModule extends ModuleScript {
  readonly url: string;
  /** Of the module's own text, types and all. */
  readonly hash: string;
  /** As V8 has compiled it; null: nobody has yet. */
  readonly code: Uint8Array | null;
}

type Place = readonly [start: number, bytes: number];

/** A module as a thread sees it. */
export interface IndexEntry {
  readonly url: string;
  /** Places in the index, names of Node's own modules. */
  readonly imports: readonly (number | string)[];
  readonly exports: readonly string[];
  readonly isAsync: boolean;
  readonly encoding: "latin1" | "utf16le";
  readonly text: Place;
  readonly code: Place | null;
}

interface Record_ {
  readonly hash: string;
  readonly later: readonly string[];
}

const HEADER_BYTES = 8;
/** V8 copies code that begins elsewhere. */
const ALIGNMENT = 8;

export function packModules(modules: readonly PackedModule[]): SharedArrayBuffer {
  const parts: Uint8Array[] = [];
  let end = 0;
  const put = (bytes: Uint8Array): Place => {
    const start = end;
    const padded = Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    parts.push(bytes, new Uint8Array(padded - bytes.length));
    end += padded;
    return [start, bytes.length];
  };
  const places = new Map(modules.map(({ url }, place) => [url, place]));
  const index = modules.map(({ url, imports, exports, isAsync, text, code }): IndexEntry => {
    const encoding = /[^\0-\xff]/.test(text) ? "utf16le" : "latin1";
    return {
      url,
      imports: imports.map((address) => places.get(address) ?? address),
      exports,
      isAsync,
      encoding,
      text: put(Buffer.from(text, encoding)),
      code: code === null ? null : put(code),
    };
  });
  const records = modules.map(({ hash, later }): Record_ => ({ hash, later }));
  const [indexJson, recordJson] = [index, records].map((value) => Buffer.from(JSON.stringify(value)));
  const headBytes = HEADER_BYTES + indexJson.length + recordJson.length;
  const blobs = Math.ceil(headBytes / ALIGNMENT) * ALIGNMENT;
  const buffer = new SharedArrayBuffer(blobs + end);
  const bytes = Buffer.from(buffer);
  bytes.writeUInt32LE(indexJson.length, 0);
  bytes.writeUInt32LE(recordJson.length, 4);
  bytes.set(indexJson, HEADER_BYTES);
  bytes.set(recordJson, HEADER_BYTES + indexJson.length);
  bytes.set(Buffer.concat(parts), blobs);
  return buffer;
}

/** A pack as it is read. */
export class ModulePack {
  readonly index: readonly IndexEntry[];
  private readonly buffer: SharedArrayBuffer;
  private readonly recordsAt: Place;
  private readonly blobs: number;

  constructor(buffer: SharedArrayBuffer) {
    const bytes = Buffer.from(buffer);
    const indexBytes = bytes.readUInt32LE(0);
    const recordBytes = bytes.readUInt32LE(4);
    this.buffer = buffer;
    this.index = JSON.parse(bytes.toString("utf8", HEADER_BYTES, HEADER_BYTES + indexBytes));
    this.recordsAt = [HEADER_BYTES + indexBytes, recordBytes];
    this.blobs = Math.ceil((HEADER_BYTES + indexBytes + recordBytes) / ALIGNMENT) * ALIGNMENT;
  }

  textOf({ text, encoding }: IndexEntry): string {
    return this.at(text).toString(encoding);
  }

  codeOf({ code }: IndexEntry): Buffer | null {
    return code === null ? null : this.at(code);
  }

  /** All of it, for the main thread. */
  modules(): PackedModule[] {
    const [start, length] = this.recordsAt;
    const records: Record_[] = JSON.parse(Buffer.from(this.buffer, start, length).toString("utf8"));
    return this.index.map((entry, place) => ({
      ...records[place],
      url: entry.url,
      imports: entry.imports.map((of) => (typeof of === "number" ? this.index[of].url : of)),
      exports: entry.exports,
      isAsync: entry.isAsync,
      text: this.textOf(entry),
      code: this.codeOf(entry),
    }));
  }

  private at([start, bytes]: Place): Buffer {
    return Buffer.from(this.buffer, this.blobs + start, bytes);
  }
}
