/** What ran where: recorded in every report, since a figure without it cannot be compared. */

import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import type { Host, Versions } from "./report-model.ts";

export function hostDescription(): Host {
  return {
    cores: availableParallelism(),
    model: cpus()[0]?.model.trim() || "unknown",
    memoryBytes: totalmem(),
    platform: process.platform,
    arch: process.arch,
  };
}

export function versions(): Versions {
  return { smpsim: smpsimVersion(), node: process.versions.node, v8: process.versions.v8 };
}

/** The version in package.json, found upward: the clone and the published package nest differently. */
function smpsimVersion(): string {
  for (let folder = new URL("../", import.meta.url); ; folder = new URL("../", folder)) {
    try {
      const manifest = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
      if (manifest.name === "smpsim") return manifest.version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    if (folder.pathname === "/" || folder.href === new URL("../", folder).href) return "unknown";
  }
}
