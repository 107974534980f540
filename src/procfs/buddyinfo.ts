/** /proc/buddyinfo: free blocks of each order in each zone.  Linux: mm/vmstat.c frag_show_print. */

import { FREE_AREA_WORDS, FreeArea } from "../mm/pages/free-area.ts";
import { ORDERS } from "../mm/pages/migrate-types.ts";
import { Zone } from "../mm/pages/zone.ts";
import { buddyLine } from "./layout.ts";
import type { ProcSource } from "./source.ts";
import { underZoneLock, zonesOf } from "./zones.ts";

export function buddyinfo(source: ProcSource): string {
  const { memory } = source.pages.frames;
  const lines = zonesOf(source, "populated").map((zone) => {
    const blocks = underZoneLock(source, zone, () =>
      Array.from({ length: ORDERS }, (_, order) =>
        memory.read(zone.ref + Zone.freeArea + order * FREE_AREA_WORDS + FreeArea.nrFree),
      ),
    );
    return buddyLine(zone.node, zone.name, blocks);
  });
  return lines.map((line) => `${line}\n`).join("");
}
