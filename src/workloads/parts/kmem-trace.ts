/**
 * Reads a recorded trace of a kernel's allocations: the text of ftrace's `trace` file, `trace-cmd report` or `perf script`
 * with the kmem events.
 *
 *   app-1234  [003] ..... 12.000123: kmalloc: call_site=f+0x1/0x2 ptr=0xffff.. bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL
 *   app  1234 [003]    12.000123: kmem:kfree: call_site=ffff.. ptr=0xffff..
 *
 * An allocation gets a number, and a free the number of the last allocation at its address.  Fields may come in any order
 * and number, which covers the layouts of Linux 2.6.29 to 6.18: with `node=` and `accounted=` or without, the events'
 * `_node` forms, a cache's `name=` at the free.  Events of other kinds and comments are left out.
 *
 * Linux: include/trace/events/kmem.h.
 */

import { UsageError } from "../../memory/bug.ts";
import { Gfp, GfpFlag } from "../../mm/pages/gfp.ts";
import { MAX_ORDER } from "../../mm/pages/migrate-types.ts";

export const Kind = { KMALLOC: 0, CACHE: 1, PAGES: 2, FREE: 3 } as const;

/** Words of an event in `KmemTrace.events`. */
export const EVENT_WORDS = 5;

export interface KmemTrace {
  /** For each event, in order of time: kind, recorded CPU, allocation, bytes or order, gfp flags. */
  readonly events: readonly number[];
  readonly allocations: number;
  /** CPUs, the greatest number that occurs and one. */
  readonly cpus: number;
  /** Sizes of the objects that caches gave. */
  readonly cacheSizes: readonly number[];
  /** Frees of what was not allocated in the trace. */
  readonly unmatched: number;
  /** Allocations at an address that was still taken: its free is missing, and put before them. */
  readonly lostFrees: number;
}

type EventKind = (typeof Kind)[keyof typeof Kind];
const EVENTS: Readonly<Record<string, { readonly kind: EventKind; readonly isPage: boolean }>> = {
  kmalloc: { kind: Kind.KMALLOC, isPage: false },
  kmalloc_node: { kind: Kind.KMALLOC, isPage: false },
  kmem_cache_alloc: { kind: Kind.CACHE, isPage: false },
  kmem_cache_alloc_node: { kind: Kind.CACHE, isPage: false },
  kfree: { kind: Kind.FREE, isPage: false },
  kmem_cache_free: { kind: Kind.FREE, isPage: false },
  mm_page_alloc: { kind: Kind.PAGES, isPage: true },
  mm_page_free: { kind: Kind.FREE, isPage: true },
  mm_page_free_direct: { kind: Kind.FREE, isPage: true },
};
/** CPU, time, event, fields. */
const LINE = /\[(\d+)\]\D.*?\b\d+\.\d+: +(?:kmem:)?(\w+): *(.*)$/;
/** What tools write around the events. */
const NO_EVENT = /^\s*(#|$|cpus=|version = |CPU:? ?\d+ )|LOST \d+ EVENTS/;
const NULL_POINTER = /^(\(nil\)|\(null\)|0x0+|0+)$/;

/** `name` is the file's, for messages.  Throws UsageError with the number of the line that is not understood. */
export function parseKmemTrace(text: string, name: string): KmemTrace {
  const parser = new Parser(name);
  for (let start = 0, number = 1; start < text.length; number++) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    parser.line(text.slice(start, end), number);
    start = end + 1;
  }
  return parser.trace();
}

class Parser {
  private readonly name: string;
  private readonly events: number[] = [];
  private readonly live = new Map<string, number>();
  private readonly cacheSizes = new Set<number>();
  private allocations = 0;
  private cpus = 0;
  private unmatched = 0;
  private lostFrees = 0;
  private number = 0;
  private fields = "";

  constructor(name: string) {
    this.name = name;
  }

  trace(): KmemTrace {
    const { events, allocations, cpus, unmatched, lostFrees } = this;
    if (events.length === 0) throw new UsageError(`${this.name}: there is no kmem event in it`);
    return { events, allocations, cpus, unmatched, lostFrees, cacheSizes: [...this.cacheSizes] };
  }

  line(text: string, number: number): void {
    this.number = number;
    if (NO_EVENT.test(text)) return;
    const match = LINE.exec(text);
    if (match === null) this.fail(`${JSON.stringify(text.slice(0, 80))} is no line of a trace`);
    const [, cpu, eventName, fields] = match;
    if (!Object.hasOwn(EVENTS, eventName)) return;
    const { kind, isPage } = EVENTS[eventName];
    this.fields = ` ${fields}`;
    const key = isPage ? `pfn ${this.field("pfn")}` : this.field("ptr");
    if (NULL_POINTER.test(key)) return;
    this.cpus = Math.max(this.cpus, Number(cpu) + 1);
    if (kind === Kind.FREE) return this.free(Number(cpu), key);
    if (this.live.has(key)) {
      this.lostFrees++;
      this.free(Number(cpu), key);
    }
    const size = isPage ? this.whole("order", 0, MAX_ORDER) : this.whole("bytes_req", 0, 2 ** 31 - 1);
    if (kind === Kind.CACHE) this.cacheSizes.add(size);
    this.live.set(key, this.allocations);
    this.events.push(kind, Number(cpu), this.allocations++, size, gfpOf(this.field("gfp_flags")));
  }

  private free(cpu: number, key: string): void {
    const allocation = this.live.get(key);
    if (allocation === undefined) {
      this.unmatched++;
      return;
    }
    this.live.delete(key);
    this.events.push(Kind.FREE, cpu, allocation, 0, 0);
  }

  private field(key: string): string {
    const at = this.fields.indexOf(` ${key}=`);
    if (at < 0) this.fail(`there is no ${key}=`);
    const start = at + key.length + 2;
    const end = this.fields.indexOf(" ", start);
    const value = end < 0 ? this.fields.slice(start) : this.fields.slice(start, end);
    return value.replace(/,$/, "");
  }

  private whole(key: string, least: number, most: number): number {
    const value = Number(this.field(key));
    if (!Number.isInteger(value) || value < least || value > most)
      this.fail(`${key}=${this.field(key)}: valid are whole numbers from ${least} to ${most}`);
    return value;
  }

  private fail(what: string): never {
    throw new UsageError(`${this.name}, line ${this.number}: ${what}`);
  }
}

/** What of the recorded flags matters here: may it sleep, is it to be zero, what is it grouped with. */
function gfpOf(text: string): number {
  const names = text.split("|");
  const has = (name: string): boolean => names.includes(name);
  let flags: number = Gfp.KERNEL;
  if (has("GFP_ATOMIC")) flags = Gfp.ATOMIC;
  else if (has("GFP_NOWAIT")) flags = Gfp.NOWAIT;
  else if (names.some((name) => name.startsWith("GFP_HIGHUSER_MOVABLE"))) flags = Gfp.HIGHUSER_MOVABLE;
  if (has("__GFP_ZERO")) flags |= GfpFlag.ZERO;
  if (has("__GFP_RECLAIMABLE")) flags |= GfpFlag.RECLAIMABLE;
  return flags | GfpFlag.NOWARN;
}
