/** The settings of address spaces: Linux's sysctls of overcommitment and mappings, limits, and whether programs are privileged. */

import { UsageError } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { DEFAULT_VM_SETTINGS, type VmSettings } from "../process/vm-settings.ts";

/** What a user writes; sizes in bytes or as "64KiB". */
export interface VmChoice {
  /** vm.overcommit_memory: 0 guess (default), 1 always, 2 never more than the limit. */
  readonly overcommitMemory?: number;
  /** vm.overcommit_ratio: percent of memory for mode 2.  Default 50. */
  readonly overcommitRatio?: number;
  /** vm.overcommit_kbytes: the same in kilobytes; 0, the default: the ratio says it. */
  readonly overcommitKbytes?: number;
  /** vm.admin_reserve_kbytes.  Default: a 32nd of free memory, at most 8 MiB. */
  readonly adminReserveKbytes?: number;
  /** vm.user_reserve_kbytes.  Default: a 32nd of free memory, at most 128 MiB. */
  readonly userReserveKbytes?: number;
  /** vm.max_map_count.  Default 65530. */
  readonly maxMapCount?: number;
  /** vm.mmap_min_addr, bytes.  Default 4096. */
  readonly mmapMinAddr?: number;
  /** RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK; "unlimited" for none. */
  readonly rlimitAs?: number | string;
  readonly rlimitData?: number | string;
  readonly rlimitStack?: number | string;
  readonly rlimitMemlock?: number | string;
  /** Programs have CAP_IPC_LOCK, CAP_SYS_ADMIN and CAP_SYS_RAWIO.  Default true. */
  readonly privileged?: boolean;
}

const LIMIT_KEYS = ["rlimitAs", "rlimitData", "rlimitStack", "rlimitMemlock"] as const;
const NUMBERS = [
  ["overcommitMemory", 0, 2],
  ["overcommitRatio", 0, 2 ** 31 - 1],
  ["overcommitKbytes", 0, 2 ** 43],
  ["adminReserveKbytes", 0, 2 ** 43],
  ["userReserveKbytes", 0, 2 ** 43],
  ["maxMapCount", 0, 2 ** 31 - 1],
  ["mmapMinAddr", 0, 2 ** 47 - PAGE_BYTES],
] as const;

export const VM_CHOICE_KEYS: readonly (keyof VmChoice)[] = [
  ...NUMBERS.map(([key]) => key),
  ...LIMIT_KEYS,
  "privileged",
];

/** Checked and completed; `parseBytes` reads a size. */
export function vmSettingsOf(
  choice: VmChoice,
  parseBytes: (field: string, text: number | string) => number,
): VmSettings {
  const chosen = Object.fromEntries(
    VM_CHOICE_KEYS.filter((key) => choice[key] !== undefined).map((key) => [key, choice[key]]),
  ) as VmChoice;
  for (const [key, min, max] of NUMBERS) {
    const value = chosen[key];
    if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) continue;
    throw new UsageError(`${key}: ${value} is not valid; valid are whole numbers from ${min} to ${max}`);
  }
  const limits = LIMIT_KEYS.filter((key) => chosen[key] !== undefined).map((key) => {
    const given = chosen[key] as number | string;
    const bytes = given === "unlimited" || given === Infinity ? Infinity : parseBytes(key, given);
    if (bytes === Infinity || (Number.isInteger(bytes) && bytes >= 0)) return [key, bytes];
    throw new UsageError(`${key}: ${given} is not valid; valid are whole numbers of bytes and "unlimited"`);
  });
  const minAddr = chosen.mmapMinAddr ?? DEFAULT_VM_SETTINGS.mmapMinAddr;
  return {
    ...DEFAULT_VM_SETTINGS,
    ...(chosen as Partial<VmSettings>),
    ...(Object.fromEntries(limits) as Partial<VmSettings>),
    mmapMinAddr: Math.ceil(minAddr / PAGE_BYTES) * PAGE_BYTES,
  };
}
