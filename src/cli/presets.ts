/** Machines with a name, for `--preset`. */

import type { MachineConfig } from "../machine/config.ts";
import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";

export interface Preset {
  readonly summary: string;
  readonly config: MachineConfig;
}

export const PRESETS: Readonly<Record<string, Preset>> = {
  tiny: { summary: "2 CPUs, 8 MiB: small enough to read whole", config: { cpus: 2, memory: "8MiB" } },
  laptop: { summary: "4 CPUs, 512 MiB, one node", config: { cpus: 4, memory: "512MiB" } },
  server: { summary: "32 CPUs, 2 GiB, two nodes", config: { cpus: 32, memory: "2GiB", nodes: 2 } },
  la57: {
    summary: "4 CPUs, 512 MiB, page tables of five levels",
    config: { cpus: 4, memory: "512MiB", pageLevels: 5 },
  },
  numa4: { summary: "8 CPUs, 1 GiB, four nodes", config: { cpus: 8, memory: "1GiB", nodes: 4 } },
};

export function presetNamed(name: string): MachineConfig {
  const names = Object.keys(PRESETS);
  if (Object.hasOwn(PRESETS, name)) return PRESETS[name].config;
  const list = names.map((known) => `\n  ${known}: ${PRESETS[known].summary}`).join("");
  throw new UsageError(`--preset: there is no "${name}"${didYouMean(name, names)}; valid are${list}`);
}
