/**
 * What a machine is told about its address spaces, as a kernel is by sysctl and a login by limits.
 *
 * Linux: sysctl vm.overcommit_memory and its kin, vm.max_map_count, vm.mmap_min_addr; include/uapi/asm-generic/resource.h;
 * capabilities CAP_SYS_ADMIN, CAP_SYS_RAWIO and CAP_IPC_LOCK.  Differs: limits and capabilities belong to an address space; a child has its
 * parent's.
 */

export interface VmSettings {
  /** 0 guess, 1 always, 2 never more than the limit. */
  readonly overcommitMemory: number;
  /** Percent of memory that mode 2 may commit, unless kilobytes (not 0) say it. */
  readonly overcommitRatio: number;
  readonly overcommitKbytes: number;
  /** Of what mode 2 may commit this is kept for who is privileged, and for recovery; null: by Linux's formulas. */
  readonly adminReserveKbytes: number | null;
  readonly userReserveKbytes: number | null;
  readonly maxMapCount: number;
  /** Nothing is mapped below, but by who is privileged and asks for it. */
  readonly mmapMinAddr: number;
  /** Limits of new address spaces, bytes; Infinity: none. */
  readonly rlimitAs: number;
  readonly rlimitData: number;
  readonly rlimitStack: number;
  readonly rlimitMemlock: number;
  /** New address spaces have all capabilities. */
  readonly privileged: boolean;
}

export const DEFAULT_VM_SETTINGS: VmSettings = {
  overcommitMemory: 0,
  overcommitRatio: 50,
  overcommitKbytes: 0,
  adminReserveKbytes: null,
  userReserveKbytes: null,
  maxMapCount: 65_530,
  mmapMinAddr: 4096,
  rlimitAs: Infinity,
  rlimitData: Infinity,
  rlimitStack: 8 * 2 ** 20,
  rlimitMemlock: 8 * 2 ** 20,
  privileged: true,
};

/** What a program may do beyond its limits; bits as Linux numbers them. */
export const Capability = {
  /** Map below `mmapMinAddr`. */
  SYS_RAWIO: 1 << 17,
  /** Lock more memory than the limit says. */
  IPC_LOCK: 1 << 14,
  /** Use what mode 2 keeps for administrators. */
  SYS_ADMIN: 1 << 21,
} as const;
export const ALL_CAPABILITIES = Capability.SYS_RAWIO | Capability.IPC_LOCK | Capability.SYS_ADMIN;
