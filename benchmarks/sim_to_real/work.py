"""What stages do: play logs, fit users, train policies, judge policies."""

import dialogue_gym.cli.threads  # noqa: F401  one thread a process, before torch is imported

# isort: split
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.sim_to_real.stages import LOG
from dialogue_agents.grpo.rollouts import DialogueRollout
from dialogue_agents.grpo.run import train
from dialogue_agents.grpo.settings import GRPOSettings
from dialogue_agents.static_context.contexts import read_contexts
from dialogue_agents.static_context.rollouts import StaticContextRollout
from dialogue_agents.static_context.settings import StaticContextSettings
from dialogue_gym.calibration.fit import FitSettings, fit
from dialogue_gym.language_models.quiet import quiet
from dialogue_gym.logs import append, read_log
from dialogue_gym.rollout import Policy, evaluate, make_vector_env
from dialogue_gym.rollout.loading import load_policy
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators import CalibratedUser, ScriptedUser, UserSimulator
from dialogue_gym.tasks.base import Kind

USER, POLICY = "user", "policy"
_TOGETHER = 64
_MAX_TOKENS = 48

Needs = Mapping[str, Path]


def play_log(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Dialogues of an agent with a population."""
    log = folder / LOG
    log.unlink(missing_ok=True)  # left half done by a run that was killed
    agent = _agent(settings, needs)
    seed = NoiseKey(("study log", settings["seed"])).seed()
    with closing(_env(settings, ScriptedUser(settings["population"]), "train")) as env:
        found = evaluate(
            env, agent, settings["dialogues"], seed=seed, on_dialogue=lambda t: append(log, [t.record])
        )
    return {"reward": found.estimates["reward"].mean, "dialogues": settings["dialogues"]}


def fit_user(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """A user fitted to the logs of one or two stages."""
    records = [r for name, need in needs.items() if name.startswith("log") for r in read_log(need / LOG)]
    start = str(needs["start"] / USER) if "start" in needs else settings["start"]
    if not (folder / USER / "manifest.json").exists():
        fit(
            records,
            folder / USER,
            FitSettings(**{**settings["fit"], "model": start, "seed": settings["seed"]}),
        )
    return dict(CalibratedUser(folder / USER).manifest["metrics"])


def train_policy(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """A policy trained with a population or a fitted user, or on a log."""
    common = {
        **settings["learner"],
        "env": settings["env"],
        "policy": settings["policy"],
        "seed": settings["seed"],
        "out": folder / "run",
        "eval_dialogues": 0,
        "resume": (folder / "run" / "settings.json").exists(),
    }
    user = _user(settings, needs)
    if "log" in needs:
        static = StaticContextSettings(logs=needs["log"] / LOG, **{**settings["static"], **common})
        contexts = read_contexts(static.logs, static.env, static.contexts, settings["eval_split"])
        result = train(static, lambda codec: StaticContextRollout(static, codec, contexts, user))
    else:
        given = GRPOSettings(**common)
        result = train(given, lambda codec: DialogueRollout(given, codec, user))
    (folder / POLICY).unlink(missing_ok=True)
    (folder / POLICY).symlink_to(Path("run") / POLICY)
    return {"curve": result["curve"], "budget": result["budget"]}


def judge_policy(folder: Path, settings: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """Held-out dialogues of a policy with a user, the same for every policy and user of a seed."""
    log = folder / LOG
    log.unlink(missing_ok=True)
    user = _user(settings, needs)
    assert user is not None
    seed = NoiseKey(("study evaluation", settings["seed"])).seed()
    with closing(_env(settings, user, settings["eval_split"])) as env:
        found = evaluate(
            env,
            _agent(settings, needs),
            settings["dialogues"],
            seed=seed,
            on_dialogue=lambda t: append(log, [t.record]),
        )
    return found.to_dict()


def _agent(settings: dict[str, Any], needs: Needs) -> Policy:
    kind: Kind = "math" if settings["env"].startswith("Math") else "document"
    if settings.get("agent") == "rule":
        return load_policy("rule", kind, ask_rate=0.5)
    source = f"transformers:{needs['policy'] / POLICY}" if "policy" in needs else settings["policy"]
    with quiet():
        return load_policy(source, kind, max_tokens=_MAX_TOKENS, temperature=1.0)


def _user(settings: dict[str, Any], needs: Needs) -> UserSimulator | None:
    if "user" in needs:
        with quiet():
            return CalibratedUser(needs["user"] / USER)
    return ScriptedUser(settings["population"]) if "population" in settings else None


def _env(settings: dict[str, Any], user: UserSimulator, split: str) -> Any:
    rows = min(_TOGETHER, settings["dialogues"])
    return make_vector_env(
        settings["env"], rows, simulator=user, max_turns=settings["max_turns"], split=split
    )


WORK: dict[str, Callable[[Path, dict[str, Any], Needs], dict[str, Any]]] = {
    "log": play_log,
    "fit": fit_user,
    "train": train_policy,
    "judge": judge_policy,
}
