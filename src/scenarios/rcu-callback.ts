/**
 * A reader looks twice at an element that an updater replaces and frees by an RCU callback; between the looks interrupts
 * are taken.  The callback must not run before the reader's section has ended.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { FunctionId } from "../sync/functions.ts";
import { RcuHead } from "../sync/rcu-callbacks.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "rcu-callback",
  summary: "an element is freed by an RCU callback while readers look at it",
  cpus: 2,
  mutants: ["rcu-callback-too-early"],
};

const Element = struct("element", { value: word("rcu:updater"), rcu: embed(RcuHead, "holder") });
const Published = struct("published", {
  current: word("atomic", "pointer:element"),
  freed: word("atomic", "counter"),
  old: embed(Element, "holder"),
  next: embed(Element, "holder"),
});
const element = Element;
const published = Published;
const VALUE = 42;
const POISON = -1;
const READS = 2;
/** A walk hands over at every step: only a long section spans what the other CPU does meanwhile. */
const LOOKS = 160;

export function setup({ pages, memory }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  memory.write(at + published.old + element.value, VALUE);
  memory.write(at + published.next + element.value, VALUE);
  memory.store(at + published.current, at + published.old);
  return at;
}

export function attach({ regions, functions, memory }: Kernel, _options: object, at: Pointer): FunctionId {
  regions.add("published", at, Published);
  return functions.register("scenario_free_element", function freeElement(_cpu, head) {
    memory.write(head - element.rcu + element.value, POISON);
    memory.add(at + published.freed, 1);
  });
}

export function run(kernel: Kernel, _options: object, at: Pointer, free: FunctionId): void {
  if (kernel.cpu.id === 0) replace(kernel, at, free);
  else for (let i = 0; i < READS; i++) look(kernel, at);
}

function replace({ memory, rcu }: Kernel, at: Pointer, free: FunctionId): void {
  const old = memory.exchange(at + published.current, at + published.next);
  rcu.call(old + element.rcu, free);
  rcu.barrier();
}

function look({ memory, rcu, cpu }: Kernel, at: Pointer): void {
  rcu.readLock();
  const seen = rcu.dereference(at + published.current);
  for (let i = 0; i < LOOKS; i++) {
    const value = memory.read(seen + element.value);
    if (value !== VALUE)
      bug(`cpu ${cpu.id} reads ${value} from an element in its read section: it was freed`);
    cpu.poll();
  }
  rcu.readUnlock();
  cpu.endOperation();
}

export function check({ memory }: Kernel, _options: object, _values: unknown, at: Pointer): void {
  const freed = memory.read(at + published.freed);
  if (freed !== 1) bug(`${freed} elements were freed, 1 was replaced`);
}
