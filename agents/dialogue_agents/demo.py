"""The main job in one command: train the tiny policy on MathChat and show what changed.

``python -m dialogue_agents.demo`` takes some minutes on two cores and goes on where it was after a kill.
"""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import itertools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.cli.arguments import explain, parse_settings


@dataclass
class DemoSettings:
    """Settings of the demo."""

    out: Path = Path("runs/demo")
    """Folder for the run; a finished run in it is moved aside, an interrupted one goes on."""
    steps: int = 100
    """GRPO updates."""
    eval_dialogues: int = 300
    """Held-out dialogues before and after training."""
    seed: int = 0
    """Seeds everything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate before and after, print, draw; what cannot be ends in one line and status 2."""
    try:
        show_all(parse_settings(DemoSettings, "python -m dialogue_agents.demo", arguments))
    except (ValueError, OSError, ImportError) as error:
        print(explain(error, "agents"), file=sys.stderr)
        return 2
    return 0


def show_all(demo: DemoSettings) -> None:
    """The demo, step by step."""
    started = time.monotonic()
    settings = _settings(demo)
    say = _Steps(5)
    say("loading torch, transformers and TRL")
    from dialogue_agents.grpo.progress import report
    from dialogue_agents.grpo.run import run

    say(f"{demo.eval_dialogues} held-out dialogues, {demo.steps} GRPO updates, the same dialogues again")
    result = run(settings)
    say("the figures: means with 95 % intervals over dialogues; a toy's figures")
    print(report(result))
    say("one task that the user did not tell in full, before and after training")
    print(before_and_after(demo.out))
    say("drawing the rewards")
    picture = demo.out / "rewards.png"
    draw_curve(result["curve"], picture)
    (demo.out / "finished").touch()
    minutes = (time.monotonic() - started) / 60
    print(f"\nDone in {minutes:.1f} minutes. Curve: {picture}  policy: {demo.out / 'policy'}")
    print(f"TensorBoard: .venv/bin/tensorboard --logdir {demo.out}")


class _Steps:
    """Numbered announcements, so that a person sees where the demo is."""

    def __init__(self, total: int) -> None:
        self.number, self.total = 0, total

    def __call__(self, text: str) -> None:
        self.number += 1
        print(f"\n[{self.number}/{self.total}] {text}", flush=True)


def _settings(demo: DemoSettings) -> GRPOSettings:
    """GRPO's settings; a finished run is moved aside, an interrupted one is resumed."""
    if (demo.out / "finished").exists():
        aside = next(p for n in itertools.count(1) if not (p := Path(f"{demo.out}-{n}")).exists())
        print(f"{demo.out} holds a finished run; it is now {demo.out.rename(aside)}")
    return GRPOSettings(
        out=demo.out,
        steps=demo.steps,
        eval_dialogues=demo.eval_dialogues,
        seed=demo.seed,
        cpu=True,
        save_steps=20,
        resume=(demo.out / "settings.json").exists(),
    )


def before_and_after(out: Path) -> str:
    """Two transcripts of one task: the first that training turned from wrong to right by asking."""
    from dialogue_gym.logs import read_log
    from dialogue_gym.rollout import asked_for_held, show

    pairs = list(zip(read_log(out / "before.jsonl"), read_log(out / "after.jsonl"), strict=True))
    gains = [((b.reward or 0) < (a.reward or 0)) + bool(asked_for_held(a)) for b, a in pairs]
    before, after = pairs[gains.index(max(gains))]
    return f"--- before\n{show(before)}\n\n--- after\n{show(after)}"


def smoothed(rewards: Sequence[float | None], width: int = 10) -> list[float]:
    """Running means over the last ``width`` updates; those without a reward are left out."""
    windows = [
        [r for r in rewards[max(0, i + 1 - width) : i + 1] if r is not None] for i in range(len(rewards))
    ]
    return [sum(window) / len(window) if window else math.nan for window in windows]


def draw_curve(rewards: Sequence[float | None], path: Path) -> None:
    """The mean reward of each update's dialogues, and its running mean over ten updates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    each = [math.nan if r is None else r for r in rewards]
    axes.plot(range(1, len(rewards) + 1), each, color="0.75", label="each update (sampled, T = 1)")
    axes.plot(
        range(1, len(rewards) + 1), smoothed(rewards), color="C0", linewidth=2, label="mean of the last ten"
    )
    axes.set(xlabel="GRPO update", ylabel="mean reward of training dialogues", ylim=(0, 1))
    axes.set_title("MathChat-v0, scripted user, tiny policy (a toy)")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
