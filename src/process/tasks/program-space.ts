/**
 * The address space that a program begins with: a page of code, room for a heap above it, a stack at the top.
 *
 * Linux: fs/binfmt_elf.c load_elf_binary, fs/exec.c setup_arg_pages (131072 bytes below STACK_TOP), without randomization.
 */

import { PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";
import { type AddressSpaces, TASK_SIZE } from "../address-spaces.ts";
import { MapFlag } from "../mmap.ts";
import type { SystemCalls } from "../system-calls.ts";
import type { MmRef } from "../vm-area.ts";
import { Prot } from "../vm-flags.ts";

/** Where a position-independent program is put: two thirds of the way up.  Linux: ELF_ET_DYN_BASE. */
const TEXT = 0x5555_5555_4000;
const STACK_BYTES = 33 * PAGE_BYTES;
/** Below the stack with room to grow.  Linux: mmap_base, with the default stack limit of 8 MiB and its gap. */
const GAP_BYTES = 128 << 20;

export interface ProgramSpaceParts {
  readonly spaces: AddressSpaces;
  readonly calls: SystemCalls;
}

/** With one user; 0 without memory.  @may-sleep */
export function makeProgramSpace({ spaces, calls }: ProgramSpaceParts): MmRef {
  const mm = spaces.make(TASK_SIZE - GAP_BYTES);
  if (mm === 0) return 0;
  const fixed = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
  const request = { file: null, offset: 0 };
  const text = { address: TEXT, bytes: PAGE_BYTES, prot: Prot.READ | Prot.EXEC, flags: fixed };
  const stack = {
    address: TASK_SIZE - STACK_BYTES,
    bytes: STACK_BYTES,
    prot: Prot.READ | Prot.WRITE,
    flags: fixed | MapFlag.GROWSDOWN | MapFlag.STACK,
  };
  for (const area of [text, stack]) {
    if (calls.mmap(mm, { ...request, ...area }) >= 0) continue;
    spaces.put(mm);
    return 0;
  }
  spaces.placeHeap(mm, TEXT + PAGE_BYTES);
  // As if a word of arguments lay at the top.
  spaces.placeImage(mm, TEXT, TEXT + PAGE_BYTES, TASK_SIZE - WORD_BYTES);
  return mm;
}
