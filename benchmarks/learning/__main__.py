"""GRPO over seeds beside its control: ``python -m benchmarks.learning [--env MathChat-v0] [--seeds 3]``.

For each seed it runs ``python -m dialogue_agents.grpo`` twice, as it is and with rewards shuffled inside
the groups, two processes at a time; runs that are there already are not run again. Then it prints the share
of the gap to a rule-based policy that training closed, paired by dialogue, and draws the curves.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from dialogue_agents.evaluation import EVALUATION_SEED
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_gym.envs import DialogueVectorEnv
from dialogue_gym.files import write_whole
from dialogue_gym.rollout import RulePolicy, evaluate
from dialogue_gym.rollout.evaluation import estimate
from dialogue_gym.tasks import Kind

KINDS: dict[str, Kind] = {"MathChat-v0": "math", "DocEditChat-v0": "document"}
ARMS = {"grpo": (), "shuffled": ("--shuffle-rewards",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__.split("\n")[0])
    parser.add_argument("--env", choices=KINDS, default="MathChat-v0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("extra", nargs="*", help="after --: more options for dialogue_agents.grpo")
    options = parser.parse_args(arguments)
    folder = options.out / options.env
    runs = {(arm, seed): folder / f"{arm}-{seed}" for seed in range(options.seeds) for arm in ARMS}
    with ThreadPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(_train, options, arm, seed, out) for (arm, seed), out in runs.items()]
        for job in jobs:
            job.result()
    results = {name: json.loads((out / "result.json").read_text()) for name, out in runs.items()}
    report = summary(options.env, results)
    write_whole(folder / "report.json", json.dumps(report, indent=1) + "\n")
    print(table(report))
    draw(results, folder / "curves.png", options.env)
    print(f"curves: {folder / 'curves.png'}  figures: {folder / 'report.json'}")
    return 0


def smoothed(rewards: Sequence[float | None], width: int = 10) -> list[float]:
    """Running means over the last ``width`` updates; those without a reward are left out.

    Example:
        >>> smoothed([0.0, None, 1.0], width=2)
        [0.0, 0.0, 1.0]
    """
    windows = [
        [r for r in rewards[max(0, i + 1 - width) : i + 1] if r is not None] for i in range(len(rewards))
    ]
    return [sum(window) / len(window) if window else math.nan for window in windows]


def _train(options: argparse.Namespace, arm: str, seed: int, out: Path) -> None:
    done = out / "result.json"
    if done.exists() and "after" in json.loads(done.read_text()):
        return
    command = [sys.executable, "-m", "dialogue_agents.grpo", "--env", options.env, "--seed", str(seed)]
    command += ["--out", str(out), "--cpu", "--report-to", "none", *ARMS[arm], *options.extra]
    command += ["--resume"] if (out / "settings.json").exists() else []
    print(f"{arm}, seed {seed}: {' '.join(command[1:])}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("w") as log:
        if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
            raise SystemExit(f"{arm}, seed {seed} failed; see {out / 'log.txt'}")


def summary(env_id: str, results: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """For each run the evaluations, the paired gain, and the share of the gap to the rules that it closed."""
    settings = GRPOSettings(env=env_id)
    first = next(iter(results.values()))["before"]
    env = DialogueVectorEnv(
        KINDS[env_id],
        num_envs=128,
        autoreset_mode="Disabled",
        split=first["split"],
        max_turns=settings.max_turns,
    )
    rules = evaluate(env, RulePolicy(KINDS[env_id]), len(first["outcomes"]), seed=EVALUATION_SEED)
    best = [o.reward for o in rules.outcomes]
    runs = []
    for (arm, seed), result in results.items():
        before, after = ([o["reward"] for o in result[when]["outcomes"]] for when in ("before", "after"))
        # paired by dialogue: gain minus half of the gap is above zero where more than half was closed
        margin = estimate(
            [
                (a - b) - 0.5 * (r - b)
                for b, a, r in zip(before, after, best, strict=True)
                if None not in (a, b, r)
            ]
        )
        gap = sum(r or 0 for r in best) - sum(before)
        runs.append(
            {
                "arm": arm,
                "seed": seed,
                "before": result["before"]["estimates"]["reward"],
                "after": result["after"]["estimates"]["reward"],
                "gain": result["difference"]["estimates"]["reward"],
                "ask_rate_before": result["before"]["estimates"]["ask_rate"],
                "ask_rate_after": result["after"]["estimates"]["ask_rate"],
                "gap_closed": (sum(after) - sum(before)) / gap,
                "gain_minus_half_gap": None if margin is None else vars_of(margin),
            }
        )
    return {"env": env_id, "n": len(best), "rules": vars_of(rules.reward), "runs": runs}


def vars_of(value: Any) -> dict[str, float]:
    """An ``Estimate`` as plain data."""
    return {name: getattr(value, name) for name in ("mean", "low", "high", "n")}


def table(report: dict[str, Any]) -> str:
    """Plain text; intervals are 95 %, over dialogues."""

    def cell(e: dict[str, float] | None) -> str:
        return "-" if e is None else f"{e['mean']:.3f} [{e['low']:.3f}, {e['high']:.3f}]"

    head = f"{report['env']}: {report['n']} held-out dialogues, rule policy {cell(report['rules'])}"
    columns = ("before", "after", "gain", "ask_rate_before", "ask_rate_after")
    lines = [
        head,
        f"{'run':14}" + "".join(f"{c:24}" for c in columns) + f"{'gap closed':12}gain - half the gap",
    ]
    for run in report["runs"]:
        name = f"{run['arm']} {run['seed']}"
        cells = "".join(f"{cell(run[c]):24}" for c in columns)
        lines.append(f"{name:14}{cells}{run['gap_closed']:<12.2f}{cell(run['gain_minus_half_gap'])}")
    return "\n".join(lines)


def draw(results: dict[tuple[str, int], dict[str, Any]], path: Path, env_id: str) -> None:
    """Running means of the training reward, one line a run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    colours = {"grpo": "C0", "shuffled": "C3"}
    for (arm, seed), result in results.items():
        label = {"grpo": "GRPO", "shuffled": "rewards shuffled inside groups"}[arm] if seed == 0 else None
        axes.plot(smoothed(result["curve"]), color=colours[arm], alpha=0.8, label=label)
    axes.set(xlabel="GRPO update", ylabel="mean training reward, last ten updates", ylim=(0, 1))
    axes.set_title(f"{env_id}, scripted user, tiny policy (a toy)")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
