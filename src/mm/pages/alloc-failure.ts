/**
 * The allocation-failure report: at most ten in five seconds, none with __GFP_NOWARN.
 *
 * Linux: mm/page_alloc.c warn_alloc; lib/ratelimit.c.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { GfpFlag } from "./gfp.ts";
import { formatGfp } from "./gfp-names.ts";
import { PageGlobals } from "./page-globals.ts";
import type { AllocRequest } from "./reclaim-hooks.ts";
import { type ShowMemParts, showMem } from "./show-mem.ts";

const globalField = PageGlobals;
const INTERVAL_NS = 5e9;
const BURST = 10;

/** The report's text, or "" when it is not to be printed. */
export function allocFailure(parts: ShowMemParts, cpu: Cpu, request: AllocRequest): string {
  const { gfp, order, nodeMask } = request;
  if ((gfp & GfpFlag.NOWARN) !== 0) return "";
  const missed = admitReport(cpu, parts.frames.globals);
  if (missed < 0) return "";
  const suppressed = missed > 0 ? `warn_alloc: ${missed} callbacks suppressed\n` : "";
  const nodes = nodeMask === -1 ? "(null)" : formatNodes(nodeMask);
  return (
    `${suppressed}swapper/${cpu.id}: page allocation failure: order:${order}, ` +
    `mode:0x${gfp.toString(16)}(${formatGfp(gfp)}), nodemask=${nodes}\n` +
    `CPU: ${cpu.id}\n${showMem(parts, request.highestZone)}`
  );
}

/** Reports that were suppressed since the last printed one; -1 when this one is. */
function admitReport(cpu: Cpu, globals: number): number {
  const { memory } = cpu;
  const lock = globals + globalField.warnLock;
  // As in Linux, a report that would have to wait for the lock is dropped.
  if (memory.cas(lock, 0, 1) !== 0) return -1;
  const now = cpu.nowNs();
  const begin = memory.readFloat64(globals + globalField.warnBeginNs);
  const printed = memory.read(globals + globalField.warnPrinted);
  const isNewInterval = printed === 0 || now - begin >= INTERVAL_NS;
  let missed = -1;
  if (isNewInterval) {
    missed = memory.read(globals + globalField.warnMissed);
    memory.writeFloat64(globals + globalField.warnBeginNs, now);
    memory.write(globals + globalField.warnPrinted, 1);
    memory.write(globals + globalField.warnMissed, 0);
  } else if (printed < BURST) {
    missed = 0;
    memory.write(globals + globalField.warnPrinted, printed + 1);
  } else {
    memory.write(globals + globalField.warnMissed, memory.read(globals + globalField.warnMissed) + 1);
  }
  memory.store(lock, 0);
  return missed;
}

/** A node mask as ranges, for example `0-1,3`.  Linux: %*pbl. */
function formatNodes(mask: number): string {
  const ranges: string[] = [];
  for (let node = 0; node < 32; node++) {
    if (((mask >> node) & 1) === 0) continue;
    const start = node;
    while (node < 31 && ((mask >> (node + 1)) & 1) !== 0) node++;
    ranges.push(start === node ? `${start}` : `${start}-${node}`);
  }
  return ranges.join(",");
}
