/** The grammar of /proc/vmallocinfo, the host's and ours.  A line that it does not know is an error. */

export interface VmallocRow {
  readonly start: string;
  readonly end: string;
  readonly bytes: number;
  /** What follows the size, in order. */
  readonly fields: readonly string[];
  readonly pages: number;
  /** Pages by node. */
  readonly nodes: ReadonlyMap<number, number>;
}

const LINE = /^0x([0-9a-f]{16})-0x([0-9a-f]{16}) (?=.{7})( *\d+) (.+)$/;
const BUSY =
  /^(?:0x[0-9a-f]+|[\w.]+\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \[[\w-]+\])?)(?: pages=(\d+))?(?: phys=0x[0-9a-f]{16})?(?: (?:ioremap|sparse|vmalloc|vmap|user|dma-coherent|vpages))*((?: N\d+=\d+)*)$/;

export function parseVmallocinfo(text: string): VmallocRow[] {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const found = LINE.exec(line);
      if (found === null) throw new Error(`no line of vmallocinfo: ${line}`);
      const [, start, end, size, rest] = found;
      const busy = BUSY.exec(rest);
      if (busy === null && rest !== "vm_map_ram" && rest !== "unpurged vm_area")
        throw new Error(`vmallocinfo: fields ${rest}`);
      const nodes = [...(busy?.[2] ?? "").matchAll(/N(\d+)=(\d+)/g)].map(
        ([, node, pages]) => [Number(node), Number(pages)] as const,
      );
      return {
        start,
        end,
        bytes: Number(size),
        fields: rest.split(" "),
        pages: Number(busy?.[1] ?? 0),
        nodes: new Map(nodes),
      };
    });
}
