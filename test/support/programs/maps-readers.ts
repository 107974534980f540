/**
 * CPU 0 and 2 map, protect and unmap in one address space while the others read its maps and smaps.  Each line must be of a
 * mapping that can be: the lines ascend and do not overlap, fixed mappings are there always and whole, rights are such as
 * somebody gives, and what smaps counts fits the size.
 */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";

export const needs = ["reports"];

const PAGE = 4096;
const BASE = 2 ** 40;
const RANGE = 64;
/** Between ranges of CPUs, and never touched by them. */
const FIXED_PAGES = 3;
const CPUS = 4;
const PRIVATE_ANON_FIXED = 0x32;
const RIGHTS = /^(rw-p|r--p|---p|r-xp)$/;

const rangeAt = (cpu: number): number => BASE + cpu * (RANGE + FIXED_PAGES + 2) * PAGE;
const fixedAt = (cpu: number): number => rangeAt(cpu) + (RANGE + 1) * PAGE;

export function setup({ processes, paging }: Kernel): number {
  processes.start();
  const mm = processes.spaces.make();
  processes.use(mm);
  for (let cpu = 0; cpu < CPUS; cpu++) {
    map(processes, mm, fixedAt(cpu), FIXED_PAGES, 5);
    paging.user.read(fixedAt(cpu));
  }
  processes.use(0);
  return mm;
}

export function run(
  kernel: Kernel,
  _options: ProgramOptions,
  shared: unknown,
): { lines: number; reads: number } {
  const mm = shared as number;
  kernel.processes.use(mm);
  const seen = { lines: 0, reads: 0 };
  for (let done = 0; kernel.more(done); done++) {
    if (kernel.cpu.id % 2 === 0) change(kernel, mm);
    else {
      seen.lines += look(kernel.proc(done % 2 === 0 ? "self/maps" : "self/smaps"));
      seen.reads++;
    }
    kernel.cpu.endOperation();
  }
  kernel.processes.use(0);
  return seen;
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, shared: unknown): void {
  kernel.processes.spaces.put(shared as number);
}

function change({ cpu, processes, paging }: Kernel, mm: number): void {
  const { random } = cpu;
  const first = random.below(RANGE);
  const pages = 1 + random.below(Math.min(12, RANGE - first));
  const at = rangeAt(cpu.id) + first * PAGE;
  const what = random.below(4);
  if (what === 0) processes.calls.munmap(mm, at, pages * PAGE);
  else if (what === 1) processes.calls.mprotect(mm, at, pages * PAGE, random.below(2));
  else {
    map(processes, mm, at, pages, 3);
    for (let k = 0; k < pages; k++) paging.user.write(at + k * PAGE, k);
  }
}

function map({ calls }: Kernel["processes"], mm: number, address: number, pages: number, prot: number): void {
  const got = calls.mmap(mm, {
    address,
    bytes: pages * PAGE,
    prot,
    flags: PRIVATE_ANON_FIXED,
    file: null,
    offset: 0,
  });
  if (got !== address) throw new Error(`mmap gave ${got}`);
}

/** The number of mappings. */
function look(text: string): number {
  let last = 0;
  let size = 0;
  let fixed = 0;
  const found = text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) (\S+) .*$|^Rss: +(\d+) kB$/gm);
  let lines = 0;
  for (const [line, from, to, rights, rss] of found) {
    if (rss !== undefined) {
      if (Number(rss) > size) throw new Error(`${rss} kB of ${size} are resident`);
      continue;
    }
    const [start, end] = [from, to].map((digits) => Number.parseInt(digits, 16));
    if (start < last || end <= start || start % PAGE !== 0 || end % PAGE !== 0 || !RIGHTS.test(rights))
      throw new Error(`after ${last.toString(16)} comes ${line}\n${text}`);
    const cpu = Math.round((start - fixedAt(0)) / (rangeAt(1) - rangeAt(0)));
    if (start === fixedAt(cpu)) {
      if (end !== start + FIXED_PAGES * PAGE || rights !== "r-xp") throw new Error(`fixed: ${line}`);
      fixed++;
    }
    size = (end - start) / 1024;
    last = end;
    lines++;
  }
  if (fixed !== CPUS) throw new Error(`${fixed} fixed mappings of ${CPUS}\n${text}`);
  return lines;
}
