"""The ``dialogue-gym`` command.

Each command is a module with a dataclass of settings, named after it (``CollectSettings``), and a function
``run(settings) -> int`` that prints what people want to see and returns the exit status. Bad input raises
ValueError, OSError or ImportError with one line. A module is imported when its command is asked for, since
several bring torch.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

import dialogue_gym
import dialogue_gym.cli.threads  # one thread a process, before torch is imported
from dialogue_gym.cli.arguments import explain, log_lines_once, one_line_warnings, parse_settings
from dialogue_gym.registry import nearest

PROGRAM = "dialogue-gym"


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives.

    Attributes:
        module: imported when the command is asked for.
        settings: name of its dataclass of settings.
        extra: what to install when a package is missing.
        summary: one line for the list of commands.
    """

    module: str
    settings: str
    extra: str
    summary: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "collect": Command(
            "dialogue_gym.cli.collect",
            "CollectSettings",
            "cli",
            "play a policy against a user into a log",
        ),
        "play": Command(
            "dialogue_gym.cli.play",
            "PlaySettings",
            "cli",
            "talk with a policy as its user, or as the agent of a user",
        ),
        "serve": Command(
            "dialogue_gym.cli.serve",
            "ServeSettings",
            "serve",
            "a web page on which several people talk with them at once",
        ),
        "import": Command(
            "dialogue_gym.cli.import_logs",
            "ImportSettings",
            "cli",
            "bring dialogues of others into a log",
        ),
        "annotate": Command(
            "dialogue_gym.cli.annotate",
            "AnnotateSettings",
            "cli",
            "turn rewards into a log, for learners that read one",
        ),
        "calibrate": Command(
            "dialogue_gym.cli.calibrate",
            "CalibrateSettings",
            "calibration",
            "fit a user simulator to the users of a log",
        ),
        "realism-reward": Command(
            "dialogue_gym.cli.realism_reward",
            "RealismRewardSettings",
            "calibration",
            "improve a fitted user against a discriminator of people's turns",
        ),
        "realism": Command(
            "dialogue_gym.cli.realism",
            "RealismSettings",
            "realism",
            "how far a simulator is from the users of a log",
        ),
        "audit": Command(
            "dialogue_gym.cli.audit",
            "AuditSettings",
            "cli",
            "how often a user accepts answers that are wrong",
        ),
        "show": Command(
            "dialogue_gym.cli.show",
            "ShowSettings",
            "cli",
            "dialogues of a log in the terminal",
        ),
        "view": Command(
            "dialogue_gym.cli.view",
            "ViewSettings",
            "cli",
            "dialogues of a log, or of two side by side, as a page for the browser",
        ),
        "stats": Command(
            "dialogue_gym.cli.stats",
            "StatsSettings",
            "cli",
            "turns, words, ends, scores and leakage of logs",
        ),
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (default: the process's) name.

    Returns:
        The command's exit status; 2 for what cannot be, said in one line; 130 after Ctrl-C; 141 where
        whoever reads the output has had enough of it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0
    if given[0] == "--version":
        print(PROGRAM, dialogue_gym.__version__)
        return 0
    name = given[0]
    if name not in COMMANDS:
        print(f"error: {PROGRAM} has no command {name!r}: {nearest(name, COMMANDS)}", file=sys.stderr)
        return 2
    try:
        with one_line_warnings(), log_lines_once():
            status = _run(name, given[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # nothing more can be said, also not when the interpreter flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, COMMANDS[name].extra), file=sys.stderr)
        return 2


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [options]",
            "",
            "Users in the loop: play with them, learn them from logs, and measure how real they are.",
            "",
            *(f"  {name:{width}}{command.summary}" for name, command in COMMANDS.items()),
            "",
            f"{PROGRAM} COMMAND --help explains a command and its options.",
        ]
    )


def _run(name: str, arguments: Sequence[str]) -> int:
    command = COMMANDS[name]
    module = import_module(command.module)
    settings = parse_settings(getattr(module, command.settings), f"{PROGRAM} {name}", arguments)
    status: int = module.run(settings)
    return status
