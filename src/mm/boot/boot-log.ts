/**
 * The boot log, as `dmesg` prints it.
 *
 * Its clock advances by what the boot does, not by the host's time, so that the same machine always prints the same log.
 */

import { PAGE_BYTES } from "../../memory/units.ts";

const LINE_NS = 20_000;

export class BootLog {
  readonly lines: string[] = [];
  private timeNs = 0;

  print(text: string): void {
    const us = Math.floor(this.timeNs / 1000);
    const seconds = String(Math.floor(us / 1_000_000)).padStart(5);
    this.lines.push(`[${seconds}.${String(us % 1_000_000).padStart(6, "0")}] ${text}`);
    this.timeNs += LINE_NS;
  }

  /** Work that took simulated time. */
  spend(ns: number): void {
    this.timeNs += ns;
  }
}

/** `[mem 0x0000000000001000-0x0000000000ffffff]` of the bytes from `start` up to `end`, exclusive. */
export function memRange(start: number, end: number): string {
  return `[mem ${hex64(start)}-${hex64(end - 1)}]`;
}

/** The same, of frames. */
export function pfnRange(startPfn: number, endPfn: number): string {
  return memRange(startPfn * PAGE_BYTES, endPfn * PAGE_BYTES);
}

/** A 64-bit number, as `%#018llx` prints it. */
export function hex64(value: number): string {
  return `0x${value.toString(16).padStart(16, "0")}`;
}
