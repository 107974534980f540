/**
 * Every CPU takes pages by a memory policy and reads them: where policies put pages, and what a line costs by node.
 *
 * Reads are single lines far apart, one page after the other in random order, so that no prefetcher sees them coming:
 * each is a miss to the memory of the page's node (Intel's Memory Latency Checker measures alike).  `pattern=stream`
 * reads each page from its first line on instead.
 *
 * In simulated time the figures are the profile's; in parallel mode they are those of the host, on which all RAM is one
 * buffer and nodes are only numbers.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug, UsageError } from "../memory/bug.ts";
import { FRAME_WORDS, frameOf, LINE_WORDS, NULL, type Pfn, type Pointer } from "../memory/units.ts";
import { NumaStat } from "../mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { MEMPOLICY_WORDS, PolicyMode } from "../mm/pages/mempolicy.ts";
import type { Metric, WorkloadDescription } from "./description.ts";
import { nodeMask } from "./parts/node-list.ts";
import { restingFreePages } from "./parts/page-share.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

const MODES = {
  local: PolicyMode.LOCAL,
  bind: PolicyMode.BIND,
  preferred: PolicyMode.PREFERRED,
  "preferred-many": PolicyMode.PREFERRED_MANY,
  interleave: PolicyMode.INTERLEAVE,
} as const;
type Policy = keyof typeof MODES;

const LINES = FRAME_WORDS / LINE_WORDS;

export const describe: WorkloadDescription = {
  name: "numa-access",
  summary: "Every CPU takes pages by a memory policy and reads them: a line's latency by node.",
  phases: ["alloc", "read", "free"],
  operation: "one page allocated, one line read, one page freed",
  options: {
    policy: {
      type: "choice",
      default: "interleave",
      choices: Object.keys(MODES),
      help: "where pages come from, as numactl's options of that name",
    },
    nodes: { type: "text", default: "all", help: "nodes of the policy: all, or as in 0,2-3; not for local" },
    pages: { type: "integer", default: 256, min: 1, max: 1_000_000, help: "pages that each CPU takes" },
    lines: { type: "integer", default: 4, min: 1, max: LINES, help: "lines that are read of each page" },
    zero: {
      type: "boolean",
      default: false,
      help: "zero pages when they are taken, as a program's are: shows how far the node is, but leaves lines in the cache",
    },
    pattern: {
      type: "choice",
      default: "random",
      choices: ["random", "stream"],
      help: "lines far apart in random pages, or a page's lines in order",
    },
  },
};

interface Shared {
  /** A policy for each CPU, a line apart. */
  readonly policies: Pointer;
  readonly nodes: number;
  readonly freePages: number;
  /** numa_interleave before the run. */
  readonly interleaved: number;
}

interface Value {
  /** Pages that came from each node. */
  readonly placed: readonly number[];
  /** Of a line of each node, ns; null where no page came from. */
  readonly latencyNs: readonly (number | null)[];
  readonly failed: number;
  readonly metrics: Readonly<Record<string, Metric>>;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const isLocal = options.policy === "local";
  if (isLocal && options.nodes !== "all")
    throw new UsageError(`nodes: "${options.nodes}" is not valid with policy=local, which has none`);
  const nodes = isLocal ? 0 : nodeMask(String(options.nodes), kernel.topology.nodes);
  const interleaved = interleavedPages(kernel);
  const freePages = restingFreePages(kernel);
  const policies = takeScratch(kernel, kernel.cpus * LINE_WORDS);
  for (let cpu = 0; cpu < kernel.cpus; cpu++) {
    const at = policies + cpu * LINE_WORDS;
    if (kernel.mempolicies.format(at, MODES[options.policy as Policy], nodes) !== 0)
      throw new UsageError(`nodes: "${options.nodes}" is not valid; valid are nodes with memory`);
  }
  return { policies, nodes, freePages, interleaved };
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): Value {
  const { cpu, mempolicies, pages } = kernel;
  const reader = new Reader(kernel, options);
  const placed: number[] = new Array(kernel.topology.nodes).fill(0);
  const wanted = options.pages as number;
  const gfp = Gfp.KERNEL | GfpFlag.NOWARN | (options.zero === true ? GfpFlag.ZERO : 0);
  let done = 0;
  let failed = 0;
  mempolicies.use((shared as Shared).policies + cpu.id * LINE_WORDS);
  do {
    const byNode: Pfn[][] = placed.map(() => []);
    kernel.phase("alloc", () => {
      let count = 0;
      for (let i = 0; i < wanted; i++) {
        const pfn = mempolicies.allocPages(gfp, 0);
        cpu.endOperation();
        if (pfn === 0) continue;
        byNode[nodeOf(kernel, pfn)].push(pfn);
        count++;
      }
      failed += wanted - count;
      return count;
    });
    reader.nextRound();
    kernel.phase("read", () => byNode.reduce((lines, pfns, node) => lines + reader.read(node, pfns), 0));
    kernel.phase("free", () => {
      for (const pfn of byNode.flat()) {
        pages.freePages(pfn, 0);
        cpu.endOperation();
      }
      return byNode.flat().length;
    });
    for (const [node, pfns] of byNode.entries()) placed[node] += pfns.length;
    done += wanted;
  } while (kernel.anotherRound(done));
  mempolicies.use(NULL);
  return {
    placed,
    latencyNs: reader.latencies(),
    failed,
    metrics: metricsOf(kernel, placed, reader, failed),
  };
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { policies, nodes, freePages, interleaved } = shared as Shared;
  freeScratch(kernel, policies, kernel.cpus * LINE_WORDS);
  const found = restingFreePages(kernel);
  if (found !== freePages) bug(`${found} pages are free after the run, ${freePages} were before it`);
  const counted = interleavedPages(kernel) - interleaved;
  for (const [cpu, value] of values.entries()) {
    const { placed, failed } = value as Value;
    if (options.policy === "bind") checkBound(cpu, placed, nodes);
    if (options.policy === "interleave" && failed === 0) checkEven(kernel, cpu, placed, nodes);
  }
  if (options.policy !== "interleave" && counted !== 0) bug(`numa_interleave rose by ${counted}`);
}

function checkBound(cpu: number, placed: readonly number[], nodes: number): void {
  const strayed = placed.findIndex((pages, node) => pages > 0 && ((nodes >> node) & 1) === 0);
  if (strayed >= 0)
    bug(`cpu ${cpu}: ${placed[strayed]} pages of node ${strayed}, the policy has 0x${nodes.toString(16)}`);
}

/** Interleaved pages that all landed where they were asked for are spread evenly. */
function checkEven(kernel: Kernel, cpu: number, placed: readonly number[], nodes: number): void {
  const { vmstat, frames } = kernel.pages;
  const misses = frames.populatedZones().some((zone) => vmstat.numaTotal(zone, NumaStat.numa_miss) > 0);
  const shares = placed.filter((_, node) => ((nodes & kernel.mempolicies.nodesWithMemory) >> node) & 1);
  if (!misses && Math.max(...shares) - Math.min(...shares) > 1)
    bug(`cpu ${cpu}: interleaved pages by node: ${placed.join(", ")}`);
}

function interleavedPages(kernel: Kernel): number {
  const { vmstat, frames } = kernel.pages;
  const zones = frames.populatedZones();
  return zones.reduce((sum, zone) => sum + vmstat.numaTotal(zone, NumaStat.numa_interleave), 0);
}

const nodeOf = ({ pages: { frames } }: Kernel, pfn: Pfn): number => frames.nodeOf(frames.pageOf(pfn));

function metricsOf(
  { topology, cpu }: Kernel,
  placed: readonly number[],
  reader: Reader,
  failed: number,
): Value["metrics"] {
  const metrics: Record<string, Metric> = { "failed allocations": { value: failed, unit: "pages" } };
  for (const [node, value] of placed.entries()) metrics[`node ${node}: pages`] = { value, unit: "pages" };
  for (const [node, value] of reader.latencies().entries()) {
    if (value === null) continue;
    metrics[`node ${node}: a line`] = { value, unit: "ns" };
    const distance = topology.distances[topology.cpuNode[cpu.id]][node];
    metrics[`distance ${distance}: a line`] = { value, unit: "ns" };
  }
  return metrics;
}

/** Reads pages and keeps the time by node. */
class Reader {
  private readonly kernel: Kernel;
  private readonly lines: number;
  private readonly isStream: boolean;
  private readonly elapsedNs: number[];
  private readonly readLines: number[];
  /** Rounds begun: each reads other lines, which nobody has in a cache from the round before. */
  private round = -1;
  /** What was read, so that reading is not idle. */
  private seen = 0;

  constructor(kernel: Kernel, options: ProgramOptions) {
    this.kernel = kernel;
    this.lines = options.lines as number;
    this.isStream = options.pattern === "stream";
    this.elapsedNs = new Array(kernel.topology.nodes).fill(0);
    this.readLines = new Array(kernel.topology.nodes).fill(0);
  }

  nextRound(): void {
    this.round++;
  }

  /** Reads the pages `pfns` of `node`; returns how many lines. */
  read(node: number, pfns: readonly Pfn[]): number {
    const { cpu } = this.kernel;
    const order = shuffled(pfns, (bound) => cpu.random.below(bound));
    const start = cpu.nowNs();
    if (this.isStream) for (const pfn of order) this.readStream(pfn);
    else for (let pass = 0; pass < this.lines; pass++) this.readFar(order, pass);
    this.elapsedNs[node] += cpu.nowNs() - start;
    this.readLines[node] += this.lines * order.length;
    cpu.endOperation();
    return this.lines * order.length;
  }

  latencies(): (number | null)[] {
    return this.readLines.map((lines, node) => (lines === 0 ? null : this.elapsedNs[node] / lines));
  }

  private readStream(pfn: Pfn): void {
    const { memory } = this.kernel;
    const frame = frameOf(pfn);
    for (let i = 0; i < this.lines; i++) {
      const line = (this.round * this.lines + i) % LINES;
      this.seen ^= memory.read(frame + line * LINE_WORDS);
    }
  }

  /** One line of each page.  In each pass another, and no two that follow each other are less than 27 lines apart. */
  private readFar(order: readonly Pfn[], pass: number): void {
    const { memory } = this.kernel;
    const offset = (((this.round * this.lines + pass) * 37) % LINES) * LINE_WORDS;
    for (const pfn of order) this.seen ^= memory.read(frameOf(pfn) + offset);
  }
}

function shuffled(pfns: readonly Pfn[], below: (bound: number) => number): Pfn[] {
  const order = [...pfns];
  for (let i = order.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

if (MEMPOLICY_WORDS > LINE_WORDS) bug("a policy is more than a line");
