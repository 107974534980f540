/** What a program gets for an access that cannot be made good.  Linux: siginfo_t of SIGSEGV and SIGBUS. */

export type SignalName = "SEGV" | "BUS";
/** MAPERR: nothing is mapped; ACCERR: not with these rights; ADRERR: past the end of the object; OOM: no memory. */
export type SignalCode = "MAPERR" | "ACCERR" | "ADRERR" | "OOM";

export class UserSignal extends Error {
  override readonly name = "UserSignal";
  readonly signal: SignalName;
  readonly code: SignalCode;
  readonly address: number;

  constructor(signal: SignalName, code: SignalCode, address: number) {
    super(`SIG${signal} (${code}) at 0x${address.toString(16)}`);
    this.signal = signal;
    this.code = code;
    this.address = address;
  }
}
