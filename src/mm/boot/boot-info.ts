/**
 * The boot record: where everything lies, at a fixed address that every CPU knows.
 *
 * The boot CPU writes it last; another CPU that finds no magic number there came too early, and one whose declarations
 * differ from the boot CPU's runs other code.
 */

import { bug } from "../../memory/bug.ts";
import type { ImageLayout } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { struct, word } from "../../memory/struct.ts";
import { frameOf } from "../../memory/units.ts";

export const BootInfo = struct("boot_info", {
  magic: word("boot"),
  cpus: word("boot", "counter"),
  /** Units of the per-CPU area: housekeeping CPUs included. */
  possibleCpus: word("boot", "counter"),
  nodes: word("boot", "counter"),
  imageStart: word("boot", "pointer:word"),
  staticWords: word("boot"),
  perCpuStart: word("boot", "pointer:word"),
  /** Declared per-CPU words; reserved and dynamic areas follow them in each unit. */
  perCpuWords: word("boot"),
  reservedWords: word("boot"),
  dynamicWords: word("boot"),
  /** From one CPU's unit to the next; may be more than a unit, what lies between is not the units'. */
  unitWords: word("boot"),
  memMap: word("boot", "pointer:page"),
  maxPfn: word("boot", "pfn"),
  /** First frame of mem_map's window beyond memory, or 0 when mem_map lies in memory itself. */
  windowPfn: word("boot", "pfn"),
});

/** Frame 1; frame 0 is null. */
export const BOOT_INFO = frameOf(1);
/** "boot". */
export const BOOT_MAGIC = 0x626f6f74;

export type BootRecord = { readonly [K in keyof typeof BootInfo]: number };

/** Reads the boot record.  A bug when the machine has not booted. */
export function readBootInfo(memory: Memory): BootRecord {
  const magic = memory.load(BOOT_INFO + BootInfo.magic);
  if (magic !== BOOT_MAGIC)
    bug(`boot record: magic is 0x${magic.toString(16)}: the boot CPU has not finished`);
  const entries = Object.entries(BootInfo).map(([name, at]) => [name, memory.read(BOOT_INFO + at)]);
  return Object.fromEntries(entries) as BootRecord;
}

/** Writes the boot record; the magic number comes last, marked, so that who sees it sees the rest. */
export function writeBootInfo(memory: Memory, record: Omit<BootRecord, "magic">): void {
  for (const [name, value] of Object.entries(record)) {
    memory.write(BOOT_INFO + BootInfo[name as keyof typeof BootInfo], value);
  }
  memory.store(BOOT_INFO + BootInfo.magic, BOOT_MAGIC);
}

/** Binds this CPU's declarations to what the boot CPU has placed.  A bug when they differ from the boot CPU's. */
export function attachMemory(memory: Memory, image: ImageLayout): BootRecord {
  const record = readBootInfo(memory);
  if (image.staticWords !== record.staticWords || image.perCpuWords !== record.perCpuWords) {
    bug(
      `kernel image of ${image.staticWords} static and ${image.perCpuWords} per-CPU words; ` +
        `the boot CPU has ${record.staticWords} and ${record.perCpuWords}: the CPUs run different code`,
    );
  }
  image.bind({
    staticStart: record.imageStart,
    perCpuStart: record.perCpuStart,
    unitWords: record.unitWords,
  });
  return record;
}
