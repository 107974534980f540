/** A terminal as a screen that is drawn anew, and single keys; the terminal is put back however the program ends. */

const ESC = "\u001b[";
const CTRL_C = "\u0003";

export class Screen {
  private readonly keys: string[] = [];
  private onKey: (() => void) | null = null;
  private isOpen = true;

  /** Null where there is no terminal to draw on and to read keys from. */
  static open(): Screen | null {
    return process.stdout.isTTY && process.stdin.isTTY ? new Screen() : null;
  }

  private constructor() {
    process.stdin.setRawMode(true);
    process.stdin.resume();
    process.stdin.on("data", this.read);
    process.on("exit", this.close);
    // A buffer of its own, without a cursor.
    process.stdout.write(`${ESC}?1049h${ESC}?25l`);
  }

  /** As many lines as there is room for. */
  draw(lines: readonly string[]): void {
    const { rows = 24, columns = 80 } = process.stdout;
    const shown = lines.slice(0, rows - 1).map((line) => `${line.slice(0, columns)}${ESC}K`);
    process.stdout.write(`${ESC}H${shown.join("\r\n")}${ESC}J`);
  }

  /** The next key within `seconds`, or "". */
  key(seconds: number, signal: AbortSignal): Promise<string> {
    return new Promise((done) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.onKey = null;
        signal.removeEventListener("abort", finish);
        done(this.keys.shift() ?? "");
      };
      const timer = setTimeout(finish, this.keys.length > 0 ? 0 : Math.max(0, seconds) * 1000);
      this.onKey = finish;
      signal.addEventListener("abort", finish);
    });
  }

  readonly close = (): void => {
    if (!this.isOpen) return;
    this.isOpen = false;
    process.off("exit", this.close);
    process.stdin.off("data", this.read);
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stdout.write(`${ESC}?25h${ESC}?1049l`);
  };

  private readonly read = (data: Buffer): void => {
    for (const key of data.toString("utf8")) {
      // A raw terminal sends the key and no signal.
      if (key === CTRL_C) process.kill(process.pid, "SIGINT");
      else this.keys.push(key);
    }
    this.onKey?.();
  };
}
