import { defineConfig } from "vitest/config";
import { StallReporter } from "./test/support/stall-reporter.ts";

const LIMIT_MS = 60_000;
const SLOW_LIMIT_MS = 600_000;

/**
 * Tiers: the folder of a test decides.  `atOnce` says how many of its files run side by side, where each has threads of
 * its own that want the cores: two, since a file that explores or simulates uses one core, and one that runs freely finds
 * all the more interleavings.  `npm test` runs the quick tiers, `npm run test:all` every one.
 */
const tiers = [
  { name: "architecture", include: ["test/architecture.test.ts", "test/architecture/**/*.test.ts"] },
  { name: "project", include: ["test/project/*.test.ts"] },
  { name: "unit", include: ["test/unit/**/*.test.ts"] },
  { name: "oracle", include: ["test/oracle/**/*.test.ts"] },
  { name: "concurrent", include: ["test/concurrent/**/*.test.ts"], atOnce: 2 },
  { name: "explore", include: ["test/explore/**/*.test.ts"], atOnce: 2 },
  { name: "explore-long", include: ["test/explore-long/**/*.test.ts"], atOnce: 1, slow: true },
  { name: "package", include: ["test/package/**/*.test.ts"], atOnce: 1, slow: true },
];

export default defineConfig({
  test: {
    pool: "forks",
    allowOnly: false,
    restoreMocks: true,
    // Tests load modules by Node's own import: types stripped, nothing rewritten.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    setupFiles: ["./test/support/progress.ts"],
    reporters: ["default", new StallReporter()],
    projects: tiers.map((tier, index) => {
      const limitMs = tier.slow ? SLOW_LIMIT_MS : LIMIT_MS;
      return {
        extends: true,
        test: {
          name: tier.name,
          include: tier.include,
          ...(tier.atOnce === undefined ? {} : { maxWorkers: tier.atOnce }),
          testTimeout: limitMs,
          hookTimeout: limitMs,
          env: { SMPSIM_HOOK_LIMIT_MS: String(limitMs) },
          sequence: { groupOrder: index },
        },
      };
    }),
  },
});
