"""``python -m benchmarks.people --model FOLDER --logs FILE... --out FOLDER``; see README.md."""

import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import dialogue_gym.cli.threads  # noqa: F401  (one thread a process, before torch is imported)
from benchmarks.people.dialogues import Dialogue, read_dialogues
from benchmarks.people.report import markdown, summarise
from benchmarks.people.study import PeopleSettings, read_scores, run_folds, write_json
from dialogue_gym.cli.arguments import explain, parse_settings
from dialogue_gym.files import write_whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, or go on with it, and write results.json and RESULTS.md into its folder."""
    try:
        settings = parse_settings(PeopleSettings, "python -m benchmarks.people", arguments)
        dialogues, account = read_dialogues(settings.logs, settings.user, settings.env)
        print(account, flush=True)
        run_folds(settings, dialogues, lambda line: print(line, flush=True))
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "calibration"), file=sys.stderr)
        return 2
    scores = read_scores(settings)
    judged = [dialogue for dialogue in dialogues if dialogue.name in scores["ngram"]]
    print(f"{len(dialogues) - len(judged):>8}  dialogues left out: longer than the model's context")
    results = summarise(judged, scores, stop_share(judged))
    command = shlex.join(["python", "-m", "benchmarks.people", *(arguments or sys.argv[1:])])
    out, text = Path(settings.out), markdown(results)
    write_json(out / "results.json", {"command": command, "settings": asdict(settings), "results": results})
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("dialogue-gym", "torch", "transformers", "trl")
    )
    write_whole(
        out / "RESULTS.md",
        f"# People's turns, judged by users fitted to other people\n\n`{command}`\n\n"
        f"{versions}; Python {platform.python_version()}, {platform.machine()}. Means over dialogues with "
        f"95 % bootstrap intervals.\n\n{text}\n",
    )
    print(f"\n{text}\n\nwritten to {out / 'RESULTS.md'}")
    return 0


def stop_share(dialogues: Sequence[Dialogue]) -> float | None:
    """How often a person stops at a turn where that is known; None where it never is, or always the same."""
    stops = [turn.reply.stop for d in dialogues for turn in d.turns if turn.stop_counts]
    return sum(stops) / len(stops) if stops and 0 < sum(stops) < len(stops) else None


if __name__ == "__main__":
    sys.exit(main())
