/** The setting `failslab`: Linux's boot parameter of that name.  Linux: lib/fault-inject.c setup_fault_attr. */

import { UsageError } from "../memory/bug.ts";
import { type FaultSettings, NO_FAULTS } from "../mm/slab/failslab.ts";

const MOST = 2 ** 31 - 1;
const FIELDS = [
  { name: "interval", min: 1, max: MOST },
  { name: "probability", min: 0, max: 100 },
  { name: "space", min: 0, max: MOST },
  { name: "times", min: -1, max: MOST },
] as const;
const FORM = "interval,probability,space,times and perhaps all (requests that may reclaim fail, too)";

/** "1,100,0,-1", "1,100,0,-1,all". */
export function parseFailslab(text: string): FaultSettings {
  const parts = text.split(",");
  const [, , , , which] = parts;
  if (parts.length < FIELDS.length || parts.length > FIELDS.length + 1 || (which ?? "all") !== "all")
    throw new UsageError(`failslab: "${text}" is not valid; valid is ${FORM}`);
  const values = FIELDS.map(({ name, min, max }, i) => {
    const value = Number(parts[i]);
    if (parts[i] !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new UsageError(
      `failslab: ${name} "${parts[i]}" is not valid; valid are whole numbers from ${min} to ${max}`,
    );
  });
  const [interval, probability, space, times] = values;
  return { ...NO_FAULTS, interval, probability, space, times, ignoreGfpReclaim: which === undefined };
}
