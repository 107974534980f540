import { describe, expect, test } from "vitest";
import { Task, TaskFlag } from "../../../src/sync/task.ts";
import { syncOnOneThread } from "../../support/sync-parts.ts";

describe("tasks", () => {
  test("each CPU runs its own, with a name and a number", () => {
    const parts = syncOnOneThread(3);
    expect(parts.map((p) => p.tasks.describeCurrent())).toEqual([
      "program/0 (1)",
      "program/1 (2)",
      "program/2 (3)",
    ]);
    const [{ tasks, cpu }] = parts;
    expect(tasks.current).toBe(cpu.current);
    tasks.rename(tasks.current, "a name that is too long");
    expect(tasks.nameOf(tasks.current)).toBe("a name that is ");
  });

  test("CPUs beyond those for programs run kernel threads", () => {
    const [{ tasks, cpu, slots }] = syncOnOneThread(2);
    tasks.format(2, 1);
    expect(cpu.memory.read(slots.tasks.of(1) + Task.flags)).toBe(TaskFlag.KTHREAD);
    expect(tasks.nameOf(slots.tasks.of(1))).toBe("kthread/1");
    expect(tasks.has(TaskFlag.KTHREAD)).toBe(false);
  });

  test("allocation contexts nest", () => {
    const [{ tasks }] = syncOnOneThread(1);
    const { MEMALLOC_NOIO, MEMALLOC_NOFS } = TaskFlag;
    const outer = tasks.save(MEMALLOC_NOIO);
    const inner = tasks.save(MEMALLOC_NOIO);
    const other = tasks.save(MEMALLOC_NOFS);
    expect(tasks.flags).toBe(MEMALLOC_NOIO | MEMALLOC_NOFS);
    tasks.restore(MEMALLOC_NOFS, other);
    tasks.restore(MEMALLOC_NOIO, inner);
    expect(tasks.has(MEMALLOC_NOIO)).toBe(true);
    tasks.restore(MEMALLOC_NOIO, outer);
    expect(tasks.flags).toBe(0);
    expect(() => tasks.restore(MEMALLOC_NOIO, MEMALLOC_NOFS)).toThrow(
      "task program/0 (1): restores flag 524288 from 262144",
    );
  });
});
