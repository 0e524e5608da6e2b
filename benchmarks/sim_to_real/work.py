"""What stages do: play logs, fit users, train policies, judge policies, measure users."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration.world import shuffled
from benchmarks.sim_to_real.stages import LOG, read_result
from dialogue_agents.grpo.policies import kept_policies
from dialogue_agents.grpo.rollouts import DialogueRollout
from dialogue_agents.grpo.run import train
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.static_context.contexts import read_contexts
from dialogue_agents.static_context.rollouts import StaticContextRollout
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.calibration.realism import measure_realism
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import DialogueRecord, append, read_log
from dialogue_gym.rollout import Evaluation, Policy, evaluate, make_vector_env
from dialogue_gym.rollout.loading import load_policy
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import CalibratedUser, PromptedUser, ScriptedUser, UserSimulator
from dialogue_gym.simulators.population_likelihood import PopulationLikelihood
from dialogue_gym.simulators.user_turns import user_turns
from dialogue_gym.tasks.base import Kind

USER = "user"
_TOGETHER = 64
_MOST_UNSCORED = 0.05

Needs = Mapping[str, Path]


def play_log(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Dialogues of an agent with a user."""
    seed = NoiseKey(("study log", settings["seed"])).seed()
    found = played(folder, settings, needs, "train", seed)
    return {"reward": found.estimates["reward"].mean, "dialogues": settings["dialogues"]}


def fit_user(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """A user fitted to the logs of one or two stages."""
    records = [r for name, need in needs.items() if name.startswith("log") for r in read_log(need / LOG)]
    if settings.get("shuffled"):
        records = shuffled(records, settings["seed"])
    start = str(needs["start"] / USER) if "start" in needs else settings["start"]
    if not (folder / USER / "manifest.json").exists():
        given = {**settings["fit"], "model": start, "seed": settings["seed"]}
        fit(records, folder / USER, FitSettings(**given))
    return dict(CalibratedUser(folder / USER).manifest["metrics"])


def train_policy(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Policies trained with a user, or on a log."""
    common = {
        **settings["learner"],
        "env": settings["env"],
        "policy": settings["policy"],
        "seed": settings["draws"],
        "out": folder / "run",
        "env_kwargs": json.dumps(settings["env_kwargs"]),
        "eval_dialogues": 0,
        "resume": (folder / "run" / "settings.json").exists(),
    }
    user = _user(settings, needs)
    if "log" in needs:
        static = StaticContextSettings(logs=needs["log"] / LOG, **{**settings["static"], **common})
        contexts = read_contexts(static.logs, static.env, static.contexts, "test")
        result = train(static, lambda codec: StaticContextRollout(static, codec, contexts, user))
        kept = kept_policies(static)
    else:
        given = GRPOSettings(**common)
        result = train(given, lambda codec: DialogueRollout(given, codec, user))
        kept = kept_policies(given)
    return {
        "curve": result["curve"],
        "budget": result["budget"],
        "policies": [str(path.relative_to(folder)) for path in kept.values()],
    }


def judge_policy(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Held-out dialogues of a policy with a user, the same for every policy and user of a seed."""
    seed = NoiseKey(("study evaluation", settings["seed"])).seed()
    return played(folder, settings, needs, settings["eval_split"], seed).to_dict()


def measure_divergence(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """KL(reference || user) of each turn in logged dialogues of the reference.

    The reference's likelihood is exact. The user's is that of a text's usual tokens, while others can spell
    it too, so that the divergence comes out slightly too large.

    Returns:
        "turns": for each turn the mean of ln p - ln q over the dialogues that have it, in nats, and their
        number; "per_turn": the mean over all turns.
    """
    user = _user(settings, needs)
    assert isinstance(user, CalibratedUser | PromptedUser)
    exact = PopulationLikelihood(ScriptedUser(settings["reference"]["population"]))
    by_dialogue = [
        user_turns(record, i) for i, record in enumerate(_first(needs["log"], settings["dialogues"]))
    ]
    turns = [turn for part in by_dialogue for turn in part]
    p = [value.total for part in by_dialogue for value in exact.log_prob(part)]
    q = [value.total for value in user.log_prob([t.request for t in turns], [t.reply for t in turns])]
    ratios, index = np.array(p) - np.array(q), np.array([turn.index for turn in turns])
    by_turn = [ratios[index == t] for t in range(index.max() + 1)]
    return {
        "turns": [{"mean": float(part.mean()), "n": len(part)} for part in by_turn],
        "per_turn": float(ratios.mean()),
    }


def measure_user(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """The realism metrics: the user in the contexts of the reference's dialogues, and in its own."""
    user = _user(settings, needs)
    assert user is not None
    found = measure_realism(
        _first(needs["log"], settings["dialogues"]),
        user,
        dialogues=_first(needs["played"], settings["dialogues"]),
        seed=settings["seed"],
    )
    return found.to_dict()


def played(
    folder: Path,
    settings: dict[str, Any],
    needs: Needs,
    split: str,
    seed: int,
    agent: Policy | None = None,
) -> Evaluation:
    """An evaluation whose dialogues are in the folder's log.

    Args:
        folder: of the stage.
        settings: "env", "dialogues", "max_turns", "env_kwargs", and who the user is and, without ``agent``,
            who the agent.
        needs: folders of the stages that user and agent come from.
        split: of the tasks.
        seed: names the dialogues.
        agent: who plays.

    Raises:
        ValueError: too many dialogues have no score.
    """
    log = folder / LOG
    log.unlink(missing_ok=True)  # left half done by a run that was killed
    with closing(
        make_vector_env(
            settings["env"],
            min(_TOGETHER, settings["dialogues"]),
            simulator=_user(settings, needs),
            max_turns=settings["max_turns"],
            split=split,
            **settings["env_kwargs"],
        )
    ) as env:
        found = evaluate(
            env,
            agent or _agent(settings, needs, env.kind),
            settings["dialogues"],
            seed=seed,
            on_dialogue=lambda t: append(log, [t.record]),
        )
    _check_scored(found, log)
    return found


def _check_scored(found: Evaluation, log: Path) -> None:
    """A study of what is left when an endpoint fails would be one of other tasks.

    Raises:
        ValueError: too many dialogues have no score; with the first reason.
    """
    if found.unscored_rate > _MOST_UNSCORED:
        first = next(record for record in read_log(log) if record.reward is None)
        raise ValueError(
            f"{found.unscored_rate:.0%} of the dialogues have no score: {first.end_reason} "
            f"({first.extra.get('failure', 'no more is known')})"
        )


def _agent(settings: dict[str, Any], needs: Needs, kind: Kind) -> Policy:
    if settings.get("agent") == "rule":
        return load_policy("rule", kind, ask_rate=0.5)
    sampling = {"max_tokens": settings.get("max_tokens", GRPOSettings.max_tokens), "temperature": 1.0}
    path = settings.get("policy", "")
    if "policy" in needs:
        path = needs["policy"] / read_result(needs["policy"])["policies"][settings["checkpoint"] - 1]
    elif path == "tiny":
        return load_policy("tiny", kind, **sampling)
    precision = {"dtype": settings["dtype"]} if "dtype" in settings else {}
    with quiet():
        return load_policy(f"transformers:{path}", kind, **precision, **sampling)


def _user(settings: dict[str, Any], needs: Needs) -> UserSimulator | None:
    """The user of a stage, if it has one."""
    with quiet():
        if "user" in needs:
            return CalibratedUser(needs["user"] / USER)
        if "prompted" in settings:
            return PromptedUser(settings["prompted"])
    return ScriptedUser(settings["population"]) if "population" in settings else None


def _first(folder: Path, count: int) -> list[DialogueRecord]:
    return list(islice(read_log(folder / LOG), count))


WORK: dict[str, Callable[[Path, dict[str, Any], Needs], dict[str, Any]]] = {
    "log": play_log,
    "fit": fit_user,
    "train": train_policy,
    "judge": judge_policy,
    "divergence": measure_divergence,
    "realism": measure_user,
}
