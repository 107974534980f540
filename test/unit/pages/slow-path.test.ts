import { describe, expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import {
  type AllocRequest,
  CompactResult,
  type ReclaimHooks,
  TaskRight,
} from "../../../src/mm/pages/reclaim-hooks.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { NOWARN, NORETRY, RETRY_MAYFAIL, NOFAIL, MEMALLOC, NOMEMALLOC, THISNODE, HIGH } = GfpFlag;

/** A zone of 1024 pages with min 100, low 125, high 150; `calls` records what the slow path asked for. */
function machineOf(hooks: Partial<ReclaimHooks> = {}, cpus = 1): PageFixture & { calls: string[] } {
  const calls: string[] = [];
  const base: Partial<ReclaimHooks> = {
    wakeKswapd: () => void calls.push("kswapd"),
    directReclaim: (request) => {
      calls.push("reclaim");
      return hooks.directReclaim?.(request) ?? 0;
    },
    directCompact: (request, priority) => {
      calls.push(`compact ${priority}`);
      return hooks.directCompact?.(request, priority) ?? { result: CompactResult.SKIPPED, captured: 0 };
    },
    outOfMemory: (request) => {
      calls.push("oom");
      return hooks.outOfMemory?.(request) ?? false;
    },
  };
  const { reclaimablePages, taskRights } = hooks;
  const machine = pageFixture({
    cpus,
    zones: [{ startPfn: 1024, pages: 1024, min: 100, batch: 1, highMin: 0, highMax: 0 }],
    hooks: { ...base, ...(reclaimablePages && { reclaimablePages }), ...(taskRights && { taskRights }) },
  });
  return { ...machine, calls };
}

/** Leaves `free` free pages. */
function drainTo(machine: PageFixture, free: number): number[] {
  const held: number[] = [];
  for (let left = 1024; left > free; left--) held.push(take(machine, 0));
  return held;
}

const free = ({ pages, zones }: PageFixture): number => pages.vmstat.zoneStateSnapshot(zones[0], 0);

describe("how far each kind of request may go", () => {
  /** Free pages left when the first allocation fails. */
  function floor(gfp: number, hooks: Partial<ReclaimHooks> = {}): number {
    const machine = machineOf(hooks);
    while (machine.pages.allocPages(gfp | NOWARN, 0) !== 0) {}
    return free(machine);
  }
  test.each([
    ["GFP_KERNEL, to the min mark", Gfp.KERNEL, 100],
    ["GFP_NOWAIT, too", Gfp.NOWAIT, 100],
    ["__GFP_HIGH, to half of it", Gfp.KERNEL | HIGH, 50],
    ["GFP_ATOMIC, to three eighths", Gfp.ATOMIC, 38],
    ["GFP_ATOMIC without emergency memory, as __GFP_HIGH", Gfp.ATOMIC | NOMEMALLOC, 50],
    ["__GFP_MEMALLOC, to the last page", Gfp.KERNEL | MEMALLOC, 0],
    ["__GFP_MEMALLOC with __GFP_NOMEMALLOC, not", Gfp.KERNEL | MEMALLOC | NOMEMALLOC, 100],
  ])("%s", (_name, gfp, left) => {
    expect(floor(gfp)).toBe(left);
  });

  test("a task that reclaims may have everything, an OOM victim half of the reserve", () => {
    expect(floor(Gfp.KERNEL, { taskRights: () => TaskRight.MEMALLOC })).toBe(0);
    expect(floor(Gfp.KERNEL, { taskRights: () => TaskRight.OOM_VICTIM })).toBe(50);
  });
});

describe("the order of attempts", () => {
  test("between low and min: kswapd is woken, and the page comes from the reserve for that", () => {
    const machine = machineOf();
    drainTo(machine, 120);
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBeGreaterThan(0);
    expect(machine.calls).toEqual(["kswapd"]);
  });

  test("who may not wait only wakes kswapd and fails", () => {
    const machine = machineOf();
    drainTo(machine, 30);
    expect(machine.pages.allocPages(Gfp.ATOMIC, 0)).toBe(0);
    expect(machine.calls).toEqual(["kswapd", "kswapd"]);
    expect(machine.reports).toHaveLength(1);
  });

  test("who may wait reclaims; kernel memory of order 1 and up compacts first, then after each reclaim", () => {
    const machine = machineOf();
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL | NORETRY, 0)).toBe(0);
    expect(machine.calls).toEqual(["kswapd", "kswapd", "reclaim"]);
    machine.calls.length = 0;
    expect(machine.pages.allocPages(Gfp.KERNEL | NORETRY, 1)).toBe(0);
    expect(machine.calls).toEqual(["kswapd", "compact 2", "kswapd", "reclaim", "compact 1"]);
    machine.calls.length = 0;
    expect(machine.pages.allocPages(Gfp.KERNEL | GfpFlag.MOVABLE | NORETRY, 1)).toBe(0);
    expect(machine.calls).toEqual(["kswapd", "kswapd", "reclaim", "compact 1"]);
  });

  test("a costly request that must not retry ends when compaction was not even tried", () => {
    const machine = machineOf();
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL | NORETRY, 4)).toBe(0);
    expect(machine.calls).toEqual(["kswapd", "compact 2"]);
  });

  test("a costly request tries one round, unless it says __GFP_RETRY_MAYFAIL", () => {
    const machine = machineOf();
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL, 4)).toBe(0);
    expect(machine.calls.filter((call) => call === "reclaim")).toHaveLength(1);
    expect(machine.calls).not.toContain("oom");
    const progress = machineOf({ directReclaim: () => 1, reclaimablePages: () => 1000 });
    drainTo(progress, 50);
    expect(progress.pages.allocPages(Gfp.KERNEL | RETRY_MAYFAIL, 4)).toBe(0);
    expect(progress.calls.filter((call) => call === "reclaim").length).toBeGreaterThan(1);
    expect(progress.calls).not.toContain("oom");
  });

  test("without __GFP_IO nothing is compacted", () => {
    const machine = machineOf();
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.NOIO | NORETRY, 2)).toBe(0);
    expect(machine.calls).not.toContain("compact 2");
  });

  test("NOIO and NOFS tasks take the flags from every request", () => {
    const seen: number[] = [];
    const note = (request: AllocRequest): number => {
      seen.push(request.gfp);
      return 0;
    };
    const noio = machineOf({ taskRights: () => TaskRight.NOIO, directReclaim: note });
    drainTo(noio, 50);
    noio.pages.allocPages(Gfp.KERNEL | NORETRY, 0);
    const nofs = machineOf({ taskRights: () => TaskRight.NOFS, directReclaim: note });
    drainTo(nofs, 50);
    nofs.pages.allocPages(Gfp.KERNEL | NORETRY, 0);
    expect(seen.map((gfp) => gfp & Gfp.KERNEL)).toEqual([Gfp.NOIO, Gfp.NOFS]);
  });
});

describe("rounds", () => {
  test("go on while reclaim frees, and end with what it freed", () => {
    const held: number[] = [];
    let rounds = 0;
    const machine = machineOf({
      directReclaim: () => {
        if (++rounds < 5) return 1;
        for (let i = 0; i < 80; i++)
          machine.pages.buddy.freeBlock(machine.zones[0], held.pop() ?? 0, 0, 1, false);
        return 80;
      },
      reclaimablePages: () => 500,
    });
    held.push(...drainTo(machine, 50));
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBeGreaterThan(0);
    expect(rounds).toBe(5);
  });

  test("without progress end after 16, then the OOM killer is asked", () => {
    const machine = machineOf({ reclaimablePages: () => 500 });
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBe(0);
    expect(machine.calls.filter((call) => call === "reclaim")).toHaveLength(17);
    expect(machine.calls.at(-1)).toBe("oom");
  });

  test("end at once when all that is reclaimable would not suffice", () => {
    const machine = machineOf({ reclaimablePages: () => 50 });
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBe(0);
    expect(machine.calls.filter((call) => call === "reclaim")).toHaveLength(1);
  });

  test("go on after a kill", () => {
    const held: number[] = [];
    const machine = machineOf({
      outOfMemory: () => {
        while (held.length > 700)
          machine.pages.buddy.freeBlock(machine.zones[0], held.pop() ?? 0, 0, 1, false);
        return true;
      },
    });
    held.push(...drainTo(machine, 50));
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBeGreaterThan(0);
    expect(machine.calls.filter((call) => call === "oom")).toHaveLength(1);
  });

  test.each([
    ["of high order", Gfp.KERNEL | RETRY_MAYFAIL, 4],
    ["that may fail", Gfp.KERNEL | RETRY_MAYFAIL, 0],
    ["for this node", Gfp.KERNEL | THISNODE, 0],
    ["for low memory", Gfp.KERNEL | Gfp.DMA32, 0],
  ])("nobody is killed for a request %s", (_what, gfp, order) => {
    const machine = machineOf();
    drainTo(machine, 50);
    expect(machine.pages.allocPages(gfp, order)).toBe(0);
    expect(machine.calls).not.toContain("oom");
  });

  test("nobody is killed when the high mark holds again", () => {
    const held: number[] = [];
    const machine = machineOf({
      reclaimablePages: () => {
        // Others free their memory after this round's last attempt.
        while (held.length > 0) machine.pages.buddy.freeBlock(machine.zones[0], held.pop() ?? 0, 0, 1, false);
        return -2000;
      },
    });
    held.push(...drainTo(machine, 50));
    expect(machine.pages.allocPages(Gfp.KERNEL, 0)).toBeGreaterThan(0);
    expect(machine.calls).not.toContain("oom");
  });
});

describe("before a round gives up", () => {
  test("pages on other CPUs' lists are fetched", () => {
    const machine = pageFixture({
      cpus: 2,
      zones: [{ startPfn: 1024, pages: 256, batch: 16, highMin: 200, highMax: 200 }],
    });
    const held = Array.from({ length: 100 }, () => machine.allocators[1].allocPage(Gfp.KERNEL));
    for (const pfn of held) machine.allocators[1].freePage(pfn);
    const got: number[] = [];
    for (;;) {
      const pfn = machine.pages.allocPage(Gfp.KERNEL | NOWARN);
      if (pfn === 0) break;
      got.push(pfn);
    }
    expect(new Set(got).size).toBe(256);
  });

  test("the HIGHATOMIC reserve is let go, the last pageblock too", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 51200, min: 40_000 }] });
    for (let i = 0; i < 3; i++) take(machine, 10);
    const first = machine.pages.allocPages(Gfp.ATOMIC | NOWARN, 3);
    for (let mark = 0; mark < 4; mark++) machine.memory.write(machine.zones[0] + Zone.watermark + mark, 4);
    expect(machine.memory.read(machine.zones[0] + Zone.nrReservedHighatomic)).toBe(512);
    let last = first;
    while (last !== 0) last = machine.pages.allocPages(Gfp.KERNEL | NOWARN, 3);
    expect(machine.memory.read(machine.zones[0] + Zone.nrReservedHighatomic)).toBe(0);
    expect(machine.pages.frames.blockType(first)).not.toBe(MigrateType.HIGHATOMIC);
    machine.check();
  });
});

describe("compaction", () => {
  test("may hand over the block that it made", () => {
    let machine: PageFixture;
    const hooks = {
      directCompact: () => ({ result: CompactResult.SUCCESS, captured: take(machine, 3) }),
    };
    machine = machineOf(hooks);
    for (let i = 0; i < 930; i++) take(machine, 0);
    const pfn = machine.pages.allocPages(Gfp.KERNEL, 3);
    expect(pfn).toBeGreaterThan(0);
    expect(machine.pages.pageCount(pfn)).toBe(1);
  });

  test("tries harder when it fails while reclaim makes progress, then gives up", () => {
    const machine = machineOf({
      directReclaim: () => 1,
      directCompact: () => ({ result: CompactResult.COMPLETE, captured: 0 }),
    });
    drainTo(machine, 50);
    expect(machine.pages.allocPages(Gfp.KERNEL | RETRY_MAYFAIL, 1)).toBe(0);
    const priorities = machine.calls.filter((call) => call.startsWith("compact"));
    expect(new Set(priorities)).toEqual(new Set(["compact 2", "compact 1", "compact 0"]));
  });
});

describe("__GFP_NOFAIL", () => {
  test("takes from the reserve at the end", () => {
    const machine = machineOf();
    drainTo(machine, 60);
    expect(machine.pages.allocPages(Gfp.KERNEL | NOFAIL, 0)).toBeGreaterThan(0);
  });

  test("goes on while reclaim makes progress, however long, and beyond what costly orders may", () => {
    const held: number[] = [];
    let rounds = 0;
    const machine = machineOf({
      directReclaim: () => {
        if (++rounds === 40) {
          for (const pfn of held.splice(0)) machine.pages.buddy.freeBlock(machine.zones[0], pfn, 0, 1, false);
        }
        return 1;
      },
    });
    held.push(...drainTo(machine, 20));
    expect(machine.pages.allocPages(Gfp.KERNEL | NOFAIL, 4)).toBeGreaterThan(0);
    expect(rounds).toBe(40);
  });

  test("is a bug when nothing makes progress, or when it may not wait", () => {
    const machine = machineOf();
    drainTo(machine, 20);
    expect(() => machine.pages.allocPages(Gfp.KERNEL | NOFAIL, 0)).toThrow(
      "__GFP_NOFAIL allocation cannot succeed, since nothing makes progress any more: order:0, mode:0x8cc0(GFP_KERNEL|__GFP_NOFAIL)",
    );
    expect(() => machine.pages.allocPages(Gfp.NOWAIT | NOFAIL, 0)).toThrow(
      "__GFP_NOFAIL without __GFP_DIRECT_RECLAIM: order:0, mode:0xa800(GFP_NOWAIT|__GFP_NOFAIL)",
    );
  });
});

test("waiting is forbidden in atomic context", () => {
  const machine = machineOf();
  machine.cpus[0].preemptDisable();
  expect(() => machine.pages.allocPages(Gfp.KERNEL, 0)).toThrow(
    "BUG: sleeping function called from invalid context at alloc_pages",
  );
  expect(machine.pages.allocPages(Gfp.ATOMIC, 0)).toBeGreaterThan(0);
  machine.cpus[0].preemptEnable();
});
