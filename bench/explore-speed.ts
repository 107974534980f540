/**
 * Question: how fast does exploration go?
 * Method: campaigns of healthy scenarios, all threads pinned to one host core, one campaign before the first sample to
 *   warm the threads up; the greatest of the samples, taken in turn.
 * Does not show: boot, and how soon a given defect is found, which is the strategy's merit and not the speed's.
 */

import { type ExploreResult, type ExploreStrategy, explore } from "../src/machine/explore.ts";
import { destroyIdlePools } from "../src/machine/pool.ts";
import { bench, type Figure, interleave } from "./measure.ts";

const ROUNDS = 5;

interface Campaign {
  readonly scenario: string;
  readonly strategy: ExploreStrategy;
  readonly executions: number;
}

const LOST_UPDATE: Campaign = { scenario: "lost-update", strategy: "pct", executions: 60_000 };
const LOST_UPDATE_RANDOM: Campaign = { ...LOST_UPDATE, strategy: "random", executions: 30_000 };
const PAGES: Campaign = { scenario: "page-allocator", strategy: "pct", executions: 4000 };
const PAGES_RANDOM: Campaign = { ...PAGES, strategy: "random", executions: 300 };

const unpinned = new Set<string>();

async function run({ scenario, strategy, executions }: Campaign): Promise<ExploreResult> {
  const result = await explore(scenario, { strategy, executions });
  if (result.failure !== null) throw new Error(`${scenario} failed: ${result.failure.message}`);
  if (!result.pinning.pinned) unpinned.add(result.pinning.reason);
  return result;
}

const rate = (campaign: Campaign, of: (result: ExploreResult) => number) => async () =>
  of(await run(campaign));
const executions = (result: ExploreResult): number => result.executionsPerSecond;
const steps = (result: ExploreResult): number => result.stepsPerSecond / 1e6;

/** The greatest sample: whatever else the host does only slows it down. */
const greatest = (name: string, unit: string, samples: readonly number[]): Figure => ({
  name,
  unit,
  value: Math.max(...samples),
  range: [Math.min(...samples), Math.max(...samples)],
});

await bench("explore-speed", "How fast does exploration go?", async () => {
  await run(LOST_UPDATE);
  await run(PAGES);
  const [lost, lostRandom, pages, pagesRandom] = await interleave(ROUNDS, [
    rate(LOST_UPDATE, executions),
    rate(LOST_UPDATE_RANDOM, executions),
    rate(PAGES, steps),
    rate(PAGES_RANDOM, steps),
  ]);
  await destroyIdlePools();
  return {
    figures: [
      { ...greatest("lost-update, PCT", "executions/s", lost), atLeast: 40_000 },
      greatest("lost-update, random", "executions/s", lostRandom),
      { ...greatest("page-allocator, PCT", "M steps/s", pages), atLeast: 8 },
      greatest("page-allocator, random", "M steps/s", pagesRandom),
    ],
    notes: [...unpinned].map((reason) => `threads were not pinned: ${reason}`),
  };
});
process.exit();
