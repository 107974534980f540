/** A CPU sleeps in a wait queue until a letter is there; another posts it and wakes. No wake-up may fall between. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { WaitQueueHead } from "../sync/wait-queue.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "lost-wakeup",
  summary: "a CPU sleeps until another posts a letter; the wake-up must not be lost",
  cpus: 2,
  mutants: ["wait-queue-lost-wakeup"],
};

const Mailbox = struct("mailbox", {
  queue: embed(WaitQueueHead, "atomic"),
  letters: word("atomic", "counter"),
  taken: word("atomic", "counter"),
});
const mailbox = Mailbox;
const LETTERS = 2;

export function setup({ pages, waitQueues }: Kernel): Pointer {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  waitQueues.format(at + mailbox.queue);
  return at;
}

export function attach({ regions }: Kernel, _options: object, at: Pointer): void {
  regions.add("mailbox", at, Mailbox);
}

export function run(kernel: Kernel, _options: object, at: Pointer): void {
  for (let i = 0; i < LETTERS; i++) {
    if (kernel.cpu.id === 0) post(kernel, at);
    else take(kernel, at);
    kernel.cpu.endOperation();
  }
}

function post({ memory, waitQueues }: Kernel, at: Pointer): void {
  memory.add(at + mailbox.letters, 1);
  waitQueues.wakeAll(at + mailbox.queue);
}

function take({ memory, waitQueues, cpus }: Kernel, at: Pointer): void {
  const taken = memory.add(at + mailbox.taken, 1);
  const wanted = Math.min(Math.floor(taken / (cpus - 1)) + 1, LETTERS);
  waitQueues.waitEvent(at + mailbox.queue, () => memory.load(at + mailbox.letters) >= wanted);
}

export function check(
  { memory, waitQueues, cpus }: Kernel,
  _options: object,
  _values: unknown,
  at: Pointer,
): void {
  waitQueues.check(at + mailbox.queue);
  const letters = memory.read(at + mailbox.letters);
  const taken = memory.read(at + mailbox.taken);
  if (letters !== LETTERS) bug(`${letters} letters were posted, expected ${LETTERS}`);
  if (taken !== LETTERS * (cpus - 1)) bug(`${taken} letters were taken, expected ${LETTERS * (cpus - 1)}`);
}
