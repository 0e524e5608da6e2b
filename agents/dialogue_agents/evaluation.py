"""The phases of a run, evaluate, learn and evaluate again, on dialogues that all learners are compared on."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from tqdm import tqdm

from dialogue_agents.environments import make_env
from dialogue_agents.folder import read_figures, write_figures
from dialogue_agents.settings import CommonSettings
from dialogue_gym.logs import append
from dialogue_gym.rollout import Evaluation, Policy, Trajectory, compare, evaluate
from dialogue_gym.rollout.evaluation import Outcome
from dialogue_gym.simulators import UserSimulator

EVALUATION_SEED = 20_000
"""Seeds of the held-out dialogues: the same before and after and for all learners, to compare in pairs."""
EVALUATION_BATCH = 128
"""Held-out dialogues at once."""


def learn_between_evaluations(
    settings: CommonSettings,
    evaluated: Callable[[str], Evaluation],
    learn: Callable[[Mapping[str, Any]], dict[str, Any]],
    begun: Mapping[str, Any] | None = None,
    writes: bool = True,
) -> dict[str, Any]:
    """Evaluate, learn, evaluate again, leaving out what a stopped run has done.

    Args:
        settings: of the run; without ``eval_dialogues`` there is only the learning.
        evaluated: plays the evaluation "before" or "after".
        learn: gets the figures so far and returns those of what was learned.
        begun: figures of a run that begins.
        writes: whether this process writes ``result.json``, which has the figures.

    Returns:
        All figures: those of ``learn``; "before" and "after" (``Evaluation.to_dict``) and their paired
        "difference".
    """
    path = settings.out / "result.json"
    result = read_figures(path) or dict(begun or {})
    if settings.eval_dialogues and not _tells(result.get("before")):
        result["before"] = evaluated("before").to_dict()
        if writes:
            write_figures(path, result)
    result |= learn(result)
    if settings.eval_dialogues:
        after = evaluated("after")
        result["after"] = after.to_dict()
        result["difference"] = compare(_evaluation_of(result["before"]), after).to_dict()
    if writes:
        write_figures(path, result)
    return result


def held_out(
    settings: CommonSettings, policy: Policy, user: UserSimulator | None, what: str | None
) -> Evaluation:
    """Held-out dialogues of a policy; the same ones at every call.

    Args:
        settings: of the run.
        policy: who plays the agent.
        user: who plays the user in training, and here where they are the same by name; loaded anew if None.
        what: name of the progress bar and of the log in ``out``; None for neither.
    """
    count, log = settings.eval_dialogues, settings.out / f"{what}.jsonl"
    judge = user if settings.eval_simulator == settings.simulator else settings.eval_simulator
    if what is not None:
        log.unlink(missing_ok=True)  # left half done by a run that was stopped
    with (
        closing(make_env(settings, min(count, EVALUATION_BATCH), settings.eval_split, judge)) as env,
        tqdm(
            total=count,
            desc=f"evaluation {what}",
            unit="dialogue",
            dynamic_ncols=True,
            disable=what is None,
        ) as bar,
    ):

        def keep(trajectory: Trajectory) -> None:
            bar.update()
            if what is not None:
                append(log, [trajectory.record])

        return evaluate(env, policy, count, seed=EVALUATION_SEED, on_dialogue=keep)


def _tells(evaluation: Mapping[str, Any] | None) -> bool:
    """Whether anything was scored in it: what failed as a whole is played again when a run goes on."""
    return evaluation is not None and evaluation["unscored_rate"] < 1


def _evaluation_of(data: Mapping[str, Any]) -> Evaluation:
    """What ``Evaluation.to_dict`` was made of."""
    outcomes = [Outcome(**outcome) for outcome in data["outcomes"]]
    return Evaluation(data["env_id"], data["split"], data["simulator"], data["policy"], outcomes)
