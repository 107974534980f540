/** Progress on stderr: one line that is rewritten on a terminal, one line a step elsewhere. */

export class ProgressLine {
  private readonly isTerminal = process.stderr.isTTY === true;
  private shown = "";
  private startedAt = performance.now();

  /** Shows `what` at `done` of `total`; a terminal shows `detail` too, elsewhere only a new `what` is said. */
  show(what: string, done: number, total: number, detail = ""): void {
    if (!this.isTerminal) {
      if (what !== this.shown) process.stderr.write(`  ${what}\n`);
      this.shown = what;
      return;
    }
    const text = detail === "" ? what : `${what}, ${detail}`;
    const width = 24;
    const filled = Math.round((done / Math.max(1, total)) * width);
    const bar = "█".repeat(filled) + "░".repeat(width - filled);
    process.stderr.write(`\r\u001b[K${bar} ${done}/${total}  ${text}${this.timeLeft(done, total)}`);
    this.shown = what;
  }

  /** Removes the line, for what is printed next. */
  clear(): void {
    if (this.isTerminal && this.shown !== "") process.stderr.write("\r\u001b[K");
    this.shown = "";
  }

  private timeLeft(done: number, total: number): string {
    if (done < 2) return "";
    const seconds = ((performance.now() - this.startedAt) / done / 1000) * (total - done);
    return `, about ${Math.ceil(seconds)} s left`;
  }
}
