/** An entry as a check reads it. */
export interface TlbEntry {
  /** Of the page's first byte, without the sign of the kernel's half. */
  readonly pageLow: number;
  readonly pageHigh: number;
  /** 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB. */
  readonly level: number;
  readonly pcid: number;
  readonly isGlobal: boolean;
  readonly pfn: number;
  readonly rights: number;
}
