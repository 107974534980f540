/**
 * What the labels of a recorded scenario mean: each is a call in words, and is turned into an operation with its arguments.
 *
 * A label says what is done, and often where: "4p" pages, "at 8", "20..24".  What it leaves open comes from the steps before:
 * "gap", "hole", "middle", "back" is the last range that a label has named; no place at all is the last mapping that was
 * made; "all" and "whole" is everything.  The place of a new mapping is its answer, since mappings are made at fixed
 * addresses.  A few labels leave more than that open: they are listed.
 */

import type { TraceArgs } from "./trace.ts";

/** A mapping of the text: ranges in pages. */
export interface StepMap {
  readonly [field: string]: number | string;
  readonly start: number;
  readonly end: number;
  readonly perm: string;
  readonly rss: number;
}

export interface Step {
  readonly label: string;
  readonly ret: string;
  readonly minflt: number;
  readonly maps: StepMap[];
  /** A mincore's answer. */
  vec: string | null;
}

export interface Call {
  readonly op: string;
  readonly args: TraceArgs;
  /** Accesses that come before it and are part of no step. */
  readonly touched: readonly { readonly op: "read" | "write"; readonly args: TraceArgs }[];
}

interface Range {
  readonly page: number;
  readonly npages: number;
}

const HUGE_PAGES = 2 ** 50;
/** First byte of the address space, as a page of the arena. */
const NULL_PAGE = -(0x2000_0000_0000 / 4096);
/** How far a range goes on that ends in a hole. */
const BEYOND = 8;
const PROTS: Readonly<Record<string, string>> = {
  NONE: "---",
  R: "r--",
  W: "-w-",
  X: "--x",
  RW: "rw-",
  RX: "r-x",
  WX: "-wx",
  RWX: "rwx",
};
const CALLS = /^(mmap|munmap|mprotect|madvise|mlock2|mlock|munlock|mincore|msync|touch|read|write)\b/;
const SAME = /\b(gap|hole|middle|back)\b/;

/** Labels that say less than their call needs, and what the recorder must have done. */
const OPEN: Readonly<Record<string, TraceArgs>> = {
  "mlock over a gap": { page: 6, npages: 4 },
  "mmap NOREPLACE free": { npages: 4 },
  "mmap NOREPLACE overlap": { page: 4, npages: 4 },
  "mmap FIXED overlap replaces": { npages: 4, prot: "r--" },
  "mprotect across gap": { page: 4, npages: 12, prot: "r--" },
};

/** The calls of a scenario's steps, in order. */
export function argumentsOf(steps: readonly Step[]): Call[] {
  const reader = new Reader();
  return steps.map((step) => reader.next(step));
}

/** Reads label after label, and remembers what later ones refer to. */
class Reader {
  private maps: readonly StepMap[] = [];
  private named: Range = { page: 0, npages: 1 };
  private made: Range = { page: 0, npages: 1 };

  next(step: Step): Call {
    // What stands in brackets explains.
    const label = step.label.replace(/\([^)]*\)/g, "").trim();
    const name = CALLS.exec(label)?.[1] ?? step.label;
    const words = label.slice(name.length);
    const args = name === "mmap" ? this.mapping(words, step) : this.call(name, words, step.label);
    const call = {
      op: name === "touch" ? (/^ w\b/.test(words) ? "write" : "read") : name,
      args: { ...args, ...OPEN[label] },
      touched: step.vec === null ? [] : touchedBefore(step, this.maps),
    };
    if (name === "mmap" && !/^[A-Z]+$/.test(step.ret))
      this.made = { page: Number(call.args.page), npages: Number(call.args.npages) };
    this.maps = step.maps;
    return call;
  }

  private mapping(words: string, step: Step): TraceArgs {
    const answer = /^page:(\d+)$/.exec(step.ret);
    const range = this.range(words, answer === null ? this.firstPage() : Number(answer[1]));
    const page = /\bFIXED at 0\b/.test(words) ? NULL_PAGE : range.page;
    const npages = /\blen 0\b/.test(words) ? 0 : /\bhuge length\b/.test(words) ? HUGE_PAGES : range.npages;
    return { page, npages, prot: protOf(words, "rw-"), flags: mapFlags(words) };
  }

  private call(name: string, words: string, label: string): TraceArgs {
    const range = this.range(words, null);
    switch (name) {
      case "touch":
      case "read":
      case "write":
        return { ...this.accessed(words, range), byte: 0, value: 1 };
      case "mprotect":
        return { ...range, ...protection(words) };
      case "madvise":
        return { ...range, advice: adviceOf(label) };
      case "mlock2":
        return { ...range, flags: /\bONFAULT\b/.test(words) ? ["ONFAULT"] : [] };
      case "msync":
        return { ...range, flags: ["SYNC", "ASYNC", "INVALIDATE"].filter((flag) => flagged(words, flag)) };
      default:
        return { ...range };
    }
  }

  /** Where a call is: a range of whole pages, or with a byte too many. */
  private range(words: string, at: number | null): Range & { readonly byte?: number } {
    if (/\bunaligned\b/.test(words)) return { page: this.firstPage(), npages: 1, byte: 1 };
    if (/\blen 0\b/.test(words)) return { page: this.firstPage(), npages: 0 };
    const explicit = /\b(\d+)\.\.(\d+)\b/.exec(words);
    if (explicit !== null) {
      const [start, end] = explicit.slice(1).map(Number);
      this.named = { page: start, npages: end - start };
      return this.named;
    }
    if (/\b(unmapped|nothing)\b/.test(words) && !/\bover unmapped\b/.test(words))
      return { page: this.endPage(), npages: BEYOND };
    if (/\b(over gap|over unmapped|whole|beyond)\b/.test(words))
      return { page: this.firstPage(), npages: this.endPage() - this.firstPage() + BEYOND };
    if (/\ball\b/.test(words)) return { page: this.firstPage(), npages: this.endPage() - this.firstPage() };
    if (SAME.test(words)) return this.named;
    const pages = /\b(\d+)p\b/.exec(words);
    const place = /\bat (\d+)\b/.exec(words);
    const page = place === null ? at : Number(place[1]);
    if (pages !== null) return { page: page ?? this.made.page, npages: Number(pages[1]) };
    return page === null ? this.made : { page, npages: 1 };
  }

  /** "w 4", "8", "same 4 again", "of second": pages from the first one on. */
  private accessed(words: string, range: Range): Range {
    if (/\.\.|\bgap\b|\bmiddle\b|\bhole\b/.test(words)) return range;
    const npages = Number(/\b(\d+)\b/.exec(words)?.[1] ?? 1);
    if (/\bunmapped\b/.test(words)) return { page: this.endPage(), npages };
    if (/\bsecond\b/.test(words)) return { page: this.maps[1]?.start ?? 0, npages };
    return { page: this.firstPage(), npages };
  }

  private firstPage(): number {
    return this.maps[0]?.start ?? 0;
  }

  private endPage(): number {
    return this.maps.at(-1)?.end ?? 0;
  }
}

const flagged = (words: string, flag: string): boolean => new RegExp(`\\b(MAP_|MS_)?${flag}\\b`).test(words);

function mapFlags(words: string): string[] {
  const type = /\bneither\b/.test(words)
    ? []
    : /\bboth\b/.test(words)
      ? ["SHARED", "PRIVATE"]
      : flagged(words, "SHARED")
        ? ["SHARED"]
        : ["PRIVATE"];
  const place = flagged(words, "NOREPLACE") ? ["NOREPLACE"] : ["FIXED"];
  const others = [
    ["POPULATE", "POPULATE"],
    ["LOCKED", "LOCKED"],
    ["NORESERVE", "NORESERVE"],
  ];
  return [
    ...type,
    ...place,
    "ANON",
    ...others.filter(([word]) => flagged(words, word)).map(([, flag]) => flag),
  ];
}

function protection(words: string): TraceArgs {
  if (/\bbad prot\b/.test(words)) return { prot: "r--", extra: "UNKNOWN" };
  if (/\bGROWSUP\|GROWSDOWN\b/.test(words)) return { prot: "r--", extra: "GROWSDOWN+GROWSUP" };
  return { prot: protOf(words, "r--") };
}

/** "R part -> RW": the last one is what it becomes. */
function protOf(words: string, otherwise: string): string {
  const found = [...words.matchAll(/\b(NONE|RWX|RW|RX|WX|R|W|X)\b/g)].at(-1);
  return found === undefined ? otherwise : PROTS[found[1]];
}

function adviceOf(label: string): string {
  if (/\bbad\b/.test(label)) return "BAD";
  return /\b(?:MADV_)?([A-Z][A-Z_]+)\b/.exec(label)?.[1] ?? "NORMAL";
}

/** What a mincore finds and was not there: as many pages written as are counted, the others read. */
function touchedBefore({ vec, maps }: Step, before: readonly StepMap[]): Call["touched"] {
  const resident = (all: readonly StepMap[]): number => all.reduce((sum, { rss }) => sum + rss, 0);
  const written = resident(maps) - resident(before);
  const found = [...(vec ?? "")].flatMap((bit, page) => (bit === "1" ? [page + (maps[0]?.start ?? 0)] : []));
  return found.map((page, k) => ({
    op: k < written ? ("write" as const) : ("read" as const),
    args: { page, npages: 1, byte: 0, value: 1 },
  }));
}
