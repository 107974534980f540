/**
 * Several CPUs on the test's own thread that answer each other: whenever one waits, the others take their interrupts.
 * A wait that this does not end is a deadlock, and throws.
 */

import { bug } from "../../src/memory/bug.ts";
import type { ImageLayout } from "../../src/memory/image.ts";
import { type Solo, soloCpu } from "./solo.ts";

const IMAGE_START = 4096;

/** `cpus` CPUs over `bytes` of RAM; `during` is called in each wait, with the CPU that waits, and may end it. */
export function oneThread(
  cpus: number,
  during: (cpu: number) => void = () => {},
  bytes: number = 4 << 20,
): Solo {
  const solo = soloCpu({ cpus, bytes });
  for (const cpu of solo.all) {
    let idle = 0;
    const answer = (): void => {
      for (const other of solo.all) other.poll();
      during(cpu.id);
    };
    cpu.turn.relax = () => answer();
    cpu.turn.park = (timeoutNs) => {
      answer();
      if (timeoutNs === Infinity && ++idle > 1000) bug(`cpu ${cpu.id} waits for ever`);
    };
  }
  return solo;
}

/** Gives what `layout` declares addresses in RAM, as boot does. */
export function bindImage(layout: ImageLayout): void {
  const perCpuStart = IMAGE_START + Math.ceil(layout.staticWords / 1024) * 1024;
  layout.bind({
    staticStart: IMAGE_START,
    perCpuStart,
    unitWords: Math.ceil(layout.perCpuWords / 1024) * 1024,
  });
}
