/** What the kernel does where a CPU is known to be between two pieces of work.  Installed once, by RCU. */
export interface CpuHooks {
  /**
   * Soft interrupts are pending at the end of an operation, or after interrupts unless they came while preemption was
   * disabled: no lock is held, interrupts are on.
   */
  runSoftirqs(): void;
  /** The CPU's task is about to sleep, with interrupts on and no lock that spins. */
  beforeSleep(): void;
  /** Preemption is possible again after `setNeedResched`; interrupts may be off. */
  reschedule(): void;
  /** Before the CPU sleeps and after.  Neither may wait for anything: a kick would be lost. */
  idleEnter(): void;
  idleExit(): void;
}
