/** `smpsim profiles`: the machines of simulated time, and one's figures as a start for one's own. */

import type { Command } from "commander";
import type { Profile } from "../schedule/virtual/profile.ts";
import { profileText } from "../schedule/virtual/profile-text.ts";
import { DEFAULT_PROFILE, loadProfile, profileNames } from "../schedule/virtual/profiles.ts";
import { print, printJson } from "./output.ts";
import { bold, dim, grid } from "./tables.ts";

const EXAMPLES = `
Examples:
  smpsim profiles                            all of them, a line each
  smpsim profiles xeon-gold-5320 > mine.json a copy to write one's own from
  smpsim profiles ./mine.json                checks it: ends with 2 and says what is not valid
  smpsim bench page-bulk --mode virtual --profile ./mine.json`;

export function addProfiles(program: Command): void {
  program
    .command("profiles [name]")
    .description("list the machines of simulated time, or print one's profile")
    .option("--json", "print one JSON document")
    .addHelpText("after", EXAMPLES)
    .action(profiles);
}

function profiles(name: string | undefined, flags: { readonly json?: boolean }): void {
  if (name !== undefined) return print(profileText(loadProfile(name)));
  const all = profileNames().map(loadProfile);
  if (flags.json) return printJson(all);
  print(grid(["profile", "machine", "CPUs", "nodes", "GHz"], all.map(row), 2));
  print(dim("\nsmpsim profiles NAME prints one; docs/SIMULATED-TIME.md says how to write one's own"));
}

const row = ({ name, description, clockGHz, machine }: Profile): string[] => [
  `${bold(name)}${name === DEFAULT_PROFILE ? dim(" (default)") : ""}`,
  description,
  String(machine.maxCpus),
  String(machine.nodes),
  String(clockGHz),
];
