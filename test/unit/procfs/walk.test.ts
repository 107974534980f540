/** `smpsim walk` says what the MMU does, at every place of the example and many others, and what comes of a fault. */

import { describe, expect, test } from "vitest";
import { setup, type TourStop } from "../../../src/experiment/tour/program.ts";
import { faultCode } from "../../../src/hardware/mmu.ts";
import { PageFault } from "../../../src/hardware/page-table-entry.ts";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { physOf } from "../../../src/memory/units.ts";
import { processesOf } from "../../../src/procfs/pid/process.ts";
import { walk } from "../../../src/procfs/walk/walk.ts";
import { answerWalk } from "../../../src/procfs/walk/walk-answer.ts";
import { walkText } from "../../../src/procfs/walk/walk-text.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const { USER, WRITE, INSTR } = PageFault;
const ACCESSES = [0, WRITE, USER, USER | WRITE, USER | INSTR];

interface Scene {
  readonly kernels: Kernels;
  readonly kernel: Kernel;
  readonly stops: readonly TourStop[];
}

function scene(levels: 4 | 5 = 4): Scene {
  const kernels = kernelsOf({ cpus: 1, memory: "32MiB", pageLevels: levels });
  const [kernel] = kernels.kernels;
  return { kernels, kernel, stops: setup(kernel) };
}

const stopAbout = ({ stops }: Scene, what: string): TourStop =>
  stops.find((stop) => stop.what.includes(what))!;
const accessOf = ({ access }: TourStop): number =>
  USER | (access === "write" ? WRITE : access === "exec" ? INSTR : 0);

test.each([4, 5] as const)(
  "a walk of %i levels ends where the MMU's does, with the same error code",
  (levels) => {
    const { kernel, stops } = scene(levels);
    const { user } = kernel.paging;
    const [first] = processesOf(kernel);
    kernel.processes.use(first.mm);
    const more = [
      0,
      4095,
      0x7fff_ffff_ffff,
      -1,
      -0x7780_0000_0000 + 2 ** 24 + 8,
      -0x3700_0000_0000,
      2 ** 48 + 1,
    ];
    const places = [...stops.map(({ address }) => address), ...more];
    for (const address of places)
      for (const access of ACCESSES) {
        // The walk only looks; what it has seen is what the MMU finds then.
        const seen = walk(kernel, first.mm, address, access);
        const found = user.translate(address, access);
        const where = `0x${address.toString(16)}, access ${access}`;
        if (found < 0) expect([where, seen.fault?.code]).toEqual([where, faultCode(found)]);
        else
          expect([where, seen.fault, Math.floor(seen.end!.physical / 4) * 4]).toEqual([
            where,
            null,
            physOf(found),
          ]);
        expect(seen.steps.length).toBeLessThanOrEqual(levels);
      }
  },
);

test("a walk sets no bit, and the TLB learns nothing", () => {
  const { kernel, stops } = scene();
  const [first] = processesOf(kernel);
  const state = (): unknown => [
    kernel.cpu.tlb.entries(),
    stops.map((s) => walk(kernel, first.mm, s.address, USER)),
  ];
  const before = state();
  for (const { address } of stops) walk(kernel, first.mm, address, USER | WRITE);
  expect(state()).toEqual(before);
});

describe("the example's places", () => {
  test.each([
    ["the program's text", null, "done", 0],
    ["copy on write", "copy on write: 2 entries share the page", "done", 1],
    ["the child has copied", null, "done", 0],
    ["the page of zeros", "the first write: a page of zeros of its own", "done", 1],
    ["demand zero", "demand zero: a new page of zeros is mapped, writable", "done", 1],
    ["shared memory", null, "done", 0],
    ["PROT_NONE", "SIGSEGV (ACCERR)", "SIGSEGV (ACCERR)", 0],
    ["the stack", null, "done", 0],
    ["it grows", "a stack: it grows", "done", 1],
    ["no table either", "SIGSEGV (MAPERR)", "SIGSEGV (MAPERR)", 0],
    ["a kernel address", "SIGSEGV: kernel addresses", "SIGSEGV", 0],
  ])("%s: %s", (what, action, outcome, faults) => {
    const here = scene();
    const stop = stopAbout(here, what);
    const request = { address: stop.address, pid: stop.pid, access: accessOf(stop), touches: true };
    const answer = answerWalk(here.kernel, request);
    if (action === null) expect(answer.walk.fault).toBe(null);
    else expect(answer.action).toContain(action);
    expect(answer.touched!.outcome).toContain(outcome);
    if (outcome === "done") {
      expect(answer.touched!.faults).toBe(action === null ? 0 : faults);
      expect(answer.touched!.walk.fault).toBe(null);
      expect(answer.touched!.tlb.map(({ text }) => text)).toEqual([
        expect.stringContaining(`TLB: 4 KiB page at frame 0x${answer.touched!.frame!.pfn.toString(16)}`),
        expect.stringContaining("page-walk cache"),
      ]);
    }
    here.kernel.rcu.barrier();
    here.kernels.check();
  });
});

test("the text names levels, entries, flags, rights and the error code", () => {
  const here = scene();
  const stop = stopAbout(here, "copy on write");
  const request = { address: stop.address, pid: stop.pid, access: USER | WRITE, touches: true };
  const text = walkText(answerWalk(here.kernel, request));
  for (const part of [
    /^Address 0x0000000000411000, a write by a program$/m,
    /^in mapping 00410000-0041c000 rw-p 00000000 00:00 0 +\[heap\]$/m,
    /PGD 0 \(bits 47-39\) \| PUD 0 \(bits 38-30\) \| PMD 2 \(bits 29-21\) \| PTE 17 \(bits 20-12\) \| offset 0/,
    /^ {2}P4D +- +folded into the PGD/m,
    /^ {2}PTE +17 +0x[0-9a-f]+ +0x[0-9a-f]+088 +0x8000[0-9a-f]{9}065 +page, frame 0x[0-9a-f]+ +P US A D NX$/m,
    /rights of all levels together: user, read$/m,
    /anonymous memory; 2 references, mapped 2 times/,
    /#PF: user write access, error_code\(0x0007\) - permissions violation/,
    /The access is made: done, 1 page fault resolved/,
    /cpu 0 remembers, PCID \d: TLB: 4 KiB page at frame 0x[0-9a-f]+, read write, dirty/,
  ])
    expect(text).toMatch(part);
});

test("five levels, a large page, a non-canonical address and the kernel's own tables", () => {
  const { kernel } = scene(5);
  const direct = answerWalk(kernel, {
    address: -0x7780_0000_0000 + 4096,
    pid: null,
    access: 0,
    touches: false,
  });
  expect(direct.walk.steps.map(({ name }) => name)).toEqual(["PGD", "P4D", "PUD", "PMD"]);
  expect(direct.walk.end).toMatchObject({
    pageBytes: 2 ** 21,
    physical: 4096,
    rights: "kernel only, read write",
  });
  const odd = answerWalk(kernel, { address: 2 ** 57, pid: null, access: USER, touches: false });
  expect(odd.walk.fault).toMatchObject({ level: "address", code: USER });
  expect(() => answerWalk(kernel, { address: 0, pid: 77, access: USER, touches: false })).toThrow(
    "there is no process 77; valid are",
  );
});
