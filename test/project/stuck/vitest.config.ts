import { defineConfig } from "vitest/config";
import { StallReporter } from "../../support/stall-reporter.ts";

export default defineConfig({
  test: {
    pool: "forks",
    include: ["*.test.ts"],
    fileParallelism: false,
    testTimeout: 200,
    env: { SMPSIM_HOOK_LIMIT_MS: "5000" },
    experimental: { viteModuleRunner: false, nodeLoader: false },
    setupFiles: ["../../support/progress.ts"],
    reporters: ["default", new StallReporter(200)],
  },
});
