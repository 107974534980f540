/**
 * Reports on processes: one grammar reads the host's and ours; our lines print the host's numbers again; and ours agree with
 * each other and with what the program has done.
 */

import { spawn } from "node:child_process";
import { existsSync, openSync, readFileSync, readSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { renderReport } from "../../../src/machine/inspect.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { MmContext } from "../../../src/mm/pgtable/mm-context.ts";
import { Madvice } from "../../../src/process/madvise.ts";
import { MapFlag } from "../../../src/process/mmap.ts";
import { contextOf, type MmRef, MmStruct } from "../../../src/process/vm-area.ts";
import { Prot } from "../../../src/process/vm-flags.ts";
import * as layout from "../../../src/procfs/layout.ts";
import * as lines from "../../../src/procfs/pid/layout.ts";
import { compareKeys, hostFile } from "../../support/host-proc.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";
import * as grammar from "../../support/pid-grammar.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const { READ, WRITE, EXEC } = Prot;
const { PRIVATE, SHARED, ANONYMOUS, FIXED, LOCKED, GROWSDOWN } = MapFlag;

let machine: Kernels;
let kernel: Kernel;
/** A program with text, heap, stack, memory of its own, shared memory and a file; and two children that wrote a little. */
let parent: MmRef;
let children: MmRef[];

const at = (page: number): number => BASE + page * PAGE;
const pidOf = (mm: MmRef): number => kernel.memory.read(contextOf(mm) + MmContext.ctxId);
const report = (name: string, mm: MmRef): string => renderReport(kernel, `${pidOf(mm)}/${name}`);
const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

function map(page: number, pages: number, prot: number, flags: number, file = 0): void {
  const { calls, files } = kernel.processes;
  const request = { address: at(page), bytes: pages * PAGE, prot, flags: flags | FIXED, offset: 0 };
  const got = calls.mmap(parent, { ...request, file: file === 0 ? null : files.describe(file) });
  expect(got).toBe(at(page));
}

function touch(page: number, pages: number, value = 0): void {
  const { user } = kernel.paging;
  for (let k = 0; k < pages; k++) {
    if (value === 0) user.read(at(page + k));
    else user.write(at(page + k), value + k);
  }
}

beforeEach(() => {
  machine = kernelsOf({ cpus: 2, nodes: 2, memory: "32MiB" });
  [kernel] = machine.kernels;
  const { processes, memory } = kernel;
  const { shmem, calls, spaces } = processes;
  processes.start();
  parent = spaces.make();
  processes.use(parent);
  const file = shmem.create();
  shmem.truncate(file, 6 * PAGE);
  shmem.write(file, 0, [1, 2, 3]);
  map(0, 4, READ | EXEC, PRIVATE, file);
  spaces.placeHeap(parent, at(64));
  calls.brk(parent, at(70) + 100);
  map(100, 16, READ | WRITE, PRIVATE | ANONYMOUS);
  map(116, 4, READ, PRIVATE | ANONYMOUS);
  map(128, 8, READ | WRITE, SHARED | ANONYMOUS);
  map(140, 6, READ | WRITE, PRIVATE, file);
  map(150, 3, READ | WRITE, PRIVATE | ANONYMOUS | LOCKED);
  map(160, 2, 0, PRIVATE | ANONYMOUS);
  map(200, 5, READ | WRITE, PRIVATE | ANONYMOUS | GROWSDOWN);
  memory.writeFloat64(parent + MmStruct.startStack, at(204) + 256);
  memory.writeFloat64(parent + MmStruct.startCode, at(0));
  memory.writeFloat64(parent + MmStruct.endCode, at(3) + 10);
  processes.files.put(file);
  touch(0, 2);
  touch(64, 3, 10);
  touch(100, 10, 100);
  touch(116, 2);
  touch(128, 4, 200);
  touch(140, 3);
  touch(141, 1, 7);
  touch(203, 2, 1);
  children = [0, 1].map((k) => {
    const child = calls.fork(parent);
    processes.use(child);
    touch(100 + k, 2, 300);
    touch(128, 2);
    processes.use(parent);
    return child;
  });
});

describe("a process's reports agree", () => {
  const everybody = (): MmRef[] => [parent, ...children];

  test("resident memory is the same number in smaps, smaps_rollup, status, statm, pagemap and numa_maps", () => {
    for (const mm of everybody()) {
      const rows = grammar.parseSmaps(report("smaps", mm));
      const rss = sum(rows.map(({ sizes }) => sizes.get("Rss")!));
      const [rollup] = grammar.parseSmaps(report("smaps_rollup", mm));
      const status = grammar.parseStatus(report("status", mm)).kilobytes;
      const [size, resident, shared, text, , data] = grammar.parseStatm(report("statm", mm));
      const pages = [...grammar.parsePagemap(report("pagemap", mm)).values()];
      const numa = grammar.parseNumaMaps(report("numa_maps", mm));
      expect(rss).toBeGreaterThan(40);
      expect(rollup.sizes.get("Rss")).toBe(rss);
      expect(status.get("VmRSS")).toBe(rss);
      expect(resident * 4).toBe(rss);
      expect(sum(numa.flatMap(({ nodes }) => [...nodes.values()])) * 4).toBe(rss);
      // Two pages of zeros are there, and are nobody's; a child finds them again by a fault.
      const zeros = mm === parent ? 2 : 0;
      expect(pages.filter(({ isPresent }) => isPresent).length - zeros).toBe(resident);
      expect(shared * 4).toBe(status.get("RssFile")! + status.get("RssShmem")!);
      expect(pages.filter(({ isFile }) => isFile).length).toBe(shared);
      expect(status.get("RssAnon")).toBe(sum(rows.map(({ sizes }) => sizes.get("Anonymous")!)));
      expect(size * 4).toBe(sum(rows.map(({ sizes }) => sizes.get("Size")!)));
      expect(status.get("VmSize")).toBe(size * 4);
      expect(text).toBe(4);
      expect(data * 4).toBe(status.get("VmData")! + status.get("VmStk")!);
    }
  });

  test("each page is shared or private, clean or dirty; rollup adds up; locks are the parent's alone", () => {
    for (const mm of everybody()) {
      const rows = grammar.parseSmaps(report("smaps", mm));
      const [rollup] = grammar.parseSmaps(report("smaps_rollup", mm));
      for (const { sizes } of rows) {
        const parts = ["Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty"];
        expect(sum(parts.map((key) => sizes.get(key)!))).toBe(sizes.get("Rss"));
      }
      for (const key of [
        "Shared_Clean",
        "Shared_Dirty",
        "Private_Clean",
        "Private_Dirty",
        "Referenced",
        "Anonymous",
      ])
        expect(rollup.sizes.get(key)).toBe(sum(rows.map(({ sizes }) => sizes.get(key)!)));
      const kinds = ["Pss_Anon", "Pss_File", "Pss_Shmem"].map((key) => rollup.sizes.get(key)!);
      expect(rollup.sizes.get("Pss")! - sum(kinds)).toBeLessThan(3);
      const locked = rows.filter(({ flags }) => flags.includes("lo"));
      expect(sum(locked.map(({ sizes }) => sizes.get("Size")!))).toBe(mm === parent ? 12 : 0);
      expect(grammar.parseStatus(report("status", mm)).kilobytes.get("VmLck")).toBe(mm === parent ? 12 : 0);
    }
  });

  test("shares of all processes add up to the frames that they have", () => {
    const frames = new Set<number>();
    const zero = new Set<number>();
    for (const mm of everybody())
      for (const [, { pfn, isPresent }] of grammar.parsePagemap(report("pagemap", mm)))
        if (isPresent) frames.add(pfn);
    for (const [address, { pfn }] of grammar.parsePagemap(report("pagemap", parent)))
      if (address === at(116)) zero.add(pfn);
    expect(zero.size).toBe(1);
    const pss = everybody().map((mm) => grammar.parseSmaps(report("smaps_rollup", mm))[0].sizes.get("Pss")!);
    const kilobytes = (frames.size - 1) * 4;
    // Each process's sum is rounded down to kilobytes.
    expect(sum(pss)).toBeGreaterThanOrEqual(kilobytes - everybody().length);
    expect(sum(pss)).toBeLessThanOrEqual(kilobytes);
  });

  test("a page that three processes have is shared, with a third of it for each; a child's copy is private", () => {
    const row = (mm: MmRef, page: number) =>
      grammar.parseSmaps(report("smaps", mm)).find(({ start }) => start === at(page))!.sizes;
    // Ten pages: two were copied by each child, one of these by both.
    const inParent = row(parent, 100);
    expect([inParent.get("Private_Dirty"), inParent.get("Shared_Dirty")]).toEqual([4, 36]);
    const inChild = row(children[0], 100);
    expect([inChild.get("Private_Dirty"), inChild.get("Shared_Dirty")]).toEqual([8, 32]);
    // Private to it: 8; with the parent alone: 1 page; with all: 7 pages.
    expect(inChild.get("Pss")).toBe(Math.floor(8 + 4 / 2 + (7 * 4) / 3));
    const map = grammar.parsePagemap(report("pagemap", children[0]));
    expect(map.get(at(100))!.isExclusive).toBe(true);
    expect(map.get(at(105))!.isExclusive).toBe(false);
    const numa = grammar.parseNumaMaps(report("numa_maps", parent)).find(({ start }) => start === at(100))!;
    expect(Object.fromEntries(numa.counts)).toMatchObject({ anon: 10, dirty: 10, mapmax: 3, active: 0 });
  });

  test("maps and smaps name the same ranges; ranges ascend and have names", () => {
    const rows = grammar.parseMaps(report("maps", parent));
    expect(grammar.parseSmaps(report("smaps", parent)).map(({ start, end }) => [start, end])).toEqual(
      rows.map(({ start, end }) => [start, end]),
    );
    const of = (page: number) => rows.find(({ start }) => start === at(page))!;
    expect(of(0)).toMatchObject({
      permissions: "r-xp",
      name: "/memfd: (deleted)",
      device: "00:01",
      inode: 1,
    });
    expect(of(64)).toMatchObject({ end: at(71), permissions: "rw-p", name: "[heap]", inode: 0 });
    expect(of(128)).toMatchObject({ permissions: "rw-s", name: "/dev/zero (deleted)", offset: 0 });
    expect(of(160)).toMatchObject({ permissions: "---p", name: "" });
    expect(of(200)).toMatchObject({ name: "[stack]" });
    rows.reduce((last, { start, end }) => {
      expect(start).toBeGreaterThanOrEqual(last);
      return end;
    }, 0);
  });
});

describe("what a program does is seen", () => {
  const rowOf = (page: number) =>
    grammar.parseSmaps(report("smaps", parent)).find(({ start }) => start === at(page))!;

  beforeEach(() => {
    for (const child of children) kernel.processes.spaces.put(child);
    map(300, 8, READ | WRITE, PRIVATE | ANONYMOUS);
    touch(300, 8, 1);
  });

  test("COLD pages are not referenced until they are looked at", () => {
    expect(rowOf(300).sizes.get("Referenced")).toBe(32);
    kernel.processes.calls.madvise(parent, at(300), 8 * PAGE, Madvice.COLD);
    expect(rowOf(300).sizes.get("Referenced")).toBe(0);
    touch(302, 1);
    expect(rowOf(300).sizes.get("Referenced")).toBe(4);
  });

  test("FREE pages are lazily free, and clean, until they are written", () => {
    kernel.processes.calls.madvise(parent, at(300), 4 * PAGE, Madvice.FREE);
    const { sizes } = rowOf(300);
    expect([sizes.get("LazyFree"), sizes.get("Private_Clean"), sizes.get("Pss_Dirty")]).toEqual([16, 16, 16]);
    touch(300, 1, 5);
    expect(rowOf(300).sizes.get("LazyFree")).toBe(12);
    expect(rowOf(300).sizes.get("Anonymous")).toBe(32);
  });

  test("peaks stay when memory goes; a lock is a flag and a size", () => {
    const before = grammar.parseStatus(report("status", parent)).kilobytes;
    kernel.processes.calls.munmap(parent, at(300), 8 * PAGE);
    const after = grammar.parseStatus(report("status", parent)).kilobytes;
    expect(after.get("VmSize")).toBe(before.get("VmSize")! - 32);
    expect(after.get("VmPeak")).toBe(before.get("VmSize"));
    expect(after.get("VmRSS")).toBe(before.get("VmRSS")! - 32);
    kernel.processes.calls.locking.mlock(parent, at(128), PAGE);
    expect(rowOf(128).flags).toEqual(["rd", "wr", "sh", "mr", "mw", "me", "ms", "lo", "sd"]);
    expect(rowOf(128).sizes.get("Locked")).toBe(4);
    expect(rowOf(129).sizes.get("Locked")).toBe(0);
  });

  test("a process that is not there is refused, and those that are named; self is the task's own", () => {
    expect(renderReport(kernel, "self/statm")).toBe(report("statm", parent));
    expect(() => renderReport(kernel, "999/maps")).toThrow(
      `there is no process 999; valid are ${pidOf(parent)}`,
    );
    expect(() => renderReport(kernel, "1/cmdline")).toThrow(
      "proc: there is no report 1/cmdline; valid are maps, smaps",
    );
    expect(renderReport(kernel, "ps")).toMatch(
      /^ +TGID +PID S CPU .* COMMAND\n +- +\d+ - +- +\d+ +\d+ .*\(address space\)\n$/,
    );
    kernel.processes.use(0);
    kernel.processes.spaces.put(parent);
    expect(() => renderReport(kernel, "self/maps")).toThrow("there is no process self; there is none now");
    kernel.rcu.barrier();
    machine.check();
  });
});

describe("one grammar for the host's files and ours", () => {
  const ours = (name: string): string => report(name, parent);
  const printed = (text: string): string[] => text.slice(0, -1).split("\n");

  test("maps", () => {
    for (const text of [ours("maps"), hostFile("self/maps")]) {
      if (text === null) continue;
      const rows = grammar.parseMaps(text);
      // Numbers beyond 2^53 lose digits: the host's vsyscall page.
      const exact = rows.filter(({ end }) => Number.isSafeInteger(end));
      expect(exact.length).toBeGreaterThan(5);
      expect(exact.map(lines.mapsLine)).toEqual(printed(text).slice(0, exact.length));
    }
  });

  test("smaps and smaps_rollup", () => {
    for (const name of ["smaps", "smaps_rollup"]) {
      const keys: string[][] = [];
      for (const text of [ours(name), hostFile(`self/${name}`)]) {
        if (text === null) continue;
        const rows = grammar.parseSmaps(text).filter(({ end }) => Number.isSafeInteger(end));
        const all = new Set(printed(text));
        const again = rows.flatMap((row) => [
          lines.mapsLine(row),
          ...[...row.sizes].map(([key, value]) => layout.meminfoLine(key, value)),
          ...[...row.numbers].map(([key, value]) => lines.plainLine(key, value)),
        ]);
        expect(again.filter((line) => !all.has(line))).toEqual([]);
        keys.push([...rows[0].sizes.keys(), ...rows[0].numbers.keys()]);
      }
      if (keys.length === 2) compareKeys(name, keys[0], keys[1]);
    }
  });

  test("status and statm", () => {
    const text = hostFile("self/status");
    const mine = grammar.parseStatus(ours("status"));
    expect(grammar.parseStatm(ours("statm"))).toHaveLength(7);
    if (text === null) return;
    const hosts = grammar.parseStatus(text);
    expect(new Set(printed(text))).toEqual(
      new Set([...printed(text), ...[...hosts.kilobytes].map(([key, kb]) => lines.statusKbLine(key, kb))]),
    );
    compareKeys("status", mine.keys, hosts.keys);
    expect(grammar.parseStatm(readFileSync("/proc/self/statm", "utf8"))).toHaveLength(7);
  });

  test("numa_maps", () => {
    const mine = grammar.parseNumaMaps(ours("numa_maps"));
    expect(mine.map(({ what }) => what)).toEqual(
      expect.arrayContaining(["heap", "stack", "file=/memfd:\\040(deleted)"]),
    );
    const text = hostFile("self/numa_maps");
    if (text !== null) expect(grammar.parseNumaMaps(text).length).toBeGreaterThan(5);
  });

  test("pagemap: the host's entries are those that its smaps counts", async () => {
    // To be read from its begin it is as long as the address space.
    if (!existsSync("/proc/self/pagemap")) return;
    const sleeper = spawn("sleep", ["60"]);
    try {
      const smapsOf = (): string => readFileSync(`/proc/${sleeper.pid}/smaps`, "utf8");
      const map = openSync(`/proc/${sleeper.pid}/pagemap`, "r");
      const entry = Buffer.alloc(8);
      const presentIn = ({ start, end }: grammar.SmapsRow): number => {
        let present = 0;
        for (let address = start; address < end; address += PAGE) {
          readSync(map, entry, 0, 8, (address / PAGE) * 8);
          if (grammar.decodePagemap(entry.readBigUInt64LE()).isPresent) present++;
        }
        return present;
      };
      // It sleeps when it has a stack that does not change any more.
      const counts = (): string => {
        const before = smapsOf();
        const rows = grammar.parseSmaps(before).filter(({ name }) => name === "[stack]");
        const found = rows.map((row) => [presentIn(row) * 4, row.sizes.get("Rss")]);
        const isSame = rows.length > 0 && before === smapsOf();
        return isSame && found.every(([pages, rss]) => pages === rss) ? "equal" : JSON.stringify(found);
      };
      await expect.poll(counts, { timeout: 20_000 }).toBe("equal");
    } finally {
      sleeper.kill();
    }
  });
});
