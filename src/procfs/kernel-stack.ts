/**
 * Kernel stacks: how much of each has been in use at most, and the end of each.
 *
 * Linux prints it a task (SysRq-T with CONFIG_DEBUG_STACK_USAGE) and has no file of it.  Frames are counted with `checks` only.
 */

import { bug } from "../memory/bug.ts";
import type { ProcSource } from "./source.ts";

export function kernelStack(source: ProcSource): string {
  const stacks = source.stacks ?? bug("kernel_stack: this machine has no kernel stacks");
  const rows = stacks
    .use()
    .map(({ cpu, name, sizeBytes, usedBytes }) => [cpu, name, sizeBytes, usedBytes] as const);
  const line = (cells: readonly (string | number)[]): string =>
    `${String(cells[0]).padStart(4)} ${String(cells[1]).padEnd(16)}${cells
      .slice(2)
      .map((cell) => String(cell).padStart(8))
      .join("")}\n`;
  return [["cpu", "task", "size", "used", "left"], ...rows.map((row) => [...row, row[2] - row[3]])]
    .map(line)
    .join("");
}
