/** What a user is told when the command line is wrong: one sentence, what is valid, no stack. */

import { type Command, CommanderError } from "commander";
import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { say } from "./output.ts";

const FINE = ["commander.help", "commander.helpDisplayed", "commander.version"];

/** Says what went wrong and returns the exit code for it. */
export function exitCodeFor(error: unknown, program: Command): number {
  if (error instanceof CommanderError) {
    if (FINE.includes(error.code)) return error.code === "commander.help" ? 2 : 0;
    say(`smpsim: ${sentence(error, program)}`);
    return 2;
  }
  if (error instanceof UsageError) {
    say(`smpsim: ${error.message}`);
    return 2;
  }
  say(`smpsim: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}

function sentence(error: CommanderError, program: Command): string {
  const [first] = error.message.replace(/^error: /, "").split("\n");
  const named = program.commands.find((command) => command.name() === process.argv[2]);
  switch (error.code) {
    case "commander.unknownCommand": {
      const names = program.commands.map((command) => command.name());
      return `there is no command "${process.argv[2]}"${didYouMean(process.argv[2], names)}; valid are ${names.join(", ")}`;
    }
    case "commander.unknownOption": {
      const flags = (named ?? program).options.map((option) => option.long ?? option.flags);
      const wrong = /'([^']*)'/.exec(first)?.[1] ?? "";
      const meant = didYouMean(wrong.replace(/=.*/, ""), flags);
      return `${first}${meant}; valid are ${flags.join(", ")} and --help`;
    }
    default:
      return `${first}; see smpsim ${named === undefined ? "" : `${named.name()} `}--help`;
  }
}
